"""Who receives an address, as qmail-getpw says it and users/cdb keeps it: six fields, each ended by a NUL.

name NUL uid NUL gid NUL home NUL dash NUL ext NUL (spec/03-pipes.md 5, 6). Both ends are here. The reader may be root
and the writer is not: it takes nothing but plain decimal numbers that are ids, and an absolute home.
"""

LIMIT = 65536  # bytes of an answer; the ext of the longest address has 1 kB
FIELDS = 6
_LARGEST_ID = 0xFFFFFFFE  # (uid_t) -1 means "unchanged" to the kernel
_ID_DIGITS = 10
_DIGITS = b"0123456789"


class User:
    """Whose mail an address is, and what of the address is left for his .qmail files.

    name, home, dash, ext: bytes without NUL, home absolute; uid, gid: 0..2**32-2.
    """

    __slots__ = ("dash", "ext", "gid", "home", "name", "uid")

    def __init__(self, name: bytes, uid: int, gid: int, home: bytes, dash: bytes, ext: bytes) -> None:
        """The six fields in their order on the wire."""
        self.name, self.uid, self.gid = name, uid, gid
        self.home, self.dash, self.ext = home, dash, ext

    def __eq__(self, other: object) -> bool:
        """By content; for tests."""
        if not isinstance(other, User):
            return NotImplemented
        return encode(self) == encode(other)

    __hash__ = None  # type: ignore[assignment]


def encode(user: User) -> bytes:
    """The bytes for fd 1 of qmail-getpw."""
    fields = (user.name, user.uid, user.gid, user.home, user.dash, user.ext)
    return b"%s\0%d\0%d\0%s\0%s\0%s\0" % fields


def decode(content: bytes) -> User | None:
    """The user; None where the bytes are not exactly six such fields."""
    fields = content.split(b"\0", FIELDS + 1)
    if len(fields) != FIELDS + 1 or fields[FIELDS]:
        return None
    name, uid, gid, home, dash, ext = fields[:FIELDS]
    uid_number, gid_number = _number(uid), _number(gid)
    if uid_number is None or gid_number is None or not home.startswith(b"/"):
        return None
    return User(name, uid_number, gid_number, home, dash, ext)


def _number(text: bytes) -> int | None:
    if not 1 <= len(text) <= _ID_DIGITS or text.strip(_DIGITS):
        return None
    number = int(text)
    return number if number <= _LARGEST_ID else None
