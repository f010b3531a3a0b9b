"""The records of local/N and remote/N: T address NUL to do, D address NUL done; and what can go wrong with a file."""

import posix

from qmailpy.disk.queue.paths import Paths

_PIECE = 65536  # bytes read at once: a message to a million recipients is not held in memory


class Trouble(Exception):
    """A step in the queue failed; nothing is lost by it.

    what: the step, a key of the log's table of warnings; name: of the file, relative to the queue; error: the
    reason, None where the content is at fault.
    """

    def __init__(self, what: str, name: bytes, error: OSError | None = None) -> None:
        """error: as caught."""
        super().__init__(what, name)
        self.what, self.name, self.error = what, name, error


class Recipients:
    """One channel's recipients of one message, read in pieces, in their order."""

    __slots__ = ("_at", "_descriptor", "_name", "_records", "_rest")

    def __init__(self, paths: Paths, channel: bytes, number: int) -> None:
        """channel: its name.  Errors: Trouble "open later"."""
        path = paths.split(channel, number)
        self._name = paths.relative(path)
        try:
            self._descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        except OSError as error:
            raise Trouble("open later", self._name, error) from None
        self._rest = b""  # the beginning of a record
        self._records: list[bytes] = []  # whole ones, the next at the end
        self._at = 0  # offset of the next record in the file

    def next(self) -> tuple[bool, int, bytes] | None:
        """(done, offset, address) of the next record; None after the last.  Errors: Trouble.

        Bytes after the last NUL are a record that was cut off: an error, since the file was fsynced whole.
        """
        while not self._records:
            if not self._read():
                return None
        record = self._records.pop()
        offset = self._at
        self._at += len(record) + 1
        letter = record[:1]
        if letter not in (b"T", b"D"):
            raise Trouble("record later", self._name)
        return letter == b"D", offset, record[1:]

    @property
    def at_end(self) -> bool:
        """Whether next() would give None, as far as can be known without reading."""
        return self._descriptor < 0 and not self._records and not self._rest

    def _read(self) -> bool:
        if self._descriptor < 0:
            if self._rest:
                raise Trouble("record later", self._name)
            return False
        try:
            piece = posix.read(self._descriptor, _PIECE)
        except OSError as error:
            raise Trouble("read later", self._name, error) from None
        if len(piece) < _PIECE:  # the file's end: many messages may be under way, few descriptors
            self.close()
        self._records = (self._rest + piece).split(b"\0")
        self._rest = self._records.pop()
        self._records.reverse()
        return True

    def close(self) -> None:
        """Needed only where the end was not reached; may be called twice."""
        if self._descriptor >= 0:
            posix.close(self._descriptor)
            self._descriptor = -1
