"""Batches on their way into a Maildir.  The kills are in tests/crash/test_mailbox_conversion.py."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk.batches import Batches, Note
from qmailpy.verdict import Die
from tests.support import write


@pytest.fixture
def maildir(tmp_path: Path) -> str:
    for part in ("tmp", "new", "cur"):
        os.mkdir(tmp_path / part)
    return f"{tmp_path}/"


@pytest.fixture
def batches(maildir: str) -> Iterator[Batches]:
    batches = Batches(maildir.encode())
    yield batches
    batches.close()


def draft(batches: Batches, *names: str) -> None:
    batches.begin()
    for name in names:
        descriptor = batches.create(b"x")
        os.write(descriptor, name.encode())
        batches.finish(descriptor, b"x", name.encode(), 1000)
        os.close(descriptor)


def test_a_batch_is_seen_by_nobody_before_it_is_published(maildir: str, batches: Batches) -> None:
    draft(batches, "1", "2:2,S")
    batches.take(Note(b"/a b/mbox", 7, b"00ff"))
    assert batches.publish() == 0
    assert os.listdir(f"{maildir}/new") == os.listdir(f"{maildir}/cur") == []
    (note,) = batches.taken()
    assert (note.path, note.size, note.digest) == (b"/a b/mbox", 7, b"00ff")
    batches.settle()
    assert batches.taken() == []
    assert batches.publish() == 2
    assert (os.listdir(f"{maildir}/new"), os.listdir(f"{maildir}/cur")) == (["1"], ["2:2,S"])
    assert os.stat(f"{maildir}/new/1").st_mtime == 1000
    assert sorted(os.listdir(maildir)) == ["cur", "new", "tmp"]
    assert batches.publish() == 0


def test_a_draft_that_was_left_is_worth_nothing(maildir: str, batches: Batches) -> None:
    draft(batches, "old")
    draft(batches, "new")
    batches.take(Note(b"/m", 1, b"0"))
    batches.settle()
    assert batches.publish() == 1
    assert os.listdir(f"{maildir}/new") == ["new"]


def test_several_batches_keep_their_order(maildir: str, batches: Batches) -> None:
    for number in range(12):
        draft(batches, str(number))
        batches.take(Note(b"/m", number, b"0"))
    assert [note.size for note in batches.taken()] == list(range(12))
    batches.settle()
    assert batches.publish() == 12
    assert len(os.listdir(f"{maildir}/new")) == 12


def test_a_batch_without_a_note_that_can_be_read_is_let_alone(maildir: str, batches: Batches) -> None:
    write(f"{maildir}/mbox2maildir/taken.1/.note", b"nonsense")
    with pytest.raises(Die, match=r"taken.1 is damaged"):
        batches.taken()
    os.unlink(f"{maildir}/mbox2maildir/taken.1/.note")
    with pytest.raises(Die, match="file does not exist"):
        batches.taken()


def test_one_at_a_time(maildir: str, batches: Batches) -> None:
    assert batches.taken() == []
    with pytest.raises(Die, match="somebody else is at work"):
        Batches(maildir.encode())
