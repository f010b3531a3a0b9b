"""qmailpy/inject/draft.py and settings.py: one row for each rule of spec/07-inject.md 2, 4 and 7."""

import os
from collections.abc import Callable
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


# Every name that means something, and what becomes of a field that holds one short address
REWRITTEN = (
    b"To Cc Apparently-To Sender From Reply-To Return-Receipt-To Errors-To Resent-Sender Resent-From Resent-Reply-To"
    b" Resent-To Resent-Cc"
)
DELETED = b"Bcc Resent-Bcc Return-Path Content-Length"
UNTOUCHED = (
    b"Date Message-ID Subject Resent-Date Resent-Message-ID Received Delivered-To Content-Type"
    b" Content-Transfer-Encoding Notice-Requested-Upon-Delivery-To Mail-Followup-To X-To Too"
    b" Disposition-Notification-To"
)


@pytest.mark.parametrize("name", REWRITTEN.split())
@pytest.mark.parametrize("case", [bytes.upper, bytes.lower, bytes.title])
def test_the_addresses_in_a_field_are_completed(home: Home, name: bytes, case: Callable[[bytes], bytes]) -> None:
    draft = make(home, case(name) + b"\t :\t b (c),\n a\n")
    assert bytes(draft.kept) == case(name) + b": b@mail.example.com (c), a@mail.example.com\n"


@pytest.mark.parametrize("name", DELETED.split())
def test_a_field_is_taken_away(home: Home, name: bytes) -> None:
    assert bytes(make(home, name.swapcase() + b": 5\n folded\n").kept) == b""


@pytest.mark.parametrize("name", UNTOUCHED.split())
def test_a_field_stays_byte_by_byte(home: Home, name: bytes) -> None:
    field = name + b"\t: a,(  \n\t\xff\x01 b@\r\n"
    assert bytes(make(home, field).kept) == field


@pytest.mark.parametrize("name", b"Sender From Reply-To To Cc Bcc Date Message-ID".split())
def test_a_resent_field_makes_a_message_resent(home: Home, name: bytes) -> None:
    assert make(home, b"To: a\nResent-" + name + b": b\n").is_resent
    assert not make(home, b"To: a\nX-Resent-" + name + b": b\n").is_resent


def test_kept_fields_stay_in_their_order_after_those_that_are_made(home: Home) -> None:
    made = lines(make(home, b"X: 1\nTo: a@b.c\nReceived: 2\nX: 3\nSubject: s\nFrom x\n"))
    assert made[3:] == [b"X: 1", b"To: a@b.c", b"Received: 2", b"X: 3", b"Subject: s", b"MBOX-Line: From x"]


def test_unknown_letters_are_ignored(home: Home) -> None:
    assert lines(make(home, b"To: a@b.c\n", {"QMAILINJECT": b"xyz?"}))[2] == b"From: joe@h.x"


def test_nullmailers_variables_come_after_ours(home: Home) -> None:
    theirs = {
        "NULLMAILER_USER": b"nu",
        "NULLMAILER_HOST": b"nh.x",
        "NULLMAILER_NAME": b"N",
        "NULLMAILER_SUSER": b"su",
        "NULLMAILER_SHOST": b"sh.x",
        "NULLMAILER_FLAGS": b"tc",
    }
    variables = {name.encode(): value for name, value in theirs.items()} | {b"USER": b"joe", b"NAME": b"Joe"}
    draft = Draft(Settings(variables, home), wants_header=True)
    assert b"\nFrom: nu@nh.x (N)\n" in draft.generated(NOW, PID)
    assert draft.sender(NOW, PID) == b"su@sh.x"
    ours = {b"QMAILUSER": b"u", b"QMAILHOST": b"h.x", b"QMAILNAME": b"Q", b"QMAILSUSER": b"s", b"QMAILSHOST": b"s.x"}
    draft = Draft(Settings(variables | ours | {b"QMAILINJECT": b""}, home), wants_header=True)
    assert b'\nFrom: "Q" <u@h.x>\n' in draft.generated(NOW, PID)
    assert draft.sender(NOW, PID) == b"s@s.x"


def test_the_date_may_be_in_local_time(home: Home, tmp_path: Path) -> None:
    draft = make(home, b"To: a@b.c\n")
    assert draft.generated(NOW, PID, 20700).startswith(b"Date: 21 Nov 2026 08:13:36 +0545\n")
    assert not Settings({}, home).uses_local_time
    (tmp_path / "control/localtime").write_text("1\n")
    assert Settings({}, home).uses_local_time


