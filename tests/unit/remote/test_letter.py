"""What is handed over: addresses in the spelling of the DNS, and nothing that would end a command early."""

import os

import pytest

from qmailpy.remote.letter import Letter
from qmailpy.remote.session import Message
from qmailpy.wire import smtp, wished


def said(sender: str, recipients: list[bytes | None], wishes: bytes = b"") -> bytes:
    """All that a server hears that offers nothing but DSN, and says yes to everything."""
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        message = Message(descriptor)
        parameters = wished.decode(wishes, len(recipients))
        letter = Letter(sender.encode(), recipients, message, whole=False, wishes=parameters)
    finally:
        os.close(descriptor)
    client = letter.client(b"me", tls=smtp.NEVER, login=None, chunking=True, standing=None, lasts=False)
    words = client.hear(b"220 hi\r\n") + client.hear(b"250-hi\r\n250 DSN\r\n")
    while client.step in (smtp.MAIL, smtp.RCPT):
        words += client.hear(b"250 ok\r\n")
    return words


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("joe@b\u00fccher.example", b"joe@xn--bcher-kva.example"),
        ('"a b"@b\u00fccher.example', b'"a b"@xn--bcher-kva.example'),
        ("j\u00f6e@b\u00fccher.example", None),
        ("joe@a\uff1eb.example", None),  # full-width >, which the DNS would spell as one
        ("joe@a\u3000b.example", None),  # and a blank
        ("joe@" + "\u00fc" * 70 + ".example", None),
        ("b\u00fccher", None),
    ],
)
def test_a_domain_beyond_ascii_has_another_spelling_or_cannot_be_said(address: str, spelled: bytes | None) -> None:
    heard = said("a@b", [address.encode()])
    assert heard.endswith(b"\r\nRCPT TO:<%s>\r\nDATA\r\n" % spelled if spelled else b"\r\nQUIT\r\n")
    assert said(address, [b"c@d"])[9:] == (
        b"MAIL FROM:<%s>\r\nRCPT TO:<c@d>\r\nDATA\r\n" % spelled if spelled else b"QUIT\r\n"
    )


def test_wishes_stay_with_those_who_can_be_named() -> None:
    heard = said("a@b", [None, b"c@d", None, b"e@f"], b"NOTIFY=NEVER")
    assert heard.count(b" NOTIFY=NEVER\r\n") == 2
