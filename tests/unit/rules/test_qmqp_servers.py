"""control/qmqpservers: which lines name a server."""

import pytest

from qmailpy.rules.qmqp_servers import server


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"192.0.2.10", (b"192.0.2.10", 628)),
        (b"010.0.0.001", (b"10.0.0.1", 628)),
        (b"192.0.2.10 # the big one", (b"192.0.2.10", 628)),
        (b"192.0.2.10:1628", (b"192.0.2.10", 1628)),
        (b"[2001:db8::1]", (b"2001:db8::1", 628)),
        (b"[::1]:1628", (b"::1", 1628)),
        (b"192.0.2.10:0", None),
        (b"192.0.2.10:65536", None),
        (b"192.0.2.10:" + b"9" * 5000, None),
        (b"192.0.2", None),
        (b"192.0.2.256", None),
        (b"192.0..2", None),
        (b"192.0.2.1.5", None),
        (b"1922222.0.2.1", None),
        (b"qmqp.example.org", None),
        (b"[localhost]", None),
        (b"[::1", None),
        (b" 192.0.2.10", None),
        (b"", None),
    ],
)
def test_a_line_is_an_address_and_perhaps_a_port(line: bytes, found: tuple[bytes, int] | None) -> None:
    assert server(line) == found