def test_a_name_may_stand_in_another_file(home: Home, tmp_path: Path) -> None:
    mailname = tmp_path / "mailname"
    (tmp_path / "control/defaulthost").write_bytes(os.fsencode(mailname) + b"\n")
    with pytest.raises(Die, match="there is no name in /") as caught:
        Settings({}, home)
    assert caught.value.verdict == TEMP
    mailname.write_text("public.example\nmore\n")
    assert Settings({}, home).domains.envelope(b"joe") == b"joe@public.example"


# control/generic, control/masquerade, the header and -n's sender: what others see
MASKED = [
    (b"joe@h.x:j@e.x\n", b"", b"To: a@b.c\n", b"j@e.x", [b"From: j@e.x", b"To: a@b.c"]),
    (b"", b"mail.example.com\n", b"From: J <x@pc.mail.example.com>\nTo: a\n", b"joe@mail.example.com", [
        b"From: J <x@mail.example.com>",
        b"To: a@mail.example.com",
    ]),
    (b"a:a,b@e.x\n", b"", b"From: (c) A <a>, b\nCc: g: a;\n", b"joe@h.x", None),
    (b"a:j@e.x\n", b"", b"From: z@e.x\nTo: a\nBcc: a\n", b"joe@h.x", [b"From: z@e.x", b"To: j@e.x"]),
    (b"x@y.z:j@e.x\n", b"", b"From: z@e.x\nTo: b@b.c\nReturn-Path: X@y.z\n", b"j@e.x", [
        b"From: z@e.x",
        b"To: b@b.c",
    ]),
    (b"", b"envelope @e.x\n", b"To: a@b.c\n", b"joe@e.x", [b"From: joe@h.x", b"To: a@b.c"]),
    (b"", b"@e.x\n", b"From: q@z.z\nTo: a@b.c\nReturn-Path: <>\n", b"", [b"From: q@z.z", b"To: a@b.c"]),
]  # fmt: skip


@pytest.mark.parametrize(("generic", "forms", "header", "sender", "fields"), MASKED)
def test_others_see_public_addresses(
    home: Home, tmp_path: Path, generic: bytes, forms: bytes, header: bytes, sender: bytes, fields: list[bytes] | None
) -> None:
    (tmp_path / "control/generic").write_bytes(generic)
    (tmp_path / "control/masquerade").write_bytes(forms)
    draft = make(home, header)
    if fields is None:  # quoted, and with its comment and phrase
        fields = [b'From: (c) A <"a,b"@e.x>, b@mail.example.com', b'Cc: g: "a,b"@e.x;']
    assert [line for line in lines(draft) if not line.startswith((b"Date:", b"Message-ID:"))] == fields
    assert draft.sender(NOW, PID) == sender
    recipients = draft.recipients()
    assert b"j@e.x" not in recipients  # whoever receives it receives it where he is
    assert (b"a@mail.example.com" in recipients) == (b" a" in header.partition(b"\n")[2].replace(b"a@", b""))


def test_a_sender_per_recipient_is_made_of_the_public_address(home: Home, tmp_path: Path) -> None:
    (tmp_path / "control/generic").write_bytes(b"joe@h.x:j@e.x\n")
    assert make(home, b"", {"QMAILINJECT": b"rm"}).sender(NOW, PID) == b"j-1795228116.15808-@e.x-@[]"
    (tmp_path / "control/masquerade").write_bytes(b"e.y\n")
    assert make(home, b"Return-Path: a@b.c\n", {"QMAILINJECT": b"r"}).sender(NOW, PID) == b"a@e.y-@[]"


def test_follow_ups_go_to_public_addresses(home: Home, tmp_path: Path) -> None:
    (tmp_path / "control/generic").write_bytes(b"joe@h.x:j@e.x\n")
    (tmp_path / "mft").write_bytes(b"joe@h.x\n")
    made = make(home, b"To: joe@h.x, a@b.c\n", {"QMAILMFTFILE": os.fsencode(tmp_path / "mft")}).generated(NOW, PID)
    assert made.endswith(b"Mail-Followup-To: j@e.x,\n  a@b.c\n")


@pytest.mark.parametrize(("name", "text"), [("generic", b"joe\n"), ("masquerade", b"a b c\n")])
def test_masquerading_that_cannot_be_followed_is_temporary(home: Home, tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / "control" / name).write_bytes(text)
    with pytest.raises(Die, match="control/generic or control/masquerade: ") as caught:
        Settings({}, home)
    assert caught.value.verdict == TEMP
    assert text.rstrip() in caught.value.text


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
    make(home, b"To: a\n" * 11)  # a field weighs nine with its blank
    with pytest.raises(Die, match="too many addresses"):
        make(home, b"To: a\n" * 12)
    make(home, b"X: " + b"a," * 200 + b"\n")
    with pytest.raises(Die, match="too many addresses"):
        make(home, b"To: " + b"a," * 101 + b"\n")
