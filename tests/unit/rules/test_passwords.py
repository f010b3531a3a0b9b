"""users/passwords: every kind of entry, and lines that make no sense."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import passwords
from qmailpy.rules.passwords import BadEntry, Entry

# passlib's and RFC 7914's own examples, and one of doveadm pw
KEPT = [
    (b"$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E", b"password"),
    (b"$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44", b"password"),
    (b"{PLAIN}correct horse", b"correct horse"),
    (b"{PLAIN.b64}YTpi", b"a:b"),
    (passwords.keep_scram(b"secret", b"salt", 4096), b"secret"),
    (passwords.keep_scrypt(b"secret", b"salt"), b"secret"),
    (passwords.keep_plain(b"s:e c\xffret"), b"s:e c\xffret"),
    (
        (
            b"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
            b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        ),
        b"pencil",
    ),
]


def no_crypt(_password: bytes, _kept: bytes) -> bytes | None:
    return None


@pytest.mark.parametrize(("kept", "password"), KEPT)
def test_a_password_fits_what_is_kept_of_it_and_no_other_does(kept: bytes, password: bytes) -> None:
    assert passwords.verify(kept, password, no_crypt)
    for wrong in (b"", password + b"x", password[:-1], password.swapcase()):
        assert not passwords.verify(kept, wrong, no_crypt)


def test_an_unknown_kind_is_crypts() -> None:
    assert passwords.verify(b"$6$salt$hash", b"x", lambda _password, kept: kept)
    assert not passwords.verify(b"$6$salt$hash", b"x", lambda _password, kept: kept + b"x")
    with pytest.raises(BadEntry):
        passwords.verify(b"$6$salt$hash", b"x", no_crypt)


@pytest.mark.parametrize(
    "kept",
    [
        b"secret",
        b"{MD5}x",
        b"{PLAIN.b64}!",
        b"{SCRAM-SHA-256}",
        b"{SCRAM-SHA-256}0,YQ==,YQ==,YQ==",
        b"{SCRAM-SHA-256}1_0,YQ==,YQ==,YQ==",
        b"{SCRAM-SHA-256}99999999999999,YQ==,YQ==,YQ==",
        b"{SCRAM-SHA-256}4096,YQ==,YQ==,YQ==",
        b"$scrypt$",
        b"$scrypt$ln=16,r=8$YQ$YQ",
        b"$scrypt$ln=16,r=8,q=1$YQ$YQ",
        b"$scrypt$ln=60,r=8,p=1$YQ$YWFhYWFhYWFhYWFhYWFhYWFh",
        b"$scrypt$ln=20,r=8,p=1000000$YQ$YWFhYWFhYWFhYWFhYWFhYWFh",
        b"$scrypt$ln=16,r=8,p=1$YQ$",
        b"$pbkdf2-sha256$",
        b"$pbkdf2-sha256$1$YQ$YQ",
        b"$pbkdf2-sha256$x$YQ$YWFhYWFhYWFhYWFhYWFhYWFh",
        b"$pbkdf2-sha256$99999999999$YQ$YWFhYWFhYWFhYWFhYWFhYWFh",
    ],
)
def test_what_is_damaged_is_said_to_be(kept: bytes) -> None:
    with pytest.raises(BadEntry) as bad:
        passwords.verify(kept, b"x", no_crypt)
    assert kept not in bad.value.text


@given(st.binary(max_size=60), st.sampled_from([b"", b"{SCRAM-SHA-256}1,", b"$pbkdf2-sha256$1$", b"{PLAIN.b64}"]))
def test_nothing_that_is_kept_is_too_strange(kept: bytes, start: bytes) -> None:
    with contextlib.suppress(BadEntry):
        passwords.verify(start + kept, b"x", no_crypt)


TEXT = b"""# people
ann@example.org:{PLAIN}one
Bob:{PLAIN}two:/home/bob:1000:1001
#cat:{PLAIN}three
dan
eve:{PLAIN}five:x:y:z
*:{accounts}
"""


@pytest.mark.parametrize(
    ("login", "kept"),
    [
        (b"ann@example.org", b"{PLAIN}one"),
        (b"Ann@Example.ORG", b"{PLAIN}one"),
        (b"bob", b"{PLAIN}two"),
        (b"cat", b"{accounts}"),
        (b"#cat", b"{accounts}"),
        (b"dan", b"{accounts}"),
        (b"*", b"{accounts}"),
        (b"ann@example.org:{PLAIN}one", b"{accounts}"),
        (b"", b"{accounts}"),
    ],
)
def test_an_entry_is_found_by_its_login(login: bytes, kept: bytes) -> None:
    found = passwords.find(TEXT, login)
    assert found is not None
    assert found.kept == kept


def test_home_uid_and_gid_are_read() -> None:
    found = passwords.find(TEXT, b"bob")
    assert found is not None
    assert (found.login, found.home, found.owner) == (b"Bob", b"/home/bob", (1000, 1001))


def test_without_a_line_for_everybody_nobody_else_is_known() -> None:
    assert passwords.find(b"ann:{PLAIN}x\n", b"bob") is None


def test_a_bad_line_counts_only_for_its_own_login() -> None:
    with pytest.raises(BadEntry):
        passwords.find(TEXT, b"eve")


def test_everybody_cannot_share_one_password() -> None:
    with pytest.raises(BadEntry):
        passwords.find(b"*:{PLAIN}x\n", b"bob")


@given(st.binary(max_size=100), st.binary(max_size=10))
def test_no_file_is_too_strange(text: bytes, login: bytes) -> None:
    with contextlib.suppress(BadEntry):
        passwords.find(text, login)
    list(passwords.entries(text))
    passwords.mechanisms(text)


SCRAM = passwords.keep_scram(b"x", b"salt", 1)


@pytest.mark.parametrize(
    ("kinds", "offered"),
    [
        ([], b"PLAIN LOGIN"),
        ([SCRAM], b"SCRAM-SHA-256 PLAIN LOGIN"),
        ([b"{PLAIN}x"], b"SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN APOP"),
        ([SCRAM, b"{PLAIN}x"], b"SCRAM-SHA-256 PLAIN LOGIN"),
        ([SCRAM, b"$6$a$b"], b"PLAIN LOGIN"),
        ([b"{PLAIN}x", b"{accounts}"], b"PLAIN LOGIN"),
    ],
)
def test_what_is_offered_every_login_can_use(kinds: list[bytes], offered: bytes) -> None:
    text = b"".join(b"u%d:%s\n" % (number, kept) for number, kept in enumerate(kinds))
    assert b" ".join(passwords.mechanisms(text)) == offered


def test_a_login_that_nobody_has_gets_the_same_salt_each_time() -> None:
    key = passwords.key_of(passwords.key_line(b"k" * 32) + b"\nann:{PLAIN}x\n")
    assert key == passwords.key_of(passwords.key_line(b"k" * 32) + b"\nbob:{PLAIN}y\n")
    assert passwords.invented(b"Nobody", key) == passwords.invented(b"nobody", key)
    assert passwords.invented(b"nobody", key) != passwords.invented(b"nobody", b"another key")
    assert len(passwords.invented(b"nobody", key)[0]) == passwords.SALT


def test_a_change_leaves_the_other_lines() -> None:
    new = passwords.changed(TEXT, b"BOB", Entry(b"BOB", b"{PLAIN}new"), b"")
    assert new == TEXT.replace(b"Bob:{PLAIN}two:", b"BOB:{PLAIN}new:")
    new = passwords.changed(TEXT, b"zoe", Entry(b"zoe", b"{PLAIN}new"), b"")
    assert new == TEXT + b"zoe:{PLAIN}new\n"
    assert passwords.changed(TEXT, b"bob", None, b"") == TEXT.replace(b"Bob:{PLAIN}two:/home/bob:1000:1001\n", b"")
    assert passwords.changed(TEXT, b"nobody", None, b"") is None
    assert passwords.changed(None, b"ann", Entry(b"ann", b"x"), b"\1") == b"# key: 01\nann:x\n"
