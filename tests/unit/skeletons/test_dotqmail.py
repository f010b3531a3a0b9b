"""Finding and reading a .qmail file in the working directory."""

import os
import posix
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.skeletons import dotqmail
from qmailpy.skeletons.dotqmail import exists, find, is_sticky_home, new_sender
from qmailpy.verdict import TEMP, Die


@pytest.fixture(autouse=True)
def in_the_home(tmp_path: Path) -> Iterator[None]:
    before = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    yield
    os.fchdir(before)
    os.close(before)


def put(name: str, text: str = "x", mode: int = 0o600) -> None:
    Path(name).write_text(text)
    os.chmod(name, mode)


def refusal(dash: bytes = b"", ext: bytes = b"") -> bytes:
    with pytest.raises(Die) as death:
        find(dash, ext)
    assert death.value.verdict == TEMP
    return death.value.text


def test_the_most_special_file_is_taken() -> None:
    for file in (".qmail-default", ".qmail-a-default", ".qmail-a-b"):
        put(file, file)
    for ext, name, default in (
        (b"A-B", b".qmail-a-b", None),
        (b"a-C", b".qmail-a-default", b"C"),
        (b"B", b".qmail-default", b"B"),
    ):
        found = find(b"-", ext)
        assert found is not None
        assert (found.name, found.text, found.default) == (name, name, default)


def test_nothing_is_nothing() -> None:
    assert find(b"", b"") is None
    assert find(b"-", b"x") is None
    assert find(b"-", b"x" * 500) is None
    assert find(b"-", b"-" * 500) is None


def test_what_is_no_regular_file_is_passed_over() -> None:
    os.mkfifo(".qmail-a")
    os.mkdir(".qmail-a-default")
    assert find(b"-", b"a") is None
    put(".qmail-default", "y")
    found = find(b"-", b"a")
    assert found is not None
    assert found.text == b"y"


def test_links_are_followed_and_dangling_ones_are_not_there() -> None:
    put("elsewhere", "y")
    os.symlink("elsewhere", ".qmail")
    os.symlink("nowhere", ".qmail-a")
    found = find(b"", b"")
    assert found is not None
    assert found.text == b"y"
    assert find(b"-", b"a") is None


@pytest.mark.parametrize("mode", [0o602, 0o666, 0o777])
def test_a_file_that_everybody_can_write_is_refused(mode: int) -> None:
    put(".qmail", mode=mode)
    assert refusal() == b"Uh-oh: .qmail file is writable. (#4.7.0)"


def test_a_file_that_the_group_can_write_is_taken() -> None:
    put(".qmail", mode=0o660)
    assert find(b"", b"") is not None


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_defers() -> None:
    put(".qmail", mode=0)
    assert refusal() == b"Unable to open .qmail: access denied. (#4.3.0)"


@pytest.mark.parametrize(("mode", "expected"), [(0o600, False), (0o700, True), (0o610, False)])
def test_the_owners_x_bit_means_forward_only(mode: int, expected: bool) -> None:
    put(".qmail", mode=mode)
    found = find(b"", b"")
    assert found is not None
    assert found.forward_only is expected


def test_a_gigantic_file_is_refused_without_being_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dotqmail, "LIMIT", 1 << 20)
    put(".qmail")
    os.truncate(".qmail", 1 << 40)
    assert refusal() == b"Unable to read .qmail: file too big. (#4.3.0)"


def test_too_many_open_files_defers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(24, "files")

    monkeypatch.setattr(posix, "open", fail)
    assert refusal() == b"Unable to open .qmail: process cannot open more files. (#4.3.0)"


@pytest.mark.parametrize(("mode", "sticky"), [(0o700, False), (0o770, False), (0o1700, True)])
def test_a_sticky_home_is_being_edited(mode: int, sticky: bool) -> None:
    os.chmod(".", mode)
    assert is_sticky_home() is sticky


@pytest.mark.parametrize("mode", [0o702, 0o777, 0o1777])
def test_a_home_that_everybody_can_write_is_refused(mode: int) -> None:
    os.chmod(".", mode)
    with pytest.raises(Die) as death:
        is_sticky_home()
    assert death.value.text == b"Uh-oh: home directory is writable. (#4.7.0)"


def test_a_home_that_is_gone_is_said(tmp_path: Path) -> None:
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir(tmp_path / "gone")
    assert is_sticky_home() is False  # it still can be looked at
    assert find(b"", b"") is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], b"a@b"),
        ([".qmail-list-owner-default"], b"a@b"),
        ([".qmail-list-owner"], b"Me-LIST-owner@h"),
        ([".qmail-list-owner", ".qmail-list-owner-default"], b"Me-LIST-owner-@h-@[]"),
    ],
)
def test_bounces_of_what_is_forwarded_go_to_the_owner(files: list[str], expected: bytes) -> None:
    for name in files:
        put(name, mode=0)
    assert new_sender(b"a@b", b"-", b"LIST", b"Me-LIST", b"h") == expected
    assert new_sender(b"", b"-", b"LIST", b"Me-LIST", b"h") == b""
    assert new_sender(b"#@[]", b"-", b"LIST", b"Me-LIST", b"h") == b"#@[]"


def test_an_owner_that_cannot_be_looked_for_defers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: bytes) -> os.stat_result:
        raise OSError(5, "disk")

    monkeypatch.setattr(posix, "stat", fail)
    with pytest.raises(Die) as death:
        exists(b".qmail-x-owner")
    assert death.value.text == b"Unable to open .qmail-x-owner: input/output error. (#4.3.0)"
