"""A first look at a message."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.local.glance import beginning, read_header, shown, value
from qmailpy.rules import header


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "message", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def put(descriptor: int, content: bytes) -> None:
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)


def test_each_field_has_its_name_in_lower_case(file: int) -> None:
    put(file, b"Subject: a\n b\nX-Y : z\n\nbody\n")
    found: list[tuple[bytes, bytes]] = []
    assert read_header(file, lambda name, field: found.append((name, field))) == b"\nbody\n"
    assert found == [(b"subject", b"Subject: a\n b\n"), (b"x-y", b"X-Y : z\n")]


def test_a_message_without_a_body(file: int) -> None:
    put(file, b"Subject: a")
    found: list[bytes] = []
    assert read_header(file, lambda _, field: found.append(field)) == b""
    assert found == [b"Subject: a\n"]


def test_a_header_without_measure_ends(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "LIMIT", 100_000)
    put(file, b"X: " + b"y" * 300_000)
    assert read_header(file, lambda *_: None) == b""


@pytest.mark.parametrize(
    ("field", "expected"),
    [(b"A: b\n", b"b\n"), (b"A:\n \t b\n", b"b\n"), (b"A:\n", b""), (b"A: b: c\n", b"b: c\n")],
)
def test_a_value_begins_after_the_blanks(field: bytes, expected: bytes) -> None:
    assert value(field) == expected


def test_the_beginning_is_subject_and_body(file: int) -> None:
    put(file, b"X: y\nSubject: hi\n\n" + b"z" * 200_000)
    others: list[bytes] = []
    assert beginning(file, 10, lambda name, _: others.append(name)) == b"hi\n\nzzzzzz"
    assert others == [b"x"]
    os.lseek(file, 0, os.SEEK_SET)
    assert len(beginning(file, 150_000, lambda *_: None)) == 150_000


def test_nothing_strange_is_shown() -> None:
    assert shown(bytes(range(256)), b"/") == b"/" * 32 + bytes(range(32, 127)) + b"/" * 129
