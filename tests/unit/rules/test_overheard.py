"""Whose dialogues are shown."""

import pytest

from qmailpy.rules.overheard import is_wanted, wanted

WORDS = wanted([b"Example.org", b".example.net", b"192.0.2.1", b"[2001:DB8:0::1]", b"MX.example.com"])


@pytest.mark.parametrize(
    ("host", "ip", "name", "shown"),
    [
        (b"example.ORG", b"198.51.100.1", b"", True),
        (b"www.example.org", b"198.51.100.1", b"", False),
        (b"a.b.example.net", b"198.51.100.1", b"", True),
        (b"example.net", b"198.51.100.1", b"", False),
        (b"badexample.net", b"198.51.100.1", b"", False),
        (b"elsewhere.example", b"192.0.2.1", b"", True),
        (b"elsewhere.example", b"2001:db8::1", b"", True),
        (b"elsewhere.example", b"198.51.100.1", b"mx.example.com", True),
        (b"", b"", b"", False),
    ],
)
def test_words_name_domains_and_servers(host: bytes, ip: bytes, name: bytes, shown: bool) -> None:
    assert is_wanted(WORDS, host, ip, name) is shown
