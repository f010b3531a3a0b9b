"""Reports in the layout that mail programs know, read with Python's parser as a mail client would."""

import email.policy
from collections.abc import Iterable
from email import message_from_bytes
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.bounce import Bounce, Sender, record
from qmailpy.rules.delivery_status import DELAYED, FAILED, Outcome
from qmailpy.rules.notice import Notice
from qmailpy.wire.parameters import MessageParameters

US = Sender(b"MAILER-DAEMON", b"mx.example.org", b"postmaster@mx.example.org")
STAMP = b"20261121021000.77.qmail"
FAILURE = Outcome(b"x@y.example", FAILED, b"Sorry, no mailbox here by that name. (#5.1.1)\n")
ORIGINAL = b"Return-Path: <me@here.example>\nSubject: hello\nFrom: me@here.example\n\nbody\n"


def made(
    outcomes: Iterable[Outcome] = (FAILURE,),
    original: bytes = ORIGINAL,
    wished: bytes = b"",
    *,
    whole: bool = True,
    sender: bytes = b"me@here.example",
    size: int = 65536,
) -> bytes:
    listed = list(outcomes)
    notice = Notice.of_bounce(Bounce(sender, US, 1795227000), US)
    pieces = notice.pieces(
        STAMP,
        lambda: listed,
        lambda: [original[at : at + size] for at in range(0, len(original), size)],
        MessageParameters.parse(wished),
        arrived=1795220000,
        whole=whole,
    )
    return b"".join(pieces)


