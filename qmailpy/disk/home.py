"""The home: where an installation lives, and which of the two ways it lives.

Every path of a home except those below queue/ (disk/queue) is spelled here.
"""

import posix

from qmailpy.system import identity

DEFAULT = b"/var/qmail"


class Home:
    """A qmail home directory.

    path: absolute, no slash at its end.  Nothing is opened until it is asked for.
    """

    __slots__ = ("_embedded", "_roles", "path")

    def __init__(self, path: bytes) -> None:
        """path: made absolute against the current directory."""
        if not path.startswith(b"/"):
            path = posix.getcwdb() + b"/" + path
        self.path = path.rstrip(b"/") or b"/"
        self._embedded: bool | None = None
        self._roles: identity.Roles | None = None

    def at(self, *names: bytes) -> bytes:
        """A path inside the home."""
        return b"/".join((self.path, *names))

    def program(self, name: str) -> bytes:
        """A program's launcher."""
        return self.at(b"bin", name.encode())

    def control(self, name: bytes) -> bytes:
        """A control file."""
        return self.at(b"control", name)

    @property
    def queue(self) -> bytes:
        """The queue directory; only disk/queue and the layout go below it."""
        return self.at(b"queue")

    @property
    def socket(self) -> bytes:
        """The door's socket."""
        return self.at(b"door", b"socket")

    @property
    def sender_socket(self) -> bytes:
        """Where qmail-send answers the door."""
        return self.at(b"door", b"send", b"socket")

    @property
    def auth_socket(self) -> bytes:
        """Where qmail-authd answers sessions."""
        return self.at(b"auth", b"socket")

    @property
    def embedded(self) -> bool:
        """Whether this home lives the embedded way (DESIGN 2): one uid has every role.

        control/embedded exists and queue/ belongs to us.
        """
        if self._embedded is None:
            self._embedded = _exists(self.control(b"embedded")) and (_owner(self.queue) == identity.my_uid())
        return self._embedded

    @property
    def direct(self) -> bool:
        """Whether mail leaves this host without a queue, by qmail-direct: control/direct exists."""
        return _exists(self.control(b"direct"))

    @property
    def roles(self) -> identity.Roles:
        """The accounts of the roles.  Errors: Die TEMP where one is missing."""
        if self._roles is None:
            self._roles = identity.embedded_roles() if self.embedded else identity.classic_roles()
        return self._roles


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _owner(path: bytes) -> int:
    try:
        return posix.stat(path).st_uid
    except OSError:
        return -1
