"""qmailpy/inject/draft.py and settings.py: one row for each rule of spec/07-inject.md 2, 4 and 7."""

import os
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.inject import draft as drafting
from qmailpy.inject.draft import Draft
from qmailpy.inject.settings import Settings
from qmailpy.rules.header import HeaderReader
from qmailpy.verdict import PERM, TEMP, Die

NOW, PID = 1795228116, 15808
STAMPS = [b"Date: 21 Nov 2026 02:28:36 -0000", b"Message-ID: <20261121022836.15808.qmail@mail.example.com>"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "control").mkdir()
    (tmp_path / "control/me").write_text("mail.example.com\n")
    (tmp_path / "control/defaultdomain").write_text("example.com\n")
    return Home(os.fsencode(tmp_path))


def make(home: Home, header: bytes, environment: dict[str, bytes] | None = None, *, wants_header: bool = True) -> Draft:
    variables = {b"USER": b"joe", b"QMAILHOST": b"h.x"}
    variables.update({name.encode(): value for name, value in (environment or {}).items()})
    draft = Draft(Settings(variables, home), wants_header=wants_header)
    reader = HeaderReader(draft.take)
    if not reader.feed(header):
        reader.finish()
    return draft


def lines(draft: Draft) -> list[bytes]:
    return (draft.generated(NOW, PID) + bytes(draft.kept)).split(b"\n")[:-1]


# A header, and what becomes of it where Date and Message-ID are already there
KEPT = b"Date: x\nMessage-ID: y\n"
HEADERS = [
    (b"", [b"From: joe@h.x", b"Cc: recipient list not shown: ;"]),
    (b"From: a\n", [b"Cc: recipient list not shown: ;", b"From: a@mail.example.com"]),
    (b"To: a\n", [b"From: joe@h.x", b"To: a@mail.example.com"]),
    (b"To:\n", [b"From: joe@h.x", b"To:"]),
    (b"CC : a\n", [b"From: joe@h.x", b"CC: a@mail.example.com"]),
    (b"From: a\nTo: a\nBcc: b\n", [b"From: a@mail.example.com", b"To: a@mail.example.com"]),
    (b"From: a\nTo: a\nReturn-Path: <x>\n", [b"From: a@mail.example.com", b"To: a@mail.example.com"]),
    (b"From: a\nTo: a\nContent-Length: 5\n", [b"From: a@mail.example.com", b"To: a@mail.example.com"]),
    (b"From: a\nCc: a\nApparently-To: b\n", None),
    (b"From: a\nCc: a\nSubject:  x\n y\n", None),
    (b"From: a\nCc: a\nNotice-Requested-Upon-Delivery-To: b\n", None),
    (b"From: a\nCc: a\nMail-Followup-To: b\n", None),
    (b"From: a\nCc: a\nReply-To: b\nSender: c\nErrors-To: d\nReturn-Receipt-To: e\n", None),
]


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_a_header_is_completed(home: Home, header: bytes, expected: list[bytes] | None) -> None:
    made = [line for line in lines(make(home, header + KEPT)) if line not in (b"Date: x", b"Message-ID: y")]
    if expected is None:  # every address alone in its line gets the host, nothing else changes
        expected = [
            line + b"@mail.example.com"
            if line[-2:-1] == b" " and not line.startswith((b" ", b"Notice", b"Mail", b"Subject"))
            else line
            for line in header.split(b"\n")[:-1]
        ]
    assert made == expected


def test_date_and_message_id_come_first(home: Home) -> None:
    assert lines(make(home, b"From: a@b.c\nTo: a@b.c\n"))[:2] == STAMPS


def test_a_resent_message_gets_only_resent_fields(home: Home) -> None:
    made = lines(make(home, b"Resent-To: a@b.c\nTo: x\n"))
    resent = [b"Resent-" + stamp for stamp in STAMPS]
    assert made == [*resent, b"Resent-From: joe@h.x", b"Resent-To: a@b.c", b"To: x@mail.example.com"]
    made = lines(make(home, b"Resent-Date: x\nResent-From: a@b.c\n"))
    assert made[:2] == [resent[1], b"Resent-Cc: recipient list not shown: ;"]


