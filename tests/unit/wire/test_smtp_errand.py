"""MAIL and RCPT as a server's offers and a message's needs make them: SIZE, 8BITMIME, SMTPUTF8, DSN."""

import pytest

from qmailpy.rules import report
from qmailpy.wire import smtp, wished
from qmailpy.wire.lmtp import Content
from qmailpy.wire.smtp import Client
from qmailpy.wire.smtp_errand import UNSAYABLE

DOMAIN_ONLY = "joe@b\u00fccher.example".encode()
IN_ASCII = {DOMAIN_ONLY: b"joe@xn--bcher-kva.example"}
WHOLE = "j\u00f6e@there.example".encode()
WISHES = b"RET=HDRS ENVID=a+2Bb NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;joe+3Dx@y"


def said(
    offers: bytes, sender: bytes = b"a@b", *recipients: bytes, wishes: bytes = b"", content: Content | None = None
) -> tuple[Client, bytes]:
    """What is said for all recipients, one after the other; the server says yes to everything."""
    to = list(recipients) or [b"c@d"]
    client = Client(
        b"me", sender, to, content=content, parameters=wished.decode(wishes, len(to)), in_ascii=IN_ASCII, tls=smtp.NEVER
    )
    client.hear(b"220 hi\r\n")
    words = client.hear(b"250-hi\r\n" + b"".join(b"250-%s\r\n" % each for each in offers.split()) + b"250 HELP\r\n")
    while client.step in (smtp.MAIL, smtp.RCPT):
        words += client.hear(b"250 ok\r\n")
    return client, words


@pytest.mark.parametrize(
    ("offers", "wishes", "words"),
    [
        (b"", WISHES, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (
            b"DSN",
            WISHES,
            (
                b"MAIL FROM:<a@b> RET=HDRS ENVID=a+2Bb\r\n"
                b"RCPT TO:<c@d> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;joe+3Dx@y\r\nDATA\r\n"
            ),
        ),
        (b"DSN", b"NOTIFY=NEVER", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\nDATA\r\n"),
        (b"DSN", b"", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (b"8BITMIME SMTPUTF8", b"BODY=8BITMIME", b"MAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (b"SMTPUTF8", b"BODY=8BITMIME", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (b"SMTPUTF8", b"SMTPUTF8", b"MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (b"", b"SMTPUTF8", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (
            b"DSN",
            "ORCPT=utf-8;j\u00f6e@y".encode(),
            b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d> ORCPT=utf-8;j\\x{F6}e@y\r\nDATA\r\n",
        ),
        (
            b"DSN SMTPUTF8",
            "SMTPUTF8 ORCPT=utf-8;j\u00f6e@y".encode(),
            "MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<c@d> ORCPT=utf-8;j\u00f6e@y\r\nDATA\r\n".encode(),
        ),
    ],
)
def test_wishes_go_to_who_offers_to_hear_them(offers: bytes, wishes: bytes, words: bytes) -> None:
    assert said(offers, wishes=wishes)[1] == words
    ahead = said(offers + b" PIPELINING", wishes=wishes)[1]
    assert ahead == words


def test_what_the_message_is_counts_more_than_what_was_said_of_it() -> None:
    seven, eight = Content(10, eight_bit=False), Content(10, eight_bit=True)
    assert b"BODY" not in said(b"8BITMIME", wishes=b"BODY=8BITMIME", content=seven)[1]
    assert b"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME\r\n" in said(b"SIZE 8BITMIME", content=eight)[1]
    assert b"BODY" not in said(b"", content=eight)[1]


@pytest.mark.parametrize("ahead", [b"", b" PIPELINING"])
def test_an_address_beyond_ascii_goes_as_it_is_or_by_its_domains_other_name_or_not_at_all(ahead: bytes) -> None:
    client, words = said(b"SMTPUTF8" + ahead, b"a@b", DOMAIN_ONLY, WHOLE)
    assert words == b"MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (DOMAIN_ONLY, WHOLE)
    client, words = said(ahead, b"a@b", WHOLE, b"c@d", WHOLE, DOMAIN_ONLY, WHOLE)
    assert words == b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<joe@xn--bcher-kva.example>\r\nDATA\r\n"
    assert [answer is UNSAYABLE for answer in client.answers] == [True, False, True, False, True]
    assert report.recipient_item(b"192.0.2.1", client.answers[0]).startswith(b"hConnected to 192.0.2.1 but it takes no")
    client, words = said(ahead, DOMAIN_ONLY)
    assert words.startswith(b"MAIL FROM:<joe@xn--bcher-kva.example>\r\n")


@pytest.mark.parametrize("ahead", [b"", b" PIPELINING"])
def test_who_cannot_be_named_is_not_asked_for(ahead: bytes) -> None:
    client, words = said(ahead, b"a@b", WHOLE, WHOLE)
    assert (words, client.step, client.failed_at) == (smtp.QUIT, smtp.DONE, smtp.RCPT)
    assert report.message_item(b"192.0.2.1", client) == b"DGiving up on 192.0.2.1.\n\0"
    client, words = said(ahead, WHOLE)
    assert (words, client.step, client.failed_at) == (smtp.QUIT, smtp.DONE, smtp.MAIL)
    assert report.message_item(b"192.0.2.1", client) == (
        b"DConnected to 192.0.2.1 but it takes no address beyond ASCII (SMTPUTF8), and the sender's is one."
        b" (#5.6.7)\n\0"
    )


@pytest.mark.parametrize(
    ("offers", "wishes", "passed"),
    [
        (b"DSN", b"NOTIFY=SUCCESS", True),
        (b"DSN", b"NOTIFY=FAILURE", False),
        (b"DSN", b"NOTIFY=NEVER", False),
        (b"DSN", b"RET=HDRS", False),
        (b"DSN", b"", False),
        (b"", b"NOTIFY=SUCCESS", False),
    ],
)
def test_the_report_says_whose_it_is_to_tell_the_sender(offers: bytes, wishes: bytes, passed: bool) -> None:
    client, _ = said(offers, wishes=wishes)
    client.hear(b"354 go\r\n")
    client.give(b".\r\n", last=True)
    client.hear(b"250 taken\r\n")
    text = report.message_item(b"192.0.2.1", client)[1:-1]
    assert report.is_passed_on(text) is passed
    assert text.startswith(b"192.0.2.1 accepted message.\nRemote host said: 250 taken\n")


def test_a_refusal_passes_nothing_on() -> None:
    client, _ = said(b"DSN", wishes=b"NOTIFY=SUCCESS")
    client.hear(b"354 go\r\n")
    client.give(b".\r\n", last=True)
    client.hear(b"550 no\r\n")
    assert not client.passed_on
