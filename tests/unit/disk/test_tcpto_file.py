"""The file lock/tcpto: real files, real locks."""

import fcntl
import os

from qmailpy.disk import tcpto
from qmailpy.disk.home import Home


def home_with(folder: str, content: bytes | None) -> tuple[Home, str]:
    os.makedirs(f"{folder}/queue/lock")
    path = f"{folder}/queue/lock/tcpto"
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)
    return Home(folder.encode()), path


def test_one_record_is_rewritten_and_nothing_else(tmp_path: object) -> None:
    content = bytes(range(256)) * 4
    home, path = home_with(str(tmp_path), content)
    tcpto.amend(home, lambda table: (32, b"R" * 16) if table == content else None)
    with open(path, "rb") as file:
        assert file.read() == content[:32] + b"R" * 16 + content[48:]
    assert tcpto.look(home)[32:48] == b"R" * 16


def test_nothing_is_written_where_nothing_is_decided(tmp_path: object) -> None:
    home, path = home_with(str(tmp_path), bytes(1024))
    before = os.stat(path).st_mtime_ns
    tcpto.amend(home, lambda _: None)
    assert os.stat(path).st_mtime_ns == before


def test_without_the_file_mail_goes_on(tmp_path: object) -> None:
    home, path = home_with(str(tmp_path), None)
    assert tcpto.look(home) == b""
    tcpto.amend(home, lambda _: (0, b"R" * 16))
    tcpto.zero(home)
    assert not os.path.exists(path)


def test_while_somebody_holds_the_lock_nobody_waits(tmp_path: object) -> None:
    home, path = home_with(str(tmp_path), bytes(1024))
    with open(path, "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        tcpto.amend(home, lambda _: (0, b"R" * 16))
        assert tcpto.look(home) == bytes(1024)
    tcpto.amend(home, lambda _: (0, b"R" * 16))
    assert tcpto.look(home)[:16] == b"R" * 16


def test_zero_forgets_everything_and_makes_the_table_if_it_is_short(tmp_path: object) -> None:
    home, _ = home_with(str(tmp_path), b"x" * 100)
    tcpto.zero(home)
    assert tcpto.look(home) == bytes(1024)


def test_a_longer_file_is_read_to_its_1024th_byte(tmp_path: object) -> None:
    home, _ = home_with(str(tmp_path), b"x" * 5000)
    assert len(tcpto.look(home)) == 1024