RECIPIENTS = [
    (b"To: a@x.y, b@x.y\nCc: c@x.y\n", b"b@x.y a@x.y c@x.y"),
    (b"Bcc: a@x.y\nApparently-To: b@x.y\n", b"a@x.y b@x.y"),
    (b"To: a@x.y\nResent-Cc: b@x.y\nResent-Bcc: c@x.y\n", b"b@x.y c@x.y"),
    (b"To: a@x.y\nResent-Date: x\n", b""),
    (b"From: a@x.y\nReply-To: b@x.y\n", b""),
    (b"To: g: a@x.y, b@x.y;\n", b"b@x.y a@x.y"),
    (b'To: "a b"@x.y\n', b"a\x00b@x.y"),
]


@pytest.mark.parametrize(("header", "recipients"), RECIPIENTS)
def test_recipients_come_from_the_header(home: Home, header: bytes, recipients: bytes) -> None:
    expected = [each.replace(b"\0", b" ") for each in recipients.split(b" ") if each]
    assert make(home, header).recipients() == expected
    assert make(home, header, wants_header=False).recipients() == []


SENDERS = [
    (b"", {}, b"joe@h.x"),
    (b"", {"QMAILINJECT": b"r"}, b"joe-@h.x-@[]"),
    (b"", {"QMAILINJECT": b"rm"}, b"joe-1795228116.15808-@h.x-@[]"),
    (b"", {"QMAILINJECT": b"m"}, b"joe-1795228116.15808@h.x"),
    (b"", {"QMAILSUSER": b"a b", "QMAILSHOST": b"shop"}, b"a b@shop.example.com"),
    (b"", {"QMAILUSER": b"q"}, b"q@h.x"),
    (b"Return-Path: <x@y.z>\n", {}, b"x@y.z"),
    (b"Return-Path: a@b.c, x@y.z\n", {}, b"x@y.z"),
    (b"Return-Path: <>\n", {}, b""),
    (b"Return-Path: <>\n", {"QMAILINJECT": b"r"}, b""),
    (b"Return-Path: x@y.z\n", {"QMAILINJECT": b"r"}, b"x@y.z-@[]"),
    (b"Return-Path: x@y.z\n", {"QMAILINJECT": b"s"}, b"joe@h.x"),
    (b"Return-Path: (\n", {"QMAILINJECT": b"s"}, b"joe@h.x"),
]


@pytest.mark.parametrize(("header", "environment", "sender"), SENDERS)
def test_the_envelope_sender(home: Home, header: bytes, environment: dict[str, bytes], sender: bytes) -> None:
    assert make(home, header, environment).sender(NOW, PID) == sender


FROMS = [
    ({}, b"joe@h.x"),
    ({"MAILNAME": b"Joe B."}, b'"Joe B." <joe@h.x>'),
    ({"QMAILNAME": b"Q", "NAME": b"N"}, b'"Q" <joe@h.x>'),
    ({"NAME": b""}, b'"" <joe@h.x>'),
    ({"NAME": b'a"b\\c(d)[e]'}, b'"a\\"b\\\\c\\(d\\)\\[e\\]" <joe@h.x>'),
    ({"NAME": b"Joe (B) \\", "QMAILINJECT": b"c"}, b"joe@h.x (Joe \\(B\\) \\\\)"),
    ({"NAME": "Jörg".encode()}, '"Jörg" <joe@h.x>'.encode()),
    ({"NAME": b"Joe\nBcc: victim@x.y"}, b'"Joe Bcc: victim@x.y" <joe@h.x>'),
    ({"USER": b"a b"}, b'"a b"@h.x'),
    ({"USER": b""}, b'""@h.x'),
    ({"USER": b"x\r\nX-Evil: y"}, b'"x X-Evil: y"@h.x'),
    ({"QMAILHOST": b""}, b"joe@mail.example.com"),
    ({"QMAILHOST": b"shop"}, b"joe@shop.example.com"),
    ({"LOGNAME": b"l", "MAILUSER": b"m"}, b"m@h.x"),
]


@pytest.mark.parametrize(("environment", "value"), FROMS)
def test_the_from_field_that_is_missing(home: Home, environment: dict[str, bytes], value: bytes) -> None:
    assert b"From: " + value in lines(make(home, b"To: a@b.c\n", environment))


def test_nobody_known_is_anonymous(home: Home) -> None:
    assert Draft(Settings({}, home), wants_header=True).sender(NOW, PID) == b"anonymous@mail.example.com"


