"""A log that nobody reads: a pipe with a name, full to the brim, until the test reads it."""

import os
from contextlib import suppress
from typing import Self

from tests.support import wait_for

PIECE = b"somebody else's line\n"


class UnreadLog:
    """The name is a FIFO that programs can open as their log."""

    def __init__(self, path: str) -> None:
        """path: where nothing is yet."""
        os.mkfifo(path)
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        for piece in (PIECE * 100, PIECE, b"\n"):
            with suppress(BlockingIOError):
                while True:
                    os.write(writing, piece)
        os.close(writing)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)

    def wait_for(self, words: bytes) -> bytes:
        """Read until this is there.  Result: all that was ever read."""

        def found() -> bytes:
            with suppress(BlockingIOError):
                while piece := os.read(self._reading, 65536):
                    self._read += piece
            return self._read if words in self._read else b""

        return wait_for(found, lambda: f"{words!r} in a log of {len(self._read)} bytes")
