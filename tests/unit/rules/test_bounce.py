import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.bounce import Bounce, Sender, is_triple, record, without_prefix

US = Sender(b"MAILER-DAEMON", b"mx.example.org", b"postmaster@mx.example.org")
VIRTUAL = {b"virt.com": b"list-v2", b".sub.com": b"s", b"full.com": b"", b"": b"catch"}


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (b"", b"<r@x>:\n\n"),
        (b"no", b"<r@x>:\nno\n\n"),
        (b"no\n", b"<r@x>:\nno\n\n"),
        (b"a\n\nb\n", b"<r@x>:\na\n/b\n\n"),
        (b"a\n\n\nb", b"<r@x>:\na\n//b\n\n"),
        (b"\na\n", b"<r@x>:\n/a\n\n"),
        (b"a\n\n", b"<r@x>:\na\n\n\n"),  # only a report that ends so can leave an empty line
        (b"a\n\n\n", b"<r@x>:\na\n/\n\n"),
        (b"\n", b"<r@x>:\n\n\n"),
    ],
)
def test_a_record_has_no_empty_line_inside(report: bytes, text: bytes) -> None:
    assert record(b"r@x", report, {}) == text


def test_a_line_feed_in_a_recipient_cannot_end_its_line() -> None:
    assert record(b"a\n<b@c>:\n@x", b"no\n", {}) == b"<a_<b@c>:_@x>:\nno\n\n"


@pytest.mark.parametrize(
    ("stored", "known"),
    [
        (b"list-v2-x@virt.com", b"x@virt.com"),
        (b"list-v2-x@VIRT.com", b"x@VIRT.com"),
        (b"s-x@a.sub.com", b"x@a.sub.com"),
        (b"catch-x@else.where", b"x@else.where"),
        (b"catch-x@full.com", b"catch-x@full.com"),  # exempt: nothing was added
        (b"x@virt.com", b"x@virt.com"),
        (b"list-v2x@virt.com", b"list-v2x@virt.com"),
        (b"nobody", b"nobody"),
    ],
)
def test_the_prefix_of_a_virtual_domain_is_not_shown(stored: bytes, known: bytes) -> None:
    assert without_prefix(stored, VIRTUAL) == known


@given(st.binary().map(lambda text: text.replace(b"\0", b"")), st.binary())
def test_whatever_a_report_says_it_stays_one_paragraph(report: bytes, recipient: bytes) -> None:
    text = record(recipient, report, {})
    assert text.endswith(b"\n\n")
    paragraph = text[:-1].rstrip(b"\n")
    assert b"\n\n" not in paragraph


def test_a_single_bounce_goes_from_nobody_to_the_sender() -> None:
    bounce = Bounce(b"s..x@there.example", US, 1795227000)
    assert (bounce.envelope_sender, bounce.recipient) == (b"", b"s..x@there.example")
    assert bounce.before == (
        b"Date: 21 Nov 2026 02:10:00 -0000\n"
        b"From: MAILER-DAEMON@mx.example.org\n"
        b'To: "s..x"@there.example\n'
        b"Subject: failure notice\n"
        b"\n"
        b"Hi. This is the qmail-send program at mx.example.org.\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n"
        b"\n"
    )
    assert bounce.between == (b'--- Below this line is a copy of the message.\n\nReturn-Path: <"s..x"@there.example>\n')


def test_a_double_bounce_goes_from_the_special_sender_to_the_postmaster() -> None:
    bounce = Bounce(b"", US, 0)
    assert (bounce.envelope_sender, bounce.recipient) == (b"#@[]", b"postmaster@mx.example.org")
    assert b"To: postmaster@mx.example.org\n" in bounce.before
    assert bounce.before.endswith(
        b"Hi. This is the qmail-send program at mx.example.org.\n"
        b"I tried to deliver a bounce message to this address, but the bounce bounced!\n\n"
    )
    assert bounce.between == b"--- Below this line is the original bounce.\n\nReturn-Path: <>\n"


def test_a_verp_sender_gets_his_bounce_at_the_base_address() -> None:
    bounce = Bounce(b"list-@x-@[]", US, 0)
    assert bounce.recipient == b"list-@x"
    assert b"Return-Path: <list-@x>\n" in bounce.between


def test_a_strange_bouncefrom_is_quoted() -> None:
    assert b'From: "Mail Daemon"@h\n' in Bounce(b"a@b", Sender(b"Mail Daemon", b"h", b"p@h"), 0).before


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_sender_cannot_add_a_header_field(end: bytes) -> None:
    for sender in (b"a" + end + b"Bcc: x@y", b"a@y" + end + b"Bcc: x"):
        bounce = Bounce(sender, US, 0)
        assert bounce.recipient == sender
        text = (bounce.before + bounce.between).replace(b"\r", b"\n")
        assert b"\nBcc:" not in text


def test_only_the_special_sender_makes_a_triple_bounce() -> None:
    assert is_triple(b"#@[]")
    assert not is_triple(b"")
    assert not is_triple(b"a@b")


def test_a_bounce_may_be_dated_in_local_time() -> None:
    local = Sender(b"M", b"h", b"p@h", uses_local_time=True)
    assert Bounce(b"a@b", local, 0, -28800).before.startswith(b"Date: 31 Dec 1969 16:00:00 -0800\n")
    assert Bounce(b"a@b", US, 0, -28800).before.startswith(b"Date: 1 Jan 1970 00:00:00 -0000\n")
