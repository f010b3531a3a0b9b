"""qmail-qread, qmail-qstat, mailq on a queue made by hand."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.inject_support import run
from tests.support import bare_home, write

WHEN = 1795228369  # 21 Nov 2026 02:32:49


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"))


def add(
    home: str, number: int, sender: bytes, *, local: bytes = b"", remote: bytes = b"", bounce: bool = False
) -> None:
    part = number % 23
    write(f"{home}/queue/mess/{part}/{number}", b"x" * 287)
    info = write(f"{home}/queue/info/{part}/{number}", b"F" + sender + b"\0")
    os.utime(info, (WHEN, WHEN))
    for name, records in (("local", local), ("remote", remote)):
        if records:
            write(f"{home}/queue/{name}/{part}/{number}", records)
    if bounce:
        write(f"{home}/queue/bounce/{number}", b"x")


def test_an_empty_queue(home: str) -> None:
    done = run(home, "qmail-qread")
    assert (done.code, done.out, done.err) == (0, b"", b"")
    done = run(home, "qmail-qstat")
    assert (done.code, done.err) == (0, b"")
    assert done.out == b"messages in queue: 0\nmessages in queue but not yet preprocessed: 0\n"


def test_messages_and_their_recipients(home: str) -> None:
    add(home, 2254860, b"sender@x.y", bounce=True)
    add(home, 2254861, b"a\n\xff@h", local=b"Djoe@l\0Tfred@l\0", remote=b"Tx\x01@y\0")
    write(f"{home}/queue/mess/{7 % 23}/7", b"new")
    write(f"{home}/queue/todo/7", b"new")
    done = run(home, "qmail-qread")
    assert (done.code, done.err) == (0, b"")
    first = b"21 Nov 2026 02:32:49 GMT  #2254860  287  <sender@x.y>  bouncing\n"
    second = b"21 Nov 2026 02:32:49 GMT  #2254861  287  <a__@h> \n"
    second += b"  done\tlocal\tjoe@l\n\tlocal\tfred@l\n\tremote\tx_@y\n"
    assert done.out in (first + second, second + first)
    assert run(home, "qmail-qstat").out == b"messages in queue: 3\nmessages in queue but not yet preprocessed: 1\n"
    for name, words in (("mailq", ()), ("mailq", ("-v",)), ("sendmail", ("-bp",))):
        for way in ({}, {"QMAILEXEC": "1"}):
            shown = run(home, name, *words, environment=way)
            assert (shown.code, shown.out) == (0, done.out)


def test_a_message_that_cannot_be_read_is_said_among_the_others(home: str) -> None:
    add(home, 23, b"a@b", local=b"Tjoe@l\0")
    add(home, 46, b"c@d", local=b"Xjoe@l\0")
    add(home, 69, b"e@f", remote=b"Tcut@off")
    done = run(home, "qmail-qread")
    assert (done.code, done.err) == (0, b"")
    lines = done.out.splitlines()
    assert sorted(line for line in lines if b"trouble" in line) == [
        b"warning: trouble with #46: invalid argument",
        b"warning: trouble with #69: invalid argument",
    ]
    assert b"\tlocal\tjoe@l" in lines


def test_a_queue_that_is_not_there(home: str) -> None:
    os.rename(f"{home}/queue", f"{home}/elsewhere")
    done = run(home, "qmail-qread")
    assert (done.code, done.out) == (111, b"")
    assert done.err == b"qmail-qread: fatal: unable to chdir: file does not exist\n"
    assert run(home, "mailq").code == 111
    assert run(home, "sendmail", "-bp").code == 75
    done = run(home, "qmail-qstat")
    assert (done.code, done.err) == (111, b"qmail-qstat: fatal: unable to opendir mess/0: file does not exist\n")


def test_a_queue_that_others_own_says_who_may_read_it(home: str) -> None:
    prefix: tuple[str, ...] = ()
    os.chmod(f"{home}/queue/info/0", 0)
    os.chmod(f"{home}/queue/mess/0", 0)
    if os.geteuid() == 0:
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        for folder, _, _ in os.walk(home):
            os.chmod(folder, 0o755)
        for name in ("info", "mess"):
            os.chmod(f"{home}/queue/{name}/0", 0)
        for parent in Path(home).parents[:2]:
            os.chmod(parent, 0o755)
    done = run(home, "mailq", prefix=prefix)
    assert (done.code, done.out) == (111, b"")
    reason = b"unable to opendir info/0: access denied (only root and qmails may read the queue)"
    assert done.err == b"qmail-qread: fatal: " + reason + b"\n"
    done = run(home, "qmail-qstat", prefix=prefix)
    assert done.code == 111
    assert done.err.startswith(b"qmail-qstat: fatal: unable to opendir mess/0: access denied (only root")


def test_nobody_reading_the_list_is_no_traceback(home: str) -> None:
    add(home, 23, b"a@b")
    done = run(home, "qmail-qread", prefix=("/bin/sh", "-c", 'exec "$@" > /dev/full', "sh"))
    assert done.code == 111
    assert done.err == b"qmail-qread: fatal: unable to write: out of disk space\n"


@pytest.mark.parametrize("name", ["qmail-qread", "mailq", "qmail-qstat"])
def test_whoever_has_read_enough_of_the_list_ends_it_in_silence(home: str, name: str) -> None:
    """Mailq | head -1 once ended with an internal error."""
    add(home, 23, b"a@b", local=b"Tjoe@l\0")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [f"{home}/bin/{name}"], env={"QMAILHOME": home}, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (111, b"")
