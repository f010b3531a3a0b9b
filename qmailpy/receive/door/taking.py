"""What was left in drop/ while the door was closed: taken in one after the other, by the pool.

The files' contents and names were chosen by strangers. What cannot be a message is set aside, with a line in the log;
what only cannot be taken now (a full disk) stays where it is and is tried again at the next look. While a message that
is in the queue cannot be removed from drop/ (a file system that is read-only now), no other is taken in: each of them
would be delivered again at every look.
"""

import posix

from qmailpy.disk import drop
from qmailpy.rules import messageid
from qmailpy.skeletons.entry import Entry
from qmailpy.system import clock, descriptors
from qmailpy.verdict import Die, words
from qmailpy.wire import door as wire
from qmailpy.wire import parameters  # noqa: F401 - envelopes want it in the middle, when the next setup may have been here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.door.inside import Inside

_SMALL = 256 << 10  # bytes of a message that are kept in memory
_REST = 10  # times the length of a look that passes before the next
_LINES = 20  # log lines of one round: a stranger can make any number of files
_REMEMBERED = 1000  # names that cannot be set aside: so many are not tried, and said, again at every look


class Taking:
    """Looks into drop/ when it is told to."""

    def __init__(self, inside: "Inside") -> None:
        """Nothing is looked at yet."""
        self._inside = inside
        self._folder = inside.home.at(b"drop")
        self._names: list[bytes] = []
        self._stuck: set[bytes] = set()
        self._entered = b""  # the one that is in the queue and still in drop/
        self._lines = 0
        self._changed = -1
        self._rested = 0.0  # no look before, on the monotonic clock
        self._stopping = False
        self.is_running = False

    def look_if_changed(self) -> None:
        """Cheap: one stat, and a look if something has been put there or taken away since the last one."""
        if drop.changed(self._folder) != self._changed:
            self.look()

    def look(self) -> None:
        """Take in whatever is there."""
        begun = clock.monotonic()
        if self.is_running or self._stopping or begun < self._rested:
            return
        self._changed = drop.changed(self._folder)
        self.is_running = True
        names: list[bytes] = []

        def looked(_: BaseException | None) -> None:
            ended = clock.monotonic()
            self._rested = ended + _REST * (ended - begun)
            self._stuck.intersection_update(names)
            self._lines = 0
            self._names = [name for name in names if name not in self._stuck]
            self._names.reverse()  # the oldest is popped first
            if self._entered:
                self._remove(self._entered)
            self._next()

        # in the pool: anybody can put half a million files there, and nobody's message may wait for that
        self._inside.submit(lambda: names.extend(drop.waiting(self._folder, clock.now())), looked)

    def stop(self) -> None:
        """Begin nothing more; what is being taken in is left for the next door, if it is not in the queue yet."""
        self._stopping = True

    def resume(self) -> None:
        """After a stop that was taken back."""
        self._stopping = self.is_running = False

    def _next(self) -> None:
        self.is_running = bool(self._names) and not self._stopping
        if not self.is_running:
            return
        name, serial = self._names.pop(), self._inside.serial()
        self._inside.submit(lambda: self._take(name, serial), lambda error: self._taken(name, error))

    def _take(self, name: bytes, serial: int) -> None:
        """In a thread of the pool.  Errors: Unfit, Refusal and DoorError are for good; _Later and all others not."""
        found = drop.open_found(self._folder, name)
        try:
            self._enter(found, Entry(self._inside.home, self._inside.names, found.uid, serial, self._inside.local_time))
        finally:
            posix.close(found.descriptor)

    def _enter(self, found: drop.Found, entry: Entry) -> None:
        reader, message, content = wire.FrameReader(), wire.Incoming(self._inside.largest), bytearray()
        if 0 < self._inside.largest < found.size // 2 - wire.ENVELOPE_LIMIT:
            raise wire.too_large()
        try:
            while piece := posix.read(found.descriptor, descriptors.READ_SIZE):
                if self._stopping:
                    raise _Later
                reader.feed(piece)
                while (frame := reader.next()) is not None:
                    if message.done:
                        raise drop.Unfit(b"something follows the message")
                    content += message.take(*frame)
                if len(content) > _SMALL:
                    entry.store(bytes(content))
                    content.clear()
            if not reader.is_between or not message.done:
                raise drop.Unfit(b"it ends too early")
            beginning, records = bytes(content[: messageid.LIMIT]), bytes(message.records())
            entry.accept(bytes(content), records)
            if self._inside.story.on:
                self._inside.story.accepted(found.uid, 0, entry, records, beginning)
        finally:
            entry.abandon()  # nothing to do where it was accepted

    def _taken(self, name: bytes, error: BaseException | None) -> None:
        if error is None:
            self._remove(name)
        elif isinstance(error, drop.Unfit | wire.Refusal):
            self._set_aside(name, error.text)
        elif isinstance(error, wire.DoorError):
            self._set_aside(name, str(error).encode())
        elif isinstance(error, FileNotFoundError):  # its owner has taken it back
            pass
        elif isinstance(error, _Later):
            self._names = []
        elif isinstance(error, OSError | Die | MemoryError):  # the disk, descriptors, memory: the next look may do
            reason = error.text if isinstance(error, Die) else words(error if isinstance(error, OSError) else None)
            self._say(b"drop/" + _printable(name) + b" deferred: " + reason)
            self._names = []
        else:  # a bug of ours: it must not come back every minute
            self._set_aside(name, b"internal error: " + type(error).__name__.encode("ascii", "replace"))
        self._next()

    def _remove(self, name: bytes) -> None:
        """It is in the queue: before anything else is taken in it must be gone from here."""
        known, self._entered = self._entered, b""
        try:
            drop.remove(self._folder, name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._names, self._entered = [], name
            if name != known:
                why = b" was taken in and cannot be removed, so nothing more is taken in: "
                self._say(b"drop/" + _printable(name) + why + words(error))

    def _set_aside(self, name: bytes, reason: bytes) -> None:
        self._say(b"drop/" + _printable(name) + b" set aside: " + reason)
        try:
            drop.set_aside(self._folder, name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._say(b"drop/" + _printable(name) + b" cannot be moved: " + words(error))
            if len(self._stuck) < _REMEMBERED:
                self._stuck.add(name)

    def _say(self, line: bytes) -> None:
        self._lines += 1
        if self._lines <= _LINES:
            self._inside.log(b"warning: " + line)
        elif self._lines == _LINES + 1:
            self._inside.log(b"warning: more of this in drop/")


class _Later(Exception):
    """The door is closing."""


def _printable(name: bytes) -> bytes:
    return bytes(byte if 33 <= byte <= 126 else 63 for byte in name)
