"""Reading a file that somebody else may have put there: aliases, included lists, ~/.forward."""

import os
from pathlib import Path

import pytest

from qmailpy.disk import regular
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path}/list"


def put(path: str, text: bytes, mode: int = 0o644) -> None:
    Path(path).write_bytes(text)
    os.chmod(path, mode)


def test_a_file_is_read_whole_with_its_stamp(path: str) -> None:
    put(path, b"x" * 200_000)
    content = regular.read(path.encode())
    assert content is not None
    assert (content.text, content.uid) == (b"x" * 200_000, os.getuid())
    assert content.stamp == regular.stamp_of(path.encode()) == (os.stat(path).st_mtime_ns, 200_000)


def test_what_is_not_there_is_none(path: str) -> None:
    assert regular.read(path.encode()) is None
    assert regular.stamp_of(path.encode()) is None
    put(path, b"")
    assert regular.read(path.encode() + b"/below") is None
    assert regular.stamp_of(path.encode() + b"/below") is None


def test_a_name_that_is_too_long_is_not_there(path: str) -> None:
    """.forward+EXT has an EXT of the sender's choice: his mail must not wait a week for it."""
    assert regular.read(path.encode() + b"x" * 300) is None


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "loop", "proc"])
def test_what_is_no_file_waits_and_holds_nobody_up(path: str, kind: str) -> None:
    if kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.symlink({"device": "/dev/zero", "loop": "list", "proc": "/proc/self/status"}[kind], path)
    with pytest.raises(Die) as caught:
        regular.read(path.encode())
    assert caught.value.verdict == TEMP


@pytest.mark.parametrize("mode", [0o646, 0o602])
def test_what_others_can_write_is_nobodys_word(path: str, mode: int) -> None:
    put(path, b"|rm -rf .\n", mode)
    with pytest.raises(Die, match=r"is writable\. \(#4\.7\.0\)"):
        regular.read(path.encode())


def test_a_link_counts_as_what_it_leads_to(path: str) -> None:
    put(path + "2", b"ann\n")
    os.symlink("list2", path)
    content = regular.read(path.encode())
    assert content is not None
    assert content.text == b"ann\n"


def test_a_file_without_measure_waits(path: str) -> None:
    with open(path, "wb") as file:
        file.truncate(regular.LIMIT + 1)
    with pytest.raises(Die, match="Unable to read"):
        regular.read(path.encode())


def test_a_file_that_grows_while_it_is_read_waits(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, b"ann\n")
    whole = descriptors.read_whole

    def slowly(descriptor: int, limit: int) -> bytes:
        text = whole(descriptor, limit)
        with open(path, "ab") as file:
            file.write(b"bob\n")
        return text

    monkeypatch.setattr(descriptors, "read_whole", slowly)
    with pytest.raises(Die, match="it is being written"):
        regular.read(path.encode())


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_we_may_not_read_waits(path: str) -> None:
    put(path, b"", 0)
    with pytest.raises(Die, match="access denied"):
        regular.read(path.encode())