def read(text: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    message = message_from_bytes(text, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    parts = list(message.iter_parts())
    for part in parts:
        assert not part.defects
        assert isinstance(part, EmailMessage)
    return message, [part for part in parts if isinstance(part, EmailMessage)]


def text_of(part: EmailMessage) -> str:
    content = part.get_content()
    assert isinstance(content, str)
    return content


def original_of(text: bytes) -> bytes:
    """The bytes of the third part."""
    [boundary] = [line[11:-1] for line in text.split(b"\n") if line.startswith(b"\tboundary=")]
    part = text.split(b"\n--" + boundary)[3]
    return part.partition(b"\n\n")[2]


def test_a_bounce_has_three_parts_and_all_that_a_program_looks_for() -> None:
    message, [text, status, original] = read(made(wished=b"ENVID=a+20b"))
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["From"] == "MAILER-DAEMON@mx.example.org"
    assert message["To"] == "me@here.example"
    assert message["Subject"] == "failure notice"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["MIME-Version"] == "1.0"
    assert message["Message-ID"] == "<20261121021000.77.qmail@mx.example.org>"
    assert message["Content-Transfer-Encoding"] is None
    assert text.get_content_type() == "text/plain"
    assert text_of(text) == (
        "Hi. This is the qmail-send program at mx.example.org.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<x@y.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
    )
    assert status.get_content_type() == "message/delivery-status"
    [about_all, about_x] = status.iter_parts() if status.is_multipart() else []
    assert dict(about_all.items()) == {
        "Original-Envelope-Id": "a b",
        "Reporting-MTA": "dns; mx.example.org",
        "Arrival-Date": "21 Nov 2026 00:13:20 -0000",
    }
    assert about_x["Final-Recipient"] == "rfc822; x@y.example"
    assert (about_x["Action"], about_x["Status"]) == ("failed", "5.1.1")
    assert original.get_content_type() == "message/rfc822"
    [inner] = original.iter_parts()
    assert inner["Subject"] == "hello"
    assert original_of(made()) == ORIGINAL


def test_a_double_bounce_goes_to_the_postmaster_and_has_the_original_bounce() -> None:
    message, [text, _, original] = read(made(sender=b""))
    assert message["To"] == "postmaster@mx.example.org"
    assert "I tried to deliver a bounce message to this address, but the bounce bounced!" in text_of(text)
    assert original.get_content_type() == "message/rfc822"


def test_the_header_alone_is_said_to_be_one() -> None:
    _, [_, _, original] = read(made(original=b"Subject: hello\n\n", whole=False))
    assert original.get_content_type() == "text/rfc822-headers"
    assert b"\n\nSubject: hello\n\n" in made(original=b"Subject: hello\n\n", whole=False)


@pytest.mark.parametrize(
    ("report", "charset", "shown"),
    [
        ("Postfach voll, grüß Gott\n".encode(), "utf-8", "Postfach voll, grüß Gott\n"),
        (b"gr\xfc\xdf Gott\n", "iso-8859-1", "grüß Gott\n"),
        (b"x" * 5000 + b"\n", "us-ascii", "x" * 5000 + "\n"),
        (b"bell \x07, blank at the end \n.\nFrom me\n", "us-ascii", "bell \x07, blank at the end \n.\nFrom me\n"),
    ],
)
def test_a_report_of_any_bytes_can_be_read(report: bytes, charset: str, shown: str) -> None:
    text = made([Outcome(b"x@y.example", FAILED, report)])
    _, [first, _, _] = read(text)
    assert first.get_content_charset() == charset
    assert first["Content-Transfer-Encoding"] == "quoted-printable"
    assert text_of(first).endswith(f"<x@y.example>:\n{shown}\n")
    assert text.isascii()
    assert max(map(len, text.split(b"\n"))) < 998


def test_a_message_of_eight_bits_is_declared_in_every_place() -> None:
    original = "Subject: x\n\ngrüß\n".encode()
    message, [_, _, last] = read(made(original=original))
    assert message["Content-Transfer-Encoding"] == last["Content-Transfer-Encoding"] == "8bit"
    assert original_of(made(original=original)) == original


@pytest.mark.parametrize(("whole", "kind"), [(True, "message/global"), (False, "message/global-headers")])
def test_a_message_with_a_header_beyond_ascii_says_so(whole: bool, kind: str) -> None:
    _, [_, _, last] = read(made(original="Subject: grüß\n\n".encode(), wished=b"SMTPUTF8", whole=whole))
    assert last.get_content_type() == kind


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_no_line_of_the_message_is_taken_for_a_boundary(size: int) -> None:
    likely = b"=_20261121021000.77.qmail.%d"
    original = b"\n".join(b"--" + likely % at + b"--" for at in (1, 2)) + b"\n"
    text = made([Outcome(b"x@y.example", FAILED, b"--" + likely % 3)], original, size=size)
    assert original_of(text) == original
    assert len(read(text)[1]) == 3


@given(st.binary(max_size=300), st.binary(max_size=300).filter(lambda text: b"\0" not in text), st.integers(1, 50))
def test_whatever_failed_comes_back_byte_for_byte(original: bytes, report: bytes, size: int) -> None:
    text = made([Outcome(b"x@y.example", FAILED, report)], original, size=size)
    assert original_of(text) == original
    assert len(list(message_from_bytes(text).walk())) >= 4
    _, [first, *_] = read(made([Outcome(b"x@y.example", FAILED, report)]))
    decoded = first.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    assert decoded.endswith(record(b"x@y.example", report, {})), "nothing of the words is lost"


def test_a_delay_says_until_when() -> None:
    notice = Notice.of_delay(b"me@here.example", US, 1795227000, 0, 1795300000)
    late = [Outcome(b"x@y.example", DELAYED, b"not now (#4.4.1)\n")]
    text = b"".join(notice.pieces(STAMP, lambda: late, lambda: [ORIGINAL], None, arrived=1, whole=False))
    message, [words, status, _] = read(text)
    assert message["Subject"] == "delay notice"
    assert "until 21 Nov 2026 22:26:40 -0000\nand tell you" in text_of(words)
    [_, about_x] = status.iter_parts()
    assert (about_x["Action"], about_x["Status"]) == ("delayed", "4.4.1")
    assert about_x["Will-Retry-Until"] == "21 Nov 2026 22:26:40 -0000"


def parts_of(message: Message) -> list[Message]:
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


_ANY = st.binary(max_size=80).filter(lambda text: b"\0" not in text)
_HOSTILE = st.sampled_from(
    [
        b"a\r\nBcc: x@y",
        b"\r\rContent-Type: text/html\r\r<b>",
        b'"@x\n\n--=_20261121021000.77.qmail.1\n',
        b"\xff\xfe@\xc3",
        "grüß@bücher.example".encode(),
        b"--=_20261121021000.77.qmail.1--",
        b"x" * 5000,
    ]
)
_FIELDS = {"Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
_KINDS = ["text/plain", "message/delivery-status", "message/rfc822"]


@given(_ANY | _HOSTILE, st.lists(st.tuples(_ANY | _HOSTILE, _ANY | _HOSTILE, _ANY | _HOSTILE), max_size=3), _HOSTILE)
def test_nothing_that_anybody_said_is_a_part_or_a_field(
    sender: bytes, failed: list[tuple[bytes, bytes, bytes]], original: bytes
) -> None:
    listed = [Outcome(address, FAILED, report, b"rfc822;" + orcpt) for address, report, orcpt in failed]
    text = made(listed, original, sender=sender)
    message = message_from_bytes(text)
    assert {name.title() for name in message.keys()} - {"Content-Transfer-Encoding"} == {  # noqa: SIM118
        name.title() for name in _FIELDS
    }
    parts = parts_of(message)
    assert [part.get_content_type() for part in parts] == _KINDS
    [_, *each] = parts_of(parts[1])
    assert len(each) == len(listed)
    for group in each:
        assert set(group.keys()) <= {"Original-Recipient", "Final-Recipient", "Action", "Status", "Diagnostic-Code"}
        assert (group["Action"], group["Status"][:1]) == ("failed", "5")
    head = text[: text.index(original)] if original in text else text
    assert all(len(line) <= 998 for line in head.split(b"\n") if not line.startswith((b"To:", b"Return-Path:")))


@given(st.binary(max_size=300).filter(lambda text: b"\0" not in text))
def test_encoded_words_keep_to_the_length_of_a_line(report: bytes) -> None:
    text = made([Outcome(b"x@y.example", FAILED, report)])
    [boundary] = [line[11:-1] for line in text.split(b"\n") if line.startswith(b"\tboundary=")]
    head, _, words = text.split(b"\n--" + boundary)[1].partition(b"\n\n")
    if b"quoted-printable" in head:
        assert max(map(len, words.split(b"\n"))) <= 76
