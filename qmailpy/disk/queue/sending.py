"""qmail-send's way through the queue: claim, read, mark, defer, finish (spec/02 4 and 6).

  S4        disk/queue/claiming
  S4 -> S5  qmail-clean removes todo/N (not here)
  S5        recipients(N, channel), each then mark()ed, after append_bounce() if it failed; defer() at a shutdown
  S5 -> S2  close(N, channel) for each channel, drop_bounce(N), finish(N); qmail-clean does the rest

A mark is one byte overwritten in place and is not fsynced: a power cut may repeat a delivery, never lose one. The text
of a bounce is fsynced before its mark, or the sender would never hear of it.
Errors of every call: Trouble.  Only the holder of the mutex may write.
"""

import posix

from qmailpy.disk import durable
from qmailpy.disk.queue import listing, looking
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Recipients, Trouble
from qmailpy.disk.queue.wishes import TOLD, Info
from qmailpy.system import descriptors
from qmailpy.wire.delivery import CHANNELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
_APPEND = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC
_MARK = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
_MODE = 0o600


class Queue:
    """The queue as qmail-send sees it.  number: a message's; channel: LOCAL or REMOTE."""

    def __init__(self, paths: Paths) -> None:
        """paths: of which queue.  The process's umask must be 077."""
        self._paths = paths

    def taken(self, half: set[int]) -> list[int]:
        """At the start: every message in S5.  half: gets those whose preprocessing did not come to its end."""
        todo = set(listing.todo(self._paths))
        found = list(listing.numbers(self._paths, b"info"))
        half.update(number for number in found if number in todo)
        return [number for number in found if number not in todo]

    def both_due(self, number: int) -> tuple[int | None, int | None]:
        """When each channel is to be tried again, in seconds since the epoch; None where one is finished.

        Errors: Trouble, with FileNotFoundError where mess/N is gone: nothing could be delivered.
        """
        self._require(self._paths.mess(number))
        return self.due(number, 0), self.due(number, 1)

    def written(self, number: int) -> int:
        """When its mess file was written, in nanoseconds since the epoch; 0 where that cannot be said."""
        return looking.written(self._paths, number)

    def due(self, number: int, channel: int) -> int | None:
        """When this channel is to be tried again; None where it is finished."""
        path = self._paths.split(CHANNELS[channel], number)
        try:
            return int(posix.stat(path).st_mtime)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble("stat later", path, error) from None

    def _require(self, path: bytes) -> None:
        try:
            posix.stat(path)
        except OSError as error:
            raise self._trouble("stat later", path, error) from None

    def info(self, number: int) -> Info:
        """Sender, birth, and what is wished."""
        try:
            return Info(self._paths, number)
        except OSError as error:
            raise self._trouble("open later", self._paths.info(number), error) from None

    def remember_told(self, number: int) -> None:
        """The sender was told that it is late.  C's programs know only the seconds of this time."""
        path = self._paths.info(number)
        try:
            when = int(posix.stat(path).st_mtime) * 1_000_000_000 + TOLD
            posix.utime(path, ns=(when, when))
        except OSError as error:
            raise self._trouble("utime", path, error) from None

    def recipients(self, number: int, channel: int) -> Recipients:
        """The records of a channel, to be read one by one."""
        return Recipients(self._paths, CHANNELS[channel], number)

    def mark(self, number: int, channel: int, offset: int) -> None:
        """The recipient at this offset is done."""
        path = self._paths.split(CHANNELS[channel], number)
        try:
            descriptor = posix.open(path, _MARK)
            try:
                posix.pwrite(descriptor, b"D", offset)
            finally:
                posix.close(descriptor)
        except OSError as error:
            raise self._trouble("mark", path, error) from None

    def defer(self, number: int, channel: int, when: int) -> None:
        """Write down when to try again (only needed across a restart)."""
        path = self._paths.split(CHANNELS[channel], number)
        try:
            posix.utime(path, (when, when))
        except OSError as error:
            raise self._trouble("utime", path, error) from None

    def append_bounce(self, number: int, text: bytes) -> None:
        """Keep the record of a failure, durably: when this returns, the recipient may be marked."""
        path = self._paths.bounce(number)
        try:
            descriptor = posix.open(path, _APPEND, _MODE)
            try:
                before = posix.fstat(descriptor).st_size
                try:
                    descriptors.write_all(descriptor, text)
                    durable.sync_file(descriptor)
                    if before == 0:
                        durable.sync_directory(self._paths.folder(b"bounce"))
                except OSError:
                    posix.ftruncate(descriptor, before)  # it will be tried again: no half record before it
                    raise
            finally:
                posix.close(descriptor)
        except OSError as error:
            raise self._trouble("append", path, error) from None

    # S5 -> S2

    def close(self, number: int, channel: int) -> None:
        """Every recipient of this channel is done."""
        self._remove(self._paths.split(CHANNELS[channel], number), "unlink later")

    def is_open(self, number: int) -> bool:
        """Whether a channel is not finished, or the message is not (or no longer) in S5."""
        for channel in range(len(CHANNELS)):
            if self.due(number, channel) is not None:
                return True
        return self._exists(self._paths.todo(number)) or not self._exists(self._paths.info(number))

    def is_new(self, number: int) -> bool:
        """Whether it is in S4."""
        return self._exists(self._paths.todo(number))

    def is_taken(self, number: int) -> bool:
        """Whether it is in S5, or has been there before todo/N was removed."""
        return self._exists(self._paths.info(number))

    def has_bounce(self, number: int) -> bool:
        """Whether a failure was recorded."""
        return self._exists(self._paths.bounce(number))

    def bounce_text(self, number: int) -> "Iterator[bytes]":
        """The records of the failures, in pieces."""
        return self._pieces(self._paths.bounce(number))

    def message(self, number: int) -> "Iterator[bytes]":
        """The mess file, in pieces."""
        return self._pieces(self._paths.mess(number))

    def drop_bounce(self, number: int) -> None:
        """The bounce is in the queue, or nobody wants it."""
        self._remove(self._paths.bounce(number), "unlink later")

    def finish(self, number: int) -> None:
        """S5 -> S2: nothing is left to do."""
        self._remove(self._paths.info(number), "unlink later")

    def _exists(self, path: bytes) -> bool:
        try:
            posix.stat(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._trouble("stat later", path, error) from None
        return True

    def _remove(self, path: bytes, what: str) -> None:
        try:
            posix.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._trouble(what, path, error) from None

    @staticmethod
    def _pieces(path: bytes) -> "Iterator[bytes]":
        """Errors: OSError."""
        descriptor = posix.open(path, _READ)
        try:
            while piece := posix.read(descriptor, descriptors.READ_SIZE):
                yield piece
        finally:
            posix.close(descriptor)

    def _trouble(self, what: str, path: bytes, error: OSError | None = None) -> Trouble:
        return Trouble(what, self._paths.relative(path), error)
