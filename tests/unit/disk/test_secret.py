"""A file with secrets is read only if nobody else can read it."""

import os

import pytest

from qmailpy.disk import secret
from qmailpy.verdict import TEMP, Die
from tests.support import write

UID = os.geteuid()


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_its_owner_reads_it(tmp_path: object, mode: int) -> None:
    path = write(f"{tmp_path}/secret", "words", mode)
    assert secret.read(path.encode(), UID) == b"words"


def test_there_may_be_none(tmp_path: object) -> None:
    assert secret.read(f"{tmp_path}/secret".encode(), UID) is None


def refusal(path: str, uid: int = UID) -> bytes:
    with pytest.raises(Die) as caught:
        secret.read(path.encode(), uid)
    assert caught.value.verdict == TEMP
    assert b"words" not in caught.value.text
    return caught.value.text


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610])
def test_a_file_that_others_may_touch_is_refused(tmp_path: object, mode: int) -> None:
    assert refusal(write(f"{tmp_path}/secret", "words", mode)) == b"others can read or write it: chmod 0400"


def test_a_file_of_somebody_else_is_refused(tmp_path: object) -> None:
    path = write(f"{tmp_path}/secret", "words", 0o600)
    assert refusal(path, UID + 1) == b"it must belong to uid %d, not to uid %d" % (UID + 1, UID)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: object) -> None:
    os.mkfifo(f"{tmp_path}/fifo", 0o600)
    assert refusal(f"{tmp_path}/fifo") == b"it is not a regular file"
    os.symlink(write(f"{tmp_path}/secret", "words", 0o600), f"{tmp_path}/link")
    assert refusal(f"{tmp_path}/link").startswith(b"it cannot be opened")


def test_a_file_without_end_is_refused(tmp_path: object) -> None:
    path = write(f"{tmp_path}/secret", b"words" * (secret.LIMIT // 5 + 1), 0o600)
    assert refusal(path) == b"it is too large"
