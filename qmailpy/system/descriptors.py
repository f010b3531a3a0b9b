"""Descriptors: the first look at 0, 1 and 2, and reading and writing whole things on pipes."""

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

READ_SIZE = 65536  # one pipe's buffer; also a good size for files
OUTPUT = 1  # where a program's answer goes: to a person, a pipe, or its parent


class OutputError(OSError):
    """Nobody takes what a program says on fd 1.  Whoever does not handle it ends by it: qmailpy.programs.run."""


def guard() -> None:
    """Fill closed standard descriptors, so that no file of ours ever lands on 0, 1 or 2.

    A closed 0 becomes /dev/null opened for writing and a closed 1 or 2 /dev/null for reading: using it
    the usual way still fails, as it should, instead of hitting a queue file.
    """
    for descriptor, flags in ((0, posix.O_WRONLY), (1, posix.O_RDONLY), (2, posix.O_RDONLY)):
        try:
            posix.fstat(descriptor)
        except OSError:
            posix.open(b"/dev/null", flags)  # the lowest free number is this one


def write_all(descriptor: int, content: "bytes | bytearray | memoryview") -> None:
    """Write every byte to a blocking descriptor.  Errors: OSError; on fd 1 OutputError, which is one."""
    view = memoryview(content)
    try:
        while view:
            view = view[posix.write(descriptor, view) :]
    except OSError as error:
        if descriptor == OUTPUT:
            raise OutputError(error.errno, error.strerror) from None
        raise


def write_pieces_all(descriptor: int, pieces: "Sequence[bytes | bytearray | memoryview]") -> None:
    """Write every byte of these to a blocking descriptor: at one stroke if they are small.  Errors: OSError."""
    if sum(map(len, pieces)) <= READ_SIZE:  # copying costs less than a second call; it does not with megabytes
        write_all(descriptor, b"".join(pieces))
        return
    for piece in pieces:
        write_all(descriptor, piece)


def write_pieces(descriptor: int, content: bytes) -> int:
    """Write what a non-blocking descriptor takes now.  Result: bytes written.  Errors: OSError."""
    written = 0
    view = memoryview(content)
    while written < len(content):
        try:
            written += posix.write(descriptor, view[written:])
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            break
    return written


def read_all(descriptor: int, limit: int) -> bytes:
    """Everything to end of file, at most limit + 1 bytes (so that the caller can tell)."""
    pieces = []
    left = limit + 1
    while left > 0 and (piece := posix.read(descriptor, min(left, READ_SIZE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def read_whole(descriptor: int, limit: int) -> bytes:
    """Everything to end of file.  limit: bytes.  Errors: OSError, EFBIG where there is more."""
    content = read_all(descriptor, limit)
    if len(content) > limit:
        raise OSError(errno.EFBIG, "larger than the limit")
    return content


def beginning(path: bytes, size: int) -> bytes:
    """The first bytes of a file; empty where it cannot be read.  size: at most so many."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return posix.read(descriptor, size)
    except OSError:
        return b""
    finally:
        posix.close(descriptor)


def is_at_end(descriptor: int) -> bool:
    """Whether nobody can write here any more; what somebody wrote is forgotten.  descriptor: ready to be read."""
    try:
        return not posix.read(descriptor, 512)
    except BlockingIOError:
        return False
    except OSError:
        return True


def say(line: bytes, descriptor: int = 2) -> None:
    """One line; nobody listening is no reason to fail."""
    try:
        write_all(descriptor, line + b"\n")
    except OSError:
        return


def close(descriptor: int) -> None:
    """Give it back; an error, after what was written has been fsynced, says nothing about it any more."""
    try:
        posix.close(descriptor)
    except OSError:
        return
