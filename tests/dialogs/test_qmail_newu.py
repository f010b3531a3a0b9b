"""The real qmail-newu: users/assign becomes users/cdb, or everything stays as it was."""

import os
import random
import resource
import subprocess
import time
from pathlib import Path

import pytest
from cdblib import Reader

from tests.support import CHECKOUT, PATH, read, write

PROGRAM = f"{CHECKOUT}/bin/qmail-newu"
JOE = "=joe:joe:60001:60001:/h/joe:::\n"
FATAL = b"qmail-newu: fatal: "


class Run:
    def __init__(self, home: object, limit: int = 0) -> None:
        """limit: bytes that a file may have."""
        done = subprocess.run(
            [PROGRAM],
            env={"PATH": PATH, "QMAILHOME": str(home)},
            capture_output=True,
            check=False,
            timeout=60,
            preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None,
        )
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def succeeds(self) -> None:
        assert (self.code, self.out, self.err) == (0, b"", b"")

    def fails(self, text: bytes) -> None:
        assert (self.code, self.out, self.err) == (111, b"", FATAL + text + b"\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "users").mkdir()
    return tmp_path


def assign(home: Path, content: str | bytes) -> None:
    write(f"{home}/users/assign", content)


def records(home: Path) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = Reader(read(f"{home}/users/cdb")).items()
    return found


def test_each_line_is_a_record_and_the_wildcards_come_last(home: Path) -> None:
    assign(home, JOE + "+Joe-:joe:60001:60001:/h/joe:-::\n+:alias:7:8:/a:-::\n.\nnothing: that counts\n")
    Run(home).succeeds()
    assert records(home) == [
        (b"!joe\0", b"joe\x0060001\x0060001\0/h/joe\0\0"),
        (b"!joe-", b"joe\x0060001\x0060001\0/h/joe\0-\0"),
        (b"!", b"alias\x007\x008\0/a\0-\0"),
        (b"", b"-"),
    ]
    assert sorted(os.listdir(home / "users")) == ["assign", "cdb"]
    assert (home / "users" / "cdb").stat().st_mode & 0o7777 == 0o644


def test_the_same_lines_give_the_same_bytes(home: Path) -> None:
    assign(home, JOE + "+joe-:joe:60001:60001:/h/joe:-::\n.\n")
    Run(home).succeeds()
    first = read(f"{home}/users/cdb")
    Run(home).succeeds()
    assert read(f"{home}/users/cdb") == first


@pytest.mark.parametrize("content", [".\n", ".", ".this is the end\n", JOE + "."])
def test_the_last_line_begins_with_a_dot(home: Path, content: str) -> None:
    assign(home, content)
    Run(home).succeeds()
    assert records(home)[-1] == (b"", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1: the last line must begin with a dot"),
        (JOE, "line 1: the last line must begin with a dot"),
        (JOE + JOE[:-1], "line 2: the last line must begin with a dot"),
        (JOE + "\n.\n", "line 2: is empty"),
        (JOE + "# comment\n.\n", "line 2: has no colon"),
        (":joe:1:1:/h:::\n.\n", "line 1: begins with a colon"),
        (JOE * 9 + "=joe:joe:1:1:/h::\n.\n", "line 10: has 6 colons where there must be 7"),
        (JOE + "=j\0e:joe:1:1:/h:::\n.\n", "line 2: has a NUL"),
        (JOE + "=" + "x" * 70000 + ":joe:1:1:/h:::\n.\n", "line 2: longer than 65536 bytes"),
    ],
)
def test_an_error_names_file_and_line_and_the_old_table_stays(home: Path, content: str, words: str) -> None:
    assign(home, JOE + ".\n")
    Run(home).succeeds()
    old = os.stat(home / "users" / "cdb")
    assign(home, content)
    Run(home).fails(b"bad format in users/assign: " + words.encode())
    now = os.stat(home / "users" / "cdb")
    assert (now.st_ino, now.st_mtime_ns) == (old.st_ino, old.st_mtime_ns)
    assert sorted(os.listdir(home / "users")) == ["assign", "cdb"]


def test_what_will_not_deliver_is_a_warning(home: Path) -> None:
    assign(home, JOE + "#joe:joe:1:1:/h:::\n=root:root:0:0:/root:::\n=a:a:x:1:/h:::\n.\n")
    done = Run(home)
    assert done.code == 0
    assert done.err.replace(b"qmail-newu: warning: users/assign: ", b"").splitlines() == [
        b"line 2: begins with neither = nor +, and counts as =",
        b"line 3: its uid is 0: mail will wait, nothing is delivered as root",
        b"line 4: its uid or gid is no number, or its home no absolute path: mail will wait",
    ]
    assert len(records(home)) == 5


def test_a_thousand_doubts_are_not_a_thousand_lines(home: Path) -> None:
    assign(home, "=root:root:0:0:/root:::\n" * 1000 + ".\n")
    assert Run(home).err.count(b"\n") == 20


def test_without_a_file_or_a_home_it_says_so(home: Path) -> None:
    Run(home).fails(b"unable to open users/assign: file does not exist")
    Run(home / "nowhere").fails(b"unable to chdir: file does not exist")
    os.mkdir(home / "users" / "assign")
    Run(home).fails(b"unable to read users/assign: is a directory")


def test_a_draft_that_cannot_be_made_or_moved_is_said(home: Path) -> None:
    assign(home, JOE + ".\n")
    os.mkdir(home / "users" / "cdb")
    Run(home).fails(b"unable to move users/cdb.tmp to users/cdb: is a directory")
    assert sorted(os.listdir(home / "users")) == ["assign", "cdb"]
    os.mkdir(home / "users" / "cdb.tmp")
    Run(home).fails(b"unable to open users/cdb.tmp: is a directory")


def test_a_disk_that_is_full_leaves_the_old_table(home: Path) -> None:
    assign(home, JOE + ".\n")
    Run(home).succeeds()
    old = read(f"{home}/users/cdb")
    assign(home, JOE * 1000 + ".\n")
    Run(home, limit=20000).fails(b"unable to write users/cdb.tmp: file too big")
    assert read(f"{home}/users/cdb") == old


def test_a_hundred_thousand_lines_take_seconds_and_little_memory(home: Path) -> None:
    chance = random.Random(1)
    lines = [
        f"{sign}user{number}{dash}:user{number}:{1000 + number}:{1000 + number}:/home/user{number}:{dash}::\n"
        for number in range(50000)
        for sign, dash in (("=", ""), ("+", "-"))
    ]
    chance.shuffle(lines)
    assign(home, "".join(lines) + ".\n")
    began = time.monotonic()
    Run(home).succeeds()
    assert time.monotonic() - began < 20  # it is less than one, on a machine that has nothing else to do
    reader = Reader(read(f"{home}/users/cdb"))
    for number in (0, 1, 25000, 49999):
        uid = b"%d" % (1000 + number)
        assert reader.get(b"!user%d\0" % number) == b"user%d\0%s\0%s\0/home/user%d\0\0" % (number, uid, uid, number)
        assert reader.get(b"!user%d-" % number) is not None
    assert reader.get(b"") == b"-"
