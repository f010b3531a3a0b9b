"""What the files say about logging in."""

import os
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.receive import logins
from tests.support import write


@pytest.fixture
def home(tmp_path: Path) -> Home:
    write(f"{tmp_path}/control/embedded", "")
    (tmp_path / "queue").mkdir()
    return Home(str(tmp_path).encode())


def put(home: Home, name: str, content: str, mode: int = 0o600) -> None:
    write(f"{os.fsdecode(home.path)}/{name}", content, mode)


def test_where_nobody_can_verify_anything_nothing_is_offered(home: Home) -> None:
    found = logins.read(home)
    assert (found.offered, found.plain, found.command) == ((), False, ())


def test_what_qmail_authd_says_is_offered_in_our_own_order(home: Home) -> None:
    put(home, "auth/mechanisms", "LOGIN PLAIN GSSAPI SCRAM-SHA-256 APOP\n")
    put(home, "users/passwords", "ann:$6$a$b\n")
    assert logins.read(home).offered == (b"SCRAM-SHA-256", b"PLAIN", b"LOGIN", b"APOP")


def test_an_embedded_home_looks_itself(home: Home) -> None:
    put(home, "users/passwords", "ann:{PLAIN}x\n")
    assert b"CRAM-MD5" in logins.read(home).offered


def test_passwords_that_others_can_read_are_not_used(home: Home) -> None:
    put(home, "users/passwords", "ann:{PLAIN}x\n", 0o644)
    assert logins.read(home).offered == ()


def test_who_may_not_look_is_offered_nothing(home: Home) -> None:
    os.makedirs(home.at(b"auth", b"mechanisms"))  # as unreadable as can be, also for root
    assert logins.read(home).offered == ()


def test_a_program_on_the_command_line_verifies_passwords_only(home: Home) -> None:
    put(home, "control/authplain", "1\n")
    found = logins.read(home, [b"checkpassword", b"true"])
    assert (found.offered, found.plain, found.command) == ((b"PLAIN", b"LOGIN"), True, (b"checkpassword", b"true"))
