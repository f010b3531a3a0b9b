"""rules/messageid: found in the first header block, within a limit."""

import pytest

from qmailpy.rules import messageid


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"Subject: x\nMessage-ID: <a@b>\n\nbody", b"<a@b>"),
        (b"message-id:<a@b>\n\n", b"<a@b>"),
        (b"Message-Id:\n <a@b>\n\n", b"<a@b>"),
        (b"MESSAGE-ID: \r\n\t<a@b>\r\n\r\n", b"<a@b>"),
        (b"Message-ID: comment <a@b> more\n\n", b"<a@b>"),
        (b"Message-ID: <first@b>\nMessage-ID: <second@b>\n\n", b"<first@b>"),
        (b"\nMessage-ID: <a@b>\n", b""),
        (b"\r\nMessage-ID: <a@b>\n", b""),
        (b"Message-ID: a@b\n\n", b""),
        (b"Message-ID: >a@b<\n\n", b""),
        (b"X-Message-ID: <a@b>\n\n", b""),
        (b"Message-ID:", b""),
        (b"", b""),
        (b"X: " + b"y" * messageid.LIMIT + b"\nMessage-ID: <a@b>\n\n", b""),
    ],
)
def test_the_name_of_a_message(text: bytes, found: bytes) -> None:
    assert messageid.message_id(text) == found