def test_letters_delete_from_and_message_id(home: Home) -> None:
    made = lines(make(home, b"From: (\nMessage-ID: x\nTo: a@b.c\n", {"QMAILINJECT": b"fi"}))
    assert made == [*STAMPS, b"From: joe@h.x", b"To: a@b.c"]


def test_a_field_that_must_be_read_and_cannot_is_permanent(home: Home) -> None:
    for header in (b"From: (\n x\n", b"Return-Path: >\n", b"Resent-Sender: )\n"):
        with pytest.raises(Die) as caught:
            make(home, header)
        assert (caught.value.verdict, caught.value.text) == (PERM, b"unable to parse this line:\n" + header[:-1])


@pytest.mark.parametrize("name", [b"To", b"Cc", b"Bcc", b"Apparently-To", b"Resent-To", b"Resent-Cc", b"Resent-Bcc"])
def test_recipients_that_cannot_be_read_matter_only_where_they_are_wanted(home: Home, name: bytes) -> None:
    header = name + b": a (\n"
    unneeded = make(home, header, wants_header=False)
    assert unneeded.recipients() == []
    assert bytes(unneeded.kept) == (b"" if name.lower().endswith(b"bcc") else header)
    with pytest.raises(Die, match="unable to parse this line"):
        make(home, header).recipients()


def test_an_unreadable_to_does_not_matter_to_a_resent_message(home: Home) -> None:
    assert make(home, b"To: (\nResent-To: a@b.c\n").recipients() == [b"a@b.c"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"To: list@x.y, joe@x.y\nCc: x@x.y\n", b"Mail-Followup-To: x@x.y,\n  list@x.y,\n  joe@x.y\n"),
        (b"Cc: LIST@X.Y\n", b"Mail-Followup-To: LIST@X.Y\n"),
        (b"To: joe@x.y\n", b""),
        (b"Bcc: list@x.y\n", b""),
        (b"To: list@x.y\nMail-Followup-To: a\n", b""),
        (b"To: list@x.y\nResent-To: a\n", b""),
        (b'To: list@x.y, "a b"@x.y\n', b'Mail-Followup-To: list@x.y,\n  "a b"@x.y\n'),
    ],
)
def test_mail_to_a_list_says_where_follow_ups_go(home: Home, tmp_path: Path, header: bytes, expected: bytes) -> None:
    (tmp_path / "mft").write_bytes(b"# my lists\nList@x.y\n")
    made = make(home, header, {"QMAILMFTFILE": os.fsencode(tmp_path / "mft")}).generated(NOW, PID)
    assert (b"Mail-Followup-To" in made) == bool(expected)
    assert made.endswith(expected)


def test_a_missing_list_file_is_no_list_and_another_trouble_is_temporary(home: Home, tmp_path: Path) -> None:
    assert Settings({b"QMAILMFTFILE": os.fsencode(tmp_path / "none")}, home).followup is None
    with pytest.raises(Die) as caught:
        Settings({b"QMAILMFTFILE": os.fsencode(tmp_path)}, home)
    assert (caught.value.verdict, caught.value.text) == (TEMP, b"read error")


def test_variables_override_control_files_and_names_stand_for_themselves(home: Home, tmp_path: Path) -> None:
    settings = Settings({b"QMAILIDHOST": b"i\nX: y", b"QMAILPLUSDOMAIN": b"p.q"}, home)
    assert settings.domains.envelope(b"a@b+") == b"a@b.p.q"
    made = Draft(settings, wants_header=True).generated(NOW, PID)
    assert b".qmail@i X: y>\n" in made
    (tmp_path / "control/me").unlink()
    (tmp_path / "control/defaultdomain").unlink()
    assert Settings({}, home).domains.envelope(b"joe") == b"joe@defaulthost.defaultdomain"


def test_a_default_host_that_is_none_is_temporary(home: Home) -> None:
    with pytest.raises(Die) as caught:
        Settings({b"QMAILDEFAULTHOST": b"a("}, home)
    assert caught.value.verdict == TEMP


def test_more_addresses_than_memory_is_for_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "MOST", 100)
    make(home, b"To: a\n" * 100)
    with pytest.raises(Die, match="too many addresses"):
        make(home, b"To: a\n" * 101)
    with pytest.raises(Die, match="too many addresses"):
        make(home, b"To: " + b"a," * 101 + b"\n")
