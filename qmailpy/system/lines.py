"""Lines of a file or pipe of any size, in bounded memory."""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 65536  # bytes


def read_lines(descriptor: int, limit: int) -> "Iterator[tuple[bytes, bool]]":
    """Each line without its LF, and whether it had one: only the last may not, and is never empty then.

    limit: bytes of a line; of a longer one its first limit + 1 bytes are given, so that the caller can tell.
    Linear in the bytes read, whatever they are.  Errors: OSError.
    """
    kept: list[bytes] = []  # the beginning of a line whose end has not come, at most limit + 1 bytes
    room = limit + 1
    while piece := posix.read(descriptor, _PIECE):
        first, *others = piece.split(b"\n")
        if others:
            kept.append(first[:room])
            yield b"".join(kept), True
            for line in others[:-1]:
                yield line[: limit + 1], True
            kept, room, first = [], limit + 1, others[-1]
        if first and room:
            kept.append(first[:room])
            room -= len(kept[-1])
    if kept:
        yield b"".join(kept), False
