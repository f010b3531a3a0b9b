"""What an administrator orders about a message (qmail-queuectl): hold it, let it go, remove it, move it, let it fail.

A message that is ordered about is caught wherever it would begin to wait for a try, and is kept here; what is under way
ends as always. DELETE, FAIL and MOVE are done as soon as nothing of the message is under way: at once for most. A HOLD,
a FAIL, a MOVE and what must wait stand in orders/N (disk/queue/orders), so that a restart does not forget them.
"""

from qmailpy.disk.queue import orders
from qmailpy.disk.queue.orders import DELETE, FAIL, HOLD, MOVE, Order
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import bounce, logline
from qmailpy.send.channel import Channel
from qmailpy.send.controls import Controls
from qmailpy.send.finishing import Finishing
from qmailpy.send.jobs import FAILED_RETRY
from qmailpy.send.log import Log
from qmailpy.send.moving import Moving
from qmailpy.send.todo import Todo
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from qmailpy.verdict import words
from qmailpy.wire import asking, parameters
from qmailpy.wire.delivery import CHANNELS

_AT_ONCE = 100  # recipients that fail in one turn


class Ordering:
    """All orders that are not done."""

    def __init__(self, loop: Loop, log: Log, paths: Paths, queue: Queue, controls: Controls, moving: Moving) -> None:
        """meet() must follow before anything happens."""
        self._loop, self._log, self._paths, self._queue, self._controls = loop, log, paths, queue, controls
        self._moving = moving
        self._channels: list[Channel] = []
        self._finishing: Finishing | None = None
        self._todo: Todo | None = None
        self._orders: dict[int, Order] = {}
        self._caught: dict[int, set[int]] = {}  # number -> channels on which it would wait
        self._to_sync: set[int] = set()  # messages whose info/N has gone
        self._new_names = False  # in orders/

    def meet(self, channels: list[Channel], finishing: Finishing, todo: Todo) -> None:
        """The other organs, once they are there."""
        self._channels, self._finishing, self._todo = channels, finishing, todo

    def load(self) -> None:
        """At the start, before any message waits: what was ordered and is not done."""
        try:
            for number, order in orders.listed(self._paths):
                if order is None or not orders.fits(self._paths, number, order):
                    orders.remove(self._paths, number)
                else:
                    self._orders[number] = order
        except Trouble as trouble:
            self._log.tell(trouble)

    def __contains__(self, number: int) -> bool:
        """Whether nothing of this message may be begun."""
        return number in self._orders

    # from the other organs

    def catch(self, number: int, channel: int) -> bool:
        """Whether this message, which would wait on this channel now, is kept here."""
        order = self._orders.get(number)
        if order is None:
            return False
        if not orders.fits(self._paths, number, order):  # its number is another's
            self.forget(number)
            return False
        self._caught.setdefault(number, set()).add(channel)
        if order.letter != HOLD:
            self._loop.after(0.0, lambda: self._look(number))
        return True

    def look(self, number: int) -> None:
        """One of its channels is finished: perhaps what is ordered waited for nothing else."""
        if number in self._orders:
            self._loop.after(0.0, lambda: self._look(number))

    def is_deleted(self, number: int) -> bool:
        """Whether its sender shall hear nothing of what has failed."""
        order = self._orders.get(number)
        return order is not None and order.letter == DELETE

    def forget(self, number: int) -> None:
        """It has come to its end."""
        self._caught.pop(number, None)
        if self._orders.pop(number, None) is not None:
            try:
                orders.remove(self._paths, number)
            except Trouble as trouble:  # the key says that it is nobody's
                self._log.tell(trouble)

    # from the administrator

    def answer(self, verb: bytes, number: int, key: int, text: bytes) -> bytes:
        """Do as he wishes, or say why not; nothing where the message is gone."""
        if orders.key_of(self._paths, number) != key:
            return b""
        try:
            if verb == asking.RELEASE:
                return self._release(number)
            return self._order(number, Order(verb, key, text.replace(b"\0", b"")))
        except Trouble as trouble:
            self._log.tell(trouble)
            self.look(number)  # what was ordered before still is
            for channel in () if number in self._orders else self._caught.pop(number, ()):
                self._channels[channel].waiting.add(number, clock.now() + FAILED_RETRY)
            return asking.FAILED + trouble.name + b": " + words(trouble.error)

    def settle(self) -> None:
        """What was answered is on disk, once for many.  Errors: Trouble."""
        if self._new_names:
            orders.sync(self._paths)
            self._new_names = False
        while self._to_sync:
            orders.sync_info(self._paths, self._to_sync.pop())

    def state(self, number: int) -> bytes:
        """What it waits for, in words (wire/asking)."""
        found = [self._state_on(channel, number) for channel in self._channels]
        order = self._orders.get(number)
        if order is not None:
            found.append(order.letter)
        return b" ".join(found)

    def _state_on(self, channel: Channel, number: int) -> bytes:
        if channel.number in self._caught.get(number, ()):
            return asking.FRESH
        return channel.state(number)

    def _order(self, number: int, order: Order) -> bytes:
        assert self._finishing is not None
        assert self._todo is not None
        if not self._moving.withdraw(number):
            return asking.ENDING
        is_new = self._queue.is_new(number)
        if not is_new and not self._queue.is_taken(number):
            return b""
        if not is_new and not self._queue.is_open(number):
            return self._order_at_end(number, order)
        at_rest = not is_new and not any(channel.is_busy(number) for channel in self._channels)
        if order.letter == DELETE and at_rest:
            self._withdraw(number)
            self._delete(number)
            return asking.DONE
        orders.write(self._paths, number, order)
        self._new_names = True
        self._orders[number] = order
        self._withdraw(number)
        if order.letter == HOLD:
            self._log.say(logline.ordered(number, b"hold"))
        self._todo.straights.keep(number)
        if order.letter in (FAIL, MOVE) and at_rest:
            self._loop.after(0.0, lambda: self._look(number))
        return asking.DONE if at_rest or order.letter in (HOLD, MOVE) else asking.LATER

    def _order_at_end(self, number: int, order: Order) -> bytes:
        """All is delivered or refused; what is left is the bounce."""
        assert self._finishing is not None
        if order.letter != DELETE or not self._finishing.withdraw(number):
            return asking.ENDING
        self._delete(number)
        return asking.DONE

    def _withdraw(self, number: int) -> None:
        for channel in self._channels:
            if channel.withdraw(number):
                self._caught.setdefault(number, set()).add(channel.number)

    def _release(self, number: int) -> bytes:
        order = self._orders.get(number)
        if order is None or order.letter not in (HOLD, MOVE) or not self._moving.withdraw(number):
            return asking.NOT_HELD
        self._let_go(number)
        self._log.say(logline.ordered(number, b"release"))
        return asking.DONE

    def _let_go(self, number: int) -> None:
        orders.remove(self._paths, number)
        self._new_names = True
        del self._orders[number]
        now = clock.now()
        for channel in self._caught.pop(number, ()):
            self._channels[channel].waiting.add(number, now)

    # the deeds

    def _look(self, number: int) -> None:
        """If nothing of this message is under way, do what is ordered."""
        order = self._orders.get(number)
        if order is None or order.letter == HOLD or any(channel.is_busy(number) for channel in self._channels):
            return
        if number in self._moving:
            return
        try:
            if self._queue.is_new(number):
                return  # it will be caught when it is taken up
            if order.letter == DELETE:
                self._delete(number)
            elif order.letter == MOVE:
                self._move(number, order)
            else:
                self._fail_some(number, order)
        except Trouble as trouble:
            self._log.tell(trouble)
            self._loop.after(FAILED_RETRY, lambda: self._look(number))

    def _delete(self, number: int) -> None:
        """Recipients first: a message that lost them in a crash ends; it may still tell who had been refused."""
        assert self._finishing is not None
        self._log.say(logline.ordered(number, b"delete"))
        for channel in self._channels:
            self._queue.close(number, channel.number)
        self._queue.drop_bounce(number)
        self._to_sync.add(number)
        self._finishing.end(number)

    def _move(self, number: int, order: Order) -> None:
        if self._queue.is_open(number):
            self._moving.move(number, order.text, lambda text: self._moved(number, order, text))
        else:  # meanwhile everybody has it, or was refused
            self._end_as_always(number)

    def _moved(self, number: int, order: Order, text: bytes) -> None:
        """text: nothing where the other queue has it, else D or Z and why not."""
        if self._orders.get(number) is not order:
            return  # meanwhile something else was ordered; its number may even be another message's
        try:
            if not text:
                for channel in self._channels:
                    self._queue.close(number, channel.number)
                self._log.say(logline.ordered(number, b"move", order.text))
                self._end_as_always(number)
            elif text.startswith(b"D"):
                self._log.say(logline.ordered(number, b"move refused, it stays", text[1:]))
                self._let_go(number)
            else:
                self._log.say(logline.ordered(number, b"move later", text[1:]))
                self._loop.after(FAILED_RETRY, lambda: self._look(number))
        except Trouble as trouble:
            self._log.tell(trouble)
            self._loop.after(FAILED_RETRY, lambda: self._moved(number, order, text))

    def _end_as_always(self, number: int) -> None:
        """Nobody is left to whom it could go; the sender hears of whom was refused before."""
        assert self._finishing is not None
        self.forget(number)
        self._finishing.add(number)

    def _fail_some(self, number: int, order: Order) -> None:
        """Some recipients fail, and in a moment the others; when there are none, the message ends as always."""
        for channel in range(len(CHANNELS)):
            if self._queue.due(number, channel) is not None:
                self._fail_on(number, channel, order)
                self._loop.after(0.0, lambda: self._look(number))
                return
        self._log.say(logline.ordered(number, b"bounce", order.text))
        self._end_as_always(number)

    def _fail_on(self, number: int, channel: int, order: Order) -> None:
        info = self._queue.info(number)
        wishes, reader = info.wishes_of(channel), self._queue.recipients(number, channel)
        records: list[bytes] = []
        offsets: list[int] = []
        try:
            while len(offsets) < _AT_ONCE and (record := reader.next()) is not None:
                done, offset, recipient = record
                wished = parameters.of_recipient(wishes.of(offset)) if wishes is not None else None
                if done:
                    continue
                offsets.append(offset)
                if wished is not None and wished.wants_no_failure:
                    self._log.say(logline.unwanted_bounce(number, recipient, wished.notify))
                else:
                    records.append(bounce.record(recipient, order.text, self._controls.domains.virtual))
        finally:
            reader.close()
        if records:
            self._queue.append_bounce(number, b"".join(records))  # before the marks, or a failure would be forgotten
        if len(offsets) < _AT_ONCE:
            self._queue.close(number, channel)
            return
        for offset in offsets:
            self._queue.mark(number, channel, offset)
