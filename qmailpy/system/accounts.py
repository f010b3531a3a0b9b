"""Accounts from any NSS source, for the one question mail has: whose home is this?

The standard pwd module says "no such account" also where the source of accounts fails, and mail for a real user would
bounce; on Linux the C library's own getpwnam_r is asked, which tells the two apart. Only the children of qmail-lspawn
that look users up, and setup, load this: ctypes costs 10 ms.
"""

import ctypes
import errno
import pwd
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_ENTRY = 1 << 20  # bytes of an account's entry: more is an error of its source


class _Passwd(ctypes.Structure):
    """Linux' struct passwd: glibc and musl agree."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    )


def find_user(name: bytes) -> tuple[bytes, int, int, bytes] | None:
    """(name, uid, gid, home) of an account; None where there is none.

    Errors: OSError from a source that fails: then nobody knows, and mail must wait.
    """
    if b"\0" in name:
        return None
    return _find_by_libc(name) if sys.platform == "linux" else _find_by_pwd(name)


def everybody() -> "Iterator[tuple[bytes, int, int, bytes]]":
    """(name, uid, gid, home) of every account that its source lists; a directory server may list none."""
    for entry in pwd.getpwall():
        name, home = (text.encode("utf-8", "surrogateescape") for text in (entry.pw_name, entry.pw_dir))
        yield name, entry.pw_uid, entry.pw_gid, home


def _find_by_libc(name: bytes) -> tuple[bytes, int, int, bytes] | None:
    ask = ctypes.CDLL(None).getpwnam_r
    size = 4096
    while True:
        entry, found, space = _Passwd(), ctypes.c_void_p(), ctypes.create_string_buffer(size)
        status: int = ask(name, ctypes.byref(entry), space, ctypes.c_size_t(size), ctypes.byref(found))
        if status == errno.ERANGE and size < _LARGEST_ENTRY:
            size *= 4
        elif status == 0:  # an account that does not exist is no error to glibc; every other status is one
            return (entry.name, entry.uid, entry.gid, entry.home) if found.value else None
        elif status != errno.EINTR:
            raise OSError(status, "getpwnam_r")


def _find_by_pwd(name: bytes) -> tuple[bytes, int, int, bytes] | None:
    try:
        entry = pwd.getpwnam(name.decode("utf-8", "surrogateescape"))
    except (KeyError, ValueError):
        return None
    return (
        entry.pw_name.encode("utf-8", "surrogateescape"),
        entry.pw_uid,
        entry.pw_gid,
        entry.pw_dir.encode("utf-8", "surrogateescape"),
    )
