"""Descriptors: the first look at 0, 1 and 2, and reading and writing whole things on pipes."""

import errno
import posix

READ_SIZE = 65536  # one pipe's buffer; also a good size for files


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


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte to a blocking descriptor.  Errors: OSError."""
    view = memoryview(content)
    while view:
        view = view[posix.write(descriptor, view) :]


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


def say(line: bytes) -> None:
    """One line on fd 2; nobody listening is no reason to fail."""
    try:
        write_all(2, line + b"\n")
    except OSError:
        return
