"""A peer without a network, for what must be exact: every byte of it, and the moment at which it goes, is the test's.

It stands where a connection stands (system/net.Stream) and follows a script, a generator that says, hears and goes.
by_table() is the script of a server that keeps to a table of replies until its trouble comes: it goes before a command,
after it, in the middle of its reply; it says nothing more, or a byte now and then, or takes nothing more.
"""

import asyncio
import itertools
import os
import re
import socket
from collections.abc import Callable, Generator, Mapping
from typing import Any

from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.pool import Pool
from qmailpy.system.net import ConnectionLost, Within
from tests.remote_support import GOOD, Line, Place

STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")
PIPELINING = b"250-peer\r\n250 PIPELINING\r\n"
BY_STEP = {
    "one by one": GOOD["EHLO"],
    "pipelining": PIPELINING,
    "chunks": b"250-peer\r\n250 CHUNKING\r\n",
    "chunks pipelined": b"250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
}
CRLF, END = b"\r\n", b"\r\n.\r\n"
UNREAD, UNANSWERED, HALF = "before the command", "after the command", "in the middle of the reply"
SILENT, DRIPS, DEAF = "says nothing more", "says a byte now and then", "takes nothing more"
DRIP = 0.02  # seconds

DIED = b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"
DIED_AFTER_DOT = b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\0"
TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"

Act = tuple[str, bytes]
Script = Generator[Act, bytes, None]
GO, DRIBBLE, DEAF_NOW = ("go", b""), ("dribble", b""), ("hear", b"")
LAST = b" LAST\r\n"
_NEXT = {"greeting": "EHLO", "EHLO": "MAIL", "HELO": "MAIL", "MAIL": "RCPT", "RCPT": "DATA", "dot": "MAIL"}


def say(words: bytes) -> Act:
    return ("say", words)


def hear(end: bytes = CRLF) -> Act:
    """Its result is everything up to and with this end."""
    return ("hear", end)


def take(size: int) -> Act:
    """Its result is so many bytes."""
    return ("take", b"%d" % size)


def by_table(
    changed: Mapping[str, bytes | list[bytes]] | None = None, trouble: tuple[str, str] | None = None, turn: int = 1
) -> Script:
    """changed: step -> reply, or replies one after the other; trouble: at this step; turn: of this message."""
    said = {**GOOD, "BDAT": b"250 go on\r\n", **(changed or {})}
    table = {step: [words] if isinstance(words, bytes) else list(words) for step, words in said.items()}
    step, number = "greeting", 1
    if trouble == ("greeting", UNREAD):
        yield GO
    while True:
        words = table.get(step, [b"500 what\r\n"])
        reply = words.pop(0) if len(words) > 1 else words[0]
        if trouble is not None and trouble[0] == step and number == turn and trouble[1] not in (UNREAD, DEAF):
            yield say(reply[:-3] if trouble[1] == HALF else b"")
            yield from _end_as(trouble[1])
        yield say(reply)
        number += step == "dot"
        in_body = step == "DATA" and reply.startswith(b"3")
        in_chunks = step == "RCPT" and b"CHUNKING" in b"".join(table["EHLO"])
        following = "dot" if in_body or in_chunks else _NEXT.get(step, "")
        if trouble is not None and trouble[0] == following and number == turn and trouble[1] in (UNREAD, DEAF):
            yield GO if trouble[1] == UNREAD else DEAF_NOW
            yield hear(b"never")
        heard = yield hear(END if in_body else CRLF)
        step = "dot" if in_body else heard[:4].upper().decode("latin-1").strip()
        if step == "BDAT":
            yield take(int(heard.split()[1]))
            step = "dot" if LAST in heard else step


def _end_as(what: str) -> Script:
    if what in (HALF, UNANSWERED):
        yield GO
    if what == DRIPS:
        yield DRIBBLE
    yield hear(b"never")


