"""The three outcomes of every step of delivery, and their four notations.

OK: done. TEMP: try later. PERM: never. In doubt TEMP: mail is never lost, only late.
This is the only file that knows how a verdict is written as an exit code, as a report letter
(K, Z, D), as an SMTP reply class, and how an errno becomes one (spec/00-common.md 10).
Used by every layer; imports nothing but errno, so that it costs a program's start nothing.
"""

import errno as _errno

OK, TEMP, PERM = 0, 1, 2

EXIT = (0, 111, 100)  # indexed by verdict
LETTER = (b"K", b"Z", b"D")  # indexed by verdict
SMTP_CLASS = (2, 4, 5)  # indexed by verdict

# sysexits(3) codes that qmail-local's programs may use and that are permanent (spec/05 5)
PERMANENT_EXITS = frozenset((100, 64, 65, 70, 76, 77, 78, 112))


class Die(Exception):
    """Ends a program: a verdict, one line of text without a final LF, and the exit code.

    Raised anywhere, caught only in the outermost frame (qmailpy.programs.start and the
    resident child), which writes the text to fd 2 and turns it into the exit.
    """

    def __init__(self, verdict: int, text: bytes, code: int | None = None) -> None:
        """verdict: TEMP or PERM; code: exit status where the interface wants another one."""
        super().__init__(text)
        self.verdict = verdict
        self.text = text
        self.code = EXIT[verdict] if code is None else code


_TEMPORARY = frozenset(
    value
    for name in [
        "EINTR",
        "ENOMEM",
        "ETXTBSY",
        "EIO",
        "ETIMEDOUT",
        "EWOULDBLOCK",
        "EAGAIN",
        "EDEADLK",
        "EBUSY",
        "ENFILE",
        "EMFILE",
        "EFBIG",
        "ENOSPC",
        "ENETDOWN",
        "ENETUNREACH",
        "ENETRESET",
        "ECONNABORTED",
        "ECONNRESET",
        "ENOBUFS",
        "ETOOMANYREFS",
        "ECONNREFUSED",
        "ENOTCONN",  # a FUSE mount whose server is dead
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EUSERS",
        "EDQUOT",
        "ESTALE",
        "ENOLCK",
        "EPROCLIM",
    ]
    if (value := getattr(_errno, name, None)) is not None
)

_WORDS = {
    _errno.ENOENT: b"file does not exist",
    _errno.EEXIST: b"file already exists",
    _errno.EACCES: b"access denied",
    _errno.EPERM: b"permission denied",
    _errno.ENOSPC: b"out of disk space",
    _errno.EDQUOT: b"disk quota exceeded",
    _errno.EIO: b"input/output error",
    _errno.ENOMEM: b"out of memory",
    _errno.ENOTDIR: b"not a directory",
    _errno.EISDIR: b"is a directory",
    _errno.EROFS: b"read-only file system",
    _errno.ETXTBSY: b"text busy",
    _errno.EINTR: b"interrupted system call",
    _errno.ETIMEDOUT: b"timed out",
    _errno.EAGAIN: b"temporary failure",
    _errno.EPIPE: b"broken pipe",
    _errno.EMFILE: b"process cannot open more files",
    _errno.ENFILE: b"system cannot open more files",
    _errno.ENAMETOOLONG: b"file name too long",
    _errno.ELOOP: b"symbolic link loop",
    _errno.EFBIG: b"file too big",
    _errno.ENOEXEC: b"exec format error",
    _errno.ESTALE: b"stale NFS file handle",
    _errno.ECONNREFUSED: b"connection refused",
    _errno.ECONNRESET: b"connection reset",
    _errno.EHOSTUNREACH: b"host unreachable",
    _errno.ENETUNREACH: b"network unreachable",
    _errno.EADDRINUSE: b"address already used",
    _errno.EADDRNOTAVAIL: b"address not available",
    _errno.ENXIO: b"device not configured",
    _errno.ENOTEMPTY: b"directory not empty",
    _errno.EINVAL: b"invalid argument",
    _errno.ESPIPE: b"unseekable descriptor",
    _errno.EXDEV: b"cross-device link",
    _errno.ENOTCONN: b"not connected",
    _errno.ENOTSOCK: b"not a socket",
    _errno.E2BIG: b"argument list too long",
    _errno.EBADF: b"file descriptor not open",
    _errno.ENOLCK: b"no locks available",
}


def is_temporary(errno: int | None) -> bool:
    """Whether trying again later can help.  errno: of an OSError.  Source: spec/00 10."""
    return errno in _TEMPORARY


def words(error: OSError | int | None) -> bytes:
    """Qmail's own text of an error, never the C library's (spec/00 10)."""
    number = error.errno if isinstance(error, OSError) else error
    return _WORDS.get(number or 0, b"unknown error")


def of_exit(status: int) -> int:
    """The verdict of a program of ours that ended with this exit status.

    status: 0..255.  0 is OK, 100 and the permanent sysexits are PERM, everything else is TEMP:
    1, 2, 120 and 130 are how Python dies of a bug, and a bug must not bounce mail (spec/11 1.6).
    """
    if status == 0:
        return OK
    return PERM if status in PERMANENT_EXITS else TEMP


def of_bug(error: BaseException) -> bytes:
    """An unknown exception in words: its kind and where it was raised, not its content."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        place = trace.tb_frame.f_code.co_filename.rpartition("/qmailpy/")[2]
        where = f" at {place}:{trace.tb_lineno}"
    return (type(error).__name__ + where).encode("ascii", "replace")
