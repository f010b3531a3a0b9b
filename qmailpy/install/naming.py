"""Control files that follow from a host's full name: what config, config-fast and a new embedded home write.

Source: spec/08-control.md 8.
"""

import os

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.system import identity
from qmailpy.verdict import PERM, TEMP, Die, words

MODE = 0o644  # of every control file: what is in them is no secret
LONGEST = 253  # bytes of a domain name (RFC 1035 2.3.4, without the length bytes)


def default_domain(name: bytes) -> bytes:
    """The name without its first label if it has two dots or more, else the name."""
    return name.partition(b".")[2] if name.count(b".") >= 2 else name


def plus_domain(name: bytes) -> bytes:
    """The last two labels, or the name where it has fewer."""
    return b".".join(name.split(b".")[-2:])


def require_name(name: bytes) -> bytes:
    """The name, if it can be a host's.  Errors: Die PERM with the reason."""
    if not name or len(name) > LONGEST:
        raise Die(PERM, b"a host name has 1 to %d bytes" % LONGEST)
    if any(byte <= 32 or byte >= 127 or byte in b'/@:#<>()"\\,' for byte in name):
        raise Die(PERM, b"this is not a host name: " + name)
    if name.startswith(b"-"):  # --help, say
        raise Die(PERM, b"a host name does not begin with -: " + name)
    if name.startswith(b".") or name.endswith(b".") or b".." in name:
        raise Die(PERM, b"a host name has no empty label: " + name)
    return name


def put(home: Home, name: str, content: bytes) -> None:
    """Write control/NAME anew, mode 0644, put in place by rename.  Errors: Die TEMP."""
    path = home.control(name.encode())
    temporary = home.control(b".%s.%d" % (name.encode(), identity.my_pid()))
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), MODE)
            _give_to_group(home, file.fileno())
        os.rename(temporary, path)
    except OSError as error:
        raise Die(TEMP, b"unable to write " + path + b": " + words(error)) from None


def _give_to_group(home: Home, descriptor: int) -> None:
    """A control file belongs to root:qmail (spec/08); the directory's group says which that is."""
    if identity.is_root():
        parent = os.stat(home.at(b"control"))
        os.fchown(descriptor, parent.st_uid, parent.st_gid)


def append(home: Home, name: str, line: bytes) -> None:
    """Add a line to control/NAME, if it is not there yet.  Errors: Die TEMP."""
    old = control.read(home.control(name.encode())) or b""
    if line in control.entries(old):
        return
    if old and not old.endswith(b"\n"):
        old += b"\n"
    put(home, name, old + line + b"\n")


def steps(name: bytes) -> tuple[tuple[str, bytes], ...]:
    """The control files that hold one value each, in the order of writing."""
    return (("me", name), ("defaultdomain", default_domain(name)), ("plusdomain", plus_domain(name)))


LISTS = ("locals", "rcpthosts")  # control files that get the name as one entry more


def localhosts(home: Home) -> tuple[bytes, ...]:
    """What mail for user@localhost is for: as it stands, and as qmail-inject completes it (spec/07 5 rule 8)."""
    domain = control.line_or_me(home, "defaultdomain", b"")
    return (b"localhost", b"localhost." + domain) if domain else (b"localhost",)


def put_all(home: Home, name: bytes) -> None:
    """All that config-fast writes, in silence."""
    for file, value in steps(require_name(name)):
        put(home, file, value + b"\n")
    for file in LISTS:
        append(home, file, name)