class Face:
    """The client's end of a connection to a peer with this script.

    noticed: whether the client knows at once that the peer has gone; piece: bytes that come at a time; heard: all that
    the peer has; farewell: what was said at the end, which nobody waits for; impatient: time is over as soon as the
    peer has nothing more to say.
    """

    def __init__(self, script: Script, *, noticed: bool = True, piece: int = 1 << 16, impatient: bool = False) -> None:
        self.script, self.noticed, self.piece, self.impatient = script, noticed, piece, impatient
        self.heard = self.farewell = self._rest = self._inbox = b""
        self.ended = self.closing = False
        self._awaited: Act = hear()
        self._arrived = asyncio.Event()
        self.within = Within(asyncio.get_running_loop())
        self._dribbling: asyncio.Task[None] | None = None
        self._play(next(script))

    def _play(self, act: Act) -> None:
        """Follow the script until it waits for what has not come."""
        while not self.ended:
            verb, words = act
            answer = b""
            if verb == "say":
                self._inbox += words
                self._arrived.set()
            elif verb == "go":
                self._go()
                return
            elif verb == "dribble":
                self._dribbling = asyncio.get_running_loop().create_task(self._dribble())
            else:
                self._awaited = act
                size = int(words) if verb == "take" else self._rest.find(words) + len(words)
                if act == DEAF_NOW or (verb == "hear" and size < len(words)) or size > len(self._rest):
                    return
                answer, self._rest = self._rest[:size], self._rest[size:]
            act = self.script.send(answer)

    async def _dribble(self) -> None:
        """A reply that goes on for ever."""
        for byte in itertools.cycle(b"250-x\r\n"):
            if self.ended:
                return
            self._inbox += bytes((byte,))
            self._arrived.set()
            await asyncio.sleep(DRIP)

    def _go(self) -> None:
        self.ended = True
        self._arrived.set()

    # what a conversation calls

    async def receive(self) -> bytes:
        while not self._inbox:
            if self.ended:
                raise ConnectionLost
            if self.impatient:
                raise TimeoutError
            self._arrived.clear()
            await self._arrived.wait()
        taken, self._inbox = self._inbox[: self.piece], self._inbox[self.piece :]
        return taken

    def take(self) -> bytes:
        taken, self._inbox = self._inbox, b""
        return taken

    def is_quiet(self) -> bool:
        return not (self._inbox or (self.ended and self.noticed))

    async def send(self, content: bytes) -> None:
        if self.ended:
            if self.noticed:
                raise ConnectionLost
            return
        self.heard += content
        if self._awaited == DEAF_NOW and self.impatient:
            raise TimeoutError
        if self._awaited == DEAF_NOW:
            await asyncio.Event().wait()
        self._rest += content
        self._play(self._awaited)

    def say(self, content: bytes) -> None:
        self.heard += content

    def close(self, last: bytes = b"") -> None:
        if not self.ended:
            self.farewell += last
        self.closing = True
        self._go()

    async def closed(self) -> None:
        if self._dribbling is not None:
            await self._dribbling


def met_by(equipment: Equipment, *faces: Callable[[], Face]) -> list[Face]:
    """Connections lead to these peers, one after the other, and no further.  Result: it grows by those that were."""
    waiting, met = list(faces), []  # type: list[Callable[[], Face]], list[Face]

    async def connect(_address: bytes, _port: int, _patience: float, _source: bytes = b"") -> Any:
        if not waiting:
            raise ConnectionRefusedError
        met.append(waiting.pop(0)())
        return met[-1]

    equipment.connect = connect
    return met


async def in_turn(
    place: Place,
    count: int,
    *faces: Callable[[], Face],
    warm: bool = False,
    to: tuple[bytes, ...] = (b"to@there.example",),
) -> tuple[list[bytes], list[Face]]:
    """So many deliveries one after the other, to these peers.  warm: over connections that stay.

    Result: the reports, without the line that names the relay; and the peers that were called.
    """
    equipment = Equipment(place.home)
    if warm:
        equipment.pool = Pool()
    met = met_by(equipment, *faces)
    reports = []
    for _ in range(count):
        descriptor = os.open(place.message, os.O_RDONLY)
        try:
            report = await deliver(place.home, b"there.example", b"from@here.example", list(to), descriptor, equipment)
        finally:
            os.close(descriptor)
        reports.append(re.sub(rb"Mail waits for the relay \S+ port \d+\.\n", b"", report))
    if equipment.pool is not None:
        equipment.pool.close()
    return reports, met


def one(place: Place, *faces: Callable[[], Face], **options: Any) -> tuple[bytes, list[Face]]:
    """One delivery: its report, and the peers."""
    [report], met = asyncio.run(in_turn(place, 1, *faces, **options))
    return report, met


def reset(connection: socket.socket) -> None:
    """What is in the way is lost, and so is the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def follow(line: Line, script: Script, *, rudely: bool = False, first: Act | None = None) -> None:
    """Act as a script says, by a real connection.  rudely: it ends in a reset; first: where to begin with it."""
    line.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what was said is on its way before we go
    act = first or next(script)
    while True:
        verb, words = act
        answer = b""
        if verb == "say":
            line.say(words)
        elif verb == "hear":
            answer = line.hear(words)
        else:
            if rudely:
                reset(line.connection)
            line.connection.close()
            return
        act = script.send(answer)
