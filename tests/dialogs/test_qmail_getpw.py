"""The real qmail-getpw: six fields, exit codes."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local_support import Done, joe_in
from tests.support import CHECKOUT, NOBODY, PATH, bare_home, give

UID, GID = os.getuid() or NOBODY, os.getgid() or NOBODY


def run(program: str, *words: bytes, home: str = "") -> Done:
    identity: dict[str, Any] = {"user": UID, "group": GID, "extra_groups": []} if os.getuid() == 0 else {}
    environment = {"PATH": PATH, "QMAILHOME": home} if home else {"PATH": PATH}
    done = subprocess.run(
        [program.encode(), *words], capture_output=True, check=False, cwd="/", env=environment, **identity
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path) -> str:
    joe_in(str(tmp_path))
    home = bare_home(f"{tmp_path}/qmail")
    give(home, UID, GID)
    return home


def test_in_an_embedded_home_there_is_one_user(home: str) -> None:
    try:
        name = pwd.getpwuid(UID).pw_name.encode()
    except KeyError:
        name = b"%d" % UID
    program = f"{home}/bin/qmail-getpw"
    ours, theirs = (f"\0{UID}\0{GID}\0{home}/{folder}\0".encode() for folder in ("home", "alias"))
    assert run(program, name.upper(), home=home) == Done(0, name + ours + b"\0\0", b"")
    assert run(program, name + b"-Foo-Bar", home=home) == Done(0, name + ours + b"-\0Foo-Bar\0", b"")
    assert run(program, b"Somebody-else", home=home) == Done(0, b"alias" + theirs + b"-\0Somebody-else\0", b"")
    assert run(program, b"\xff;id", home=home) == Done(0, b"alias" + theirs + b"-\0\xff;id\0", b"")


def test_without_an_argument_it_says_how(home: str) -> None:
    assert run(f"{home}/bin/qmail-getpw") == Done(100, b"", b"qmail-getpw: fatal: usage: qmail-getpw local\n")


def test_root_and_strangers_fall_to_alias_where_there_is_one(home: str) -> None:
    del home  # only that a user can reach the checkout
    for local in (b"root", b"no-such-account-here"):
        done = run(f"{CHECKOUT}/bin/qmail-getpw", local)
        try:
            alias = pwd.getpwnam("alias")
        except KeyError:
            assert done == Done(116, b"", b"qmail-getpw: fatal: Unable to find alias user!\n")
        else:
            fields = f"alias\0{alias.pw_uid}\0{alias.pw_gid}\0{alias.pw_dir}\0-\0".encode()
            assert done == Done(0, fields + local + b"\0", b"")


def test_an_answer_that_nobody_takes_is_temporary(home: str) -> None:
    done = run("/bin/sh", b"-c", b'exec "$0" x >&-', f"{home}/bin/qmail-getpw".encode())
    assert (done.code, done.out) == (111, b"")
    assert done.err.startswith(b"qmail-getpw: fatal: unable to write: ")
