"""What is in a Maildir."""

import os
from pathlib import Path

import pytest

from qmailpy.disk.maildir_list import clean, listing
from qmailpy.verdict import TEMP, Die
from tests.support import write

NOW = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> bytes:
    for part in ("tmp", "new", "cur"):
        os.mkdir(tmp_path / part)
    return f"{tmp_path}/".encode()


def put(folder: bytes, name: str, when: float) -> None:
    path = write(folder.decode() + name, b"x")
    os.utime(path, (when, when))


def test_oldest_first_and_by_name_within_a_second(folder: bytes) -> None:
    put(folder, "new/b", NOW - 5)
    put(folder, "cur/a:2,", NOW - 5)
    put(folder, "new/c", NOW - 9)
    put(folder, "cur/d", NOW - 1)
    found = listing(folder, (b"new", b"cur"), NOW)
    assert [(mail.path, mail.mtime) for mail in found] == [
        (b"new/c", NOW - 9),
        (b"cur/a:2,", NOW - 5),
        (b"new/b", NOW - 5),
        (b"cur/d", NOW - 1),
    ]
    assert [mail.path for mail in listing(folder, (b"new",), NOW)] == [b"new/c", b"new/b"]


def test_this_very_second_and_the_future_are_not_there_yet(folder: bytes) -> None:
    put(folder, "new/now", NOW + 0.5)
    put(folder, "new/later", NOW + 100)
    put(folder, "new/just", NOW - 0.5)
    assert [mail.path for mail in listing(folder, (b"new",), NOW)] == [b"new/just"]


def test_only_files_count(folder: bytes) -> None:
    put(folder, "new/.hidden", NOW - 9)
    os.mkdir(folder + b"new/folder")
    os.mkfifo(folder + b"new/fifo")
    os.symlink("nowhere", folder + b"new/link")
    assert listing(folder, (b"new", b"cur"), NOW + 10**9) == []


def test_a_missing_part_is_named(folder: bytes) -> None:
    os.rmdir(folder + b"cur")
    with pytest.raises(Die) as death:
        listing(folder, (b"new", b"cur"), NOW)
    assert (death.value.verdict, death.value.text) == (TEMP, b"unable to scan $MAILDIR/cur: file does not exist")


def test_only_what_nobody_has_touched_for_36_hours_is_litter(folder: bytes) -> None:
    put(folder, "tmp/old", NOW - 129_601)
    put(folder, "tmp/young", NOW - 129_600)
    put(folder, "tmp/.old", NOW - 10**6)
    clean(folder, NOW)
    assert sorted(os.listdir(folder + b"tmp")) == [b".old", b"young"]
    clean(folder + b"none/", NOW)
