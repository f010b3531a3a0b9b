"""The worker of qmail-rspawn: many deliveries in one process that is qmailr already and has the DNS loaded.

A Unix socket that keeps packets apart, its other end held by qmail-rspawn. Request: 4 bytes number (little-endian),
host NUL sender NUL recipient, and the message's descriptor with it; where its story can be heard, also NUL and a word:
t if it is wanted, - if it cannot; and where there are wishes, NUL and these (wire/wished). Answer: the number, then
what qmail-remote would have printed; before it, the number, T, and an event of that story, any number of times. A
packet of four zero bytes is a question whether we are there: it is sent back as it is, by the same loop that serves the
conversations, so that the answer says that they go on. When the other end closes, everything is dropped at once: who
has gone cannot hear reports.
"""

import array
import asyncio
import errno
import posix
import socket

from qmailpy.disk.home import Home
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.pool import Pool
from qmailpy.remote.story import UNTOLD, Story
from qmailpy.rules import report
from qmailpy.system import descriptors, net
from qmailpy.wire import wished
from qmailpy.wire.delivery import TRACE, TRACED

AT_ONCE = 1000  # conversations; further ones wait for their turn
REQUEST_SIZE = 65536  # bytes; addresses have 1,002 at most
BEHIND = 100  # answers that qmail-rspawn has not read: beyond these no story is told
ANSWER_LIMIT = 60000  # bytes of a report: it must fit a packet
_NUMBER = 4  # bytes
_PING = bytes(_NUMBER)
_DESCRIPTORS = 4 * 4  # bytes: room for more than the one that is meant, so that each is seen and closed


def serve(home: Home, descriptor: int) -> int:
    """Work until the other end closes.  descriptor: the socket; it is ours from now on.  Result: exit code."""
    net.raise_descriptor_limit()
    with socket.socket(fileno=descriptor) as wire:
        wire.setblocking(False)
        asyncio.run(_serve(home, wire))
    return 0


async def _serve(home: Home, wire: socket.socket) -> None:
    await _Worker(home, wire).work()


class _Worker:
    def __init__(self, home: Home, wire: socket.socket) -> None:
        self._equipment = Equipment(home)
        self._equipment.resolver()
        self._equipment.pool = Pool()
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._gone = self._loop.create_future()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._answers: list[bytes] = []

    async def work(self) -> None:
        """Until the other end closes."""
        self._loop.add_reader(self._wire.fileno(), self._hear)
        try:
            await self._gone
        finally:
            self._loop.remove_reader(self._wire.fileno())
            self._loop.remove_writer(self._wire.fileno())
            await self._drop()

    async def _drop(self) -> None:
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        if self._equipment.pool is not None:
            self._equipment.pool.close()

    def _end(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    def _hear(self) -> None:
        """Every request that is there.  One that got lost would never be answered: rather we end, and all wait."""
        try:
            self._hear_all()
        except Exception as error:  # noqa: BLE001 - no memory, say
            if not self._gone.done():
                self._gone.set_exception(error)

    def _hear_all(self) -> None:
        while not self._gone.done():
            try:
                packet, passed = _receive(self._wire)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    self._end()
                return
            if not packet:
                self._end()
                return
            self._begin(packet, passed)

    def _begin(self, packet: bytes, passed: list[int]) -> None:
        if packet == _PING:
            _close(passed)
            self._answer(packet, b"")
            return
        number = packet[:_NUMBER]
        words = packet[_NUMBER:].split(b"\0")
        if len(passed) != 1 or len(words) < 3:  # the kernel had no descriptor left for us
            _close(passed)
            self._answer(number, report.NO_RESOURCES)
            return
        delivery = self._loop.create_task(self._deliver(number, words, passed[0]))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _deliver(self, number: bytes, words: list[bytes], message: int) -> None:
        host, sender, recipient = words[:3]
        try:
            story = self._story(number, words[3]) if words[3:4] not in ([], [b"-"]) else UNTOLD
            wishes = wished.decode(words[4]) if len(words) > 4 else None
            async with self._slots:
                output = await deliver(
                    self._equipment.home,
                    host,
                    sender,
                    [recipient],
                    message,
                    self._equipment,
                    wishes=wishes,
                    story=story,
                )
        except Exception as error:  # noqa: BLE001 - one delivery's bug must not end the others
            descriptors.say(
                b"qmail-remote: warning: internal error: " + type(error).__name__.encode("ascii", "replace")
            )
            output = report.CRASHED
        finally:
            posix.close(message)
        self._answer(number, output)

    def _story(self, number: bytes, word: bytes) -> Story:
        def hear(told: bytes) -> None:
            if len(self._answers) < BEHIND:
                self._answer(number, TRACE + told)

        return Story(hear, is_on=word == TRACED)

    def _answer(self, number: bytes, output: bytes) -> None:
        if len(output) > ANSWER_LIMIT:
            output = output[: ANSWER_LIMIT - 1] + b"\0"
        self._answers.append(number + output)
        if len(self._answers) == 1:
            self._say()

    def _say(self) -> None:
        """Every answer that the socket takes."""
        while self._answers and not self._gone.done():
            try:
                self._wire.send(self._answers[0])
            except BlockingIOError:
                self._loop.add_writer(self._wire.fileno(), self._say)
                return
            except OSError:
                self._end()
                return
            del self._answers[0]
        self._loop.remove_writer(self._wire.fileno())


def _receive(wire: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and the descriptors that came with it.  Errors: OSError."""
    room = socket.CMSG_SPACE(_DESCRIPTORS)
    packet, ancillary, flags, _ = wire.recvmsg(REQUEST_SIZE, room, socket.MSG_CMSG_CLOEXEC)
    if flags & socket.MSG_TRUNC:  # half an address is somebody else's
        packet = packet[:_NUMBER]
    passed = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
    return packet, list(passed)


def _close(passed: list[int]) -> None:
    for descriptor in passed:
        posix.close(descriptor)
