"""Lines of any file, in bounded memory: whatever the pieces, the same lines."""

import os
import posix
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.system import lines


def read_file(content: bytes, limit: int, path: str) -> list[tuple[bytes, bool]]:
    with open(path, "wb") as file:
        file.write(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(lines.read_lines(descriptor, limit))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [(b"", True)]),
        (b"a", [(b"a", False)]),
        (b"a\n", [(b"a", True)]),
        (b"a\n\nb", [(b"a", True), (b"", True), (b"b", False)]),
        (b"12345\n123456\n1234567\n", [(b"12345", True), (b"123456", True), (b"123456", True)]),
        (b"a\0b\r\n", [(b"a\0b\r", True)]),
    ],
)
def test_a_line_is_what_stands_before_an_lf(
    tmp_path: object, content: bytes, expected: list[tuple[bytes, bool]]
) -> None:
    assert read_file(content, 5, f"{tmp_path}/file") == expected


@pytest.mark.hypothesis
@given(st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"\0", b"\n\n"])), st.integers(1, 5), st.integers(0, 6))
def test_the_pieces_in_which_it_comes_make_no_difference(words: list[bytes], size: int, limit: int) -> None:
    content = b"".join(words)
    expected = [(line[: limit + 1], True) for line in content.split(b"\n")]
    last = expected.pop()[0]
    expected += [(last, False)] if last else []
    pieces = [content[at : at + size] for at in range(0, len(content), size)] + [b""]

    def next_piece(_descriptor: int, _size: int) -> bytes:
        return pieces.pop(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posix, "read", next_piece)
        assert list(lines.read_lines(0, limit)) == expected


def test_a_line_without_end_is_not_kept() -> None:
    """64 MB through a pipe, and then an LF: the reader has a few pieces at a time."""
    read_end, write_end = os.pipe()

    def write() -> None:
        with open(write_end, "wb") as file:
            file.writelines(b"x" * 65536 for _ in range(1024))
            file.write(b"\nlast")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert list(lines.read_lines(read_end, 10)) == [(b"x" * 11, True), (b"last", False)]
    finally:
        os.close(read_end)
        writer.join()
