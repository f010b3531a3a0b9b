"""The rules of -x: which connections may stay, and what stands in their environment.

The file may be compiled anew at any time: one stat for each connection notices it. What the rules say of an address is
remembered as long as the file is the same.
"""

import posix

from qmailpy.disk.cdb import Cdb
from qmailpy.rules import tcprules
from qmailpy.verdict import words

_REMEMBERED = 4096  # addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    Key = tuple[bytes, bytes | None, bytes | None]


class Dropped(Exception):
    """The rules cannot be read: nobody comes in, for who knows whom they keep out.  reason: a clause."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


class Ruling:
    """What the rules say: whether to stay, and variables to set."""

    __slots__ = ("denied", "variables")

    def __init__(self, record: bytes | None) -> None:
        """record: of a cdb that tcprules has made; None: no rule fits."""
        self.variables: dict[bytes, bytes] = {}
        self.denied = record is not None and not tcprules.apply(record, self.variables)


class Rules:
    """The file of -x, as it is now."""

    def __init__(self, path: bytes | None, *, may_be_missing: bool) -> None:
        """path: None for no rules at all."""
        self._path, self._may_be_missing = path, may_be_missing
        self._cdb: Cdb | None = None
        self._identity: tuple[int, ...] = ()
        self._known: dict[Key, Ruling] = {}
        self._free = Ruling(None)

    def judge(self, ip: bytes, host: bytes | None, owner: bytes | None) -> Ruling:
        """What the rules say of this client.  Errors: Dropped."""
        if self._path is None:
            return self._free
        try:
            self._look()
            if self._cdb is None:
                return self._free
            key = (ip, host, owner)
            ruling = self._known.get(key)
            if ruling is None:
                ruling = Ruling(tcprules.decide(self._cdb.get, ip, host, owner))
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = ruling
        except OSError as error:
            raise Dropped(b"unable to read " + self._path + b": " + words(error)) from None
        return ruling

    def _look(self) -> None:
        """Open the file if it is another one now.  Errors: OSError."""
        assert self._path is not None
        try:
            status = posix.stat(self._path)
        except FileNotFoundError:
            self._close()
            if not self._may_be_missing:
                raise
            return
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if identity != self._identity:
            self._close()
            self._cdb = Cdb(self._path)
            self._identity = identity

    def _close(self) -> None:
        self._known.clear()
        self._identity = ()
        cdb, self._cdb = self._cdb, None
        if cdb is not None:
            cdb.__exit__(None, None, None)
