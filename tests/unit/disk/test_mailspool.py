"""Boxes in /var/mail: which directory, which names, and what root makes there and never touches."""

import os
import stat
from pathlib import Path

import pytest

from qmailpy.disk import mailspool
from qmailpy.disk.home import Home
from qmailpy.disk.mailspool import box, configured, directory, prepare
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die
from tests.support import write

JOE = 4242  # nobody here; only root can give him a file


@pytest.fixture
def spool(tmp_path: Path) -> str:
    path = f"{tmp_path}/mail"
    os.mkdir(path)
    os.chmod(path, 0o2775)
    return path


def entry(path: str) -> tuple[str, int, int]:
    status = os.lstat(path)
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, None), ("", None), ("mail\n", None), ("/var/mail\n", b"/var/mail"), ("/s/  \nmore\n", b"/s")],
)
def test_only_an_absolute_path_is_a_directory(tmp_path: Path, content: str | None, expected: bytes | None) -> None:
    home = Home(str(tmp_path).encode())
    if content is not None:
        write(f"{tmp_path}/control/mailspool", content)
    assert configured(home) == expected
    assert directory(home) in ([expected] if expected else mailspool.USUAL)


@pytest.mark.parametrize("user", [b"", b".", b"..", b".joe", b"a/b", b"../root", b"x" * 256])
def test_a_name_that_is_none_of_a_file_has_no_box(user: bytes) -> None:
    with pytest.raises(Die) as death:
        box(b"/var/mail", user)
    assert death.value.verdict == TEMP


@pytest.mark.skipif(os.getuid() == 0, reason="root may")
def test_who_is_not_root_makes_nothing(spool: str) -> None:
    prepare(spool.encode(), b"joe", os.getuid(), os.getgid())
    assert os.listdir(spool) == []


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "expected"), [(0o2775, ("-rw-rw----", JOE, 8)), (0o755, ("-rw-------", JOE, JOE)), (0o2777, None)]
)
def test_root_makes_a_missing_box_where_no_stranger_can_write(
    spool: str, mode: int, expected: tuple[str, int, int] | None
) -> None:
    os.chown(spool, 0, 8)
    os.chmod(spool, mode)
    prepare(spool.encode(), b"joe", JOE, JOE)
    prepare(spool.encode(), b"joe", JOE, JOE)
    assert os.listdir(spool) == (["joe"] if expected else [])
    if expected:
        assert entry(f"{spool}/joe") == expected


@pytest.mark.root
def test_root_makes_nothing_in_a_directory_of_somebody_elses(spool: str) -> None:
    os.chown(spool, JOE, JOE)
    prepare(spool.encode(), b"joe", JOE, JOE)
    assert os.listdir(spool) == []
    prepare(spool.encode() + b"/none", b"joe", JOE, JOE)
    prepare(b"/etc/passwd", b"joe", JOE, JOE)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["full", "empty", "link", "dangling", "fifo", "folder", "second name"])
def test_root_changes_nothing_that_is_there(spool: str, kind: str) -> None:
    path = f"{spool}/joe"
    if kind in ("full", "empty"):
        write(path, "From x\n" if kind == "full" else "", 0o640)
    elif kind == "link":
        os.symlink(write(f"{spool}/secret", "", 0o000), path)
    elif kind == "dangling":
        os.symlink("nowhere", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)
    else:
        os.link(write(f"{spool}/secret", "", 0o000), path)
    before = {name: entry(f"{spool}/{name}") for name in os.listdir(spool)}
    prepare(spool.encode(), b"joe", JOE, JOE)
    assert {name: entry(f"{spool}/{name}") for name in os.listdir(spool)} == before


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o000, 0o660])
def test_what_a_killed_root_left_is_finished(spool: str, mode: int) -> None:
    os.chown(spool, 0, 8)
    os.chmod(spool, 0o2775)
    write(f"{spool}/joe", "", mode)
    prepare(spool.encode(), b"joe", JOE, JOE)
    assert entry(f"{spool}/joe") == ("-rw-rw----", JOE, 8)


def test_trouble_is_left_to_the_delivery(spool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "is_root", lambda: True)
    prepare(b"/nowhere", b"joe", os.getuid(), os.getgid())
    for name in (b"", b"../x", b"a/b"):
        prepare(spool.encode(), name, os.getuid(), os.getgid())
    assert os.listdir(spool) == []
