"""The PROXY protocol: every cut of a true header waits for more, and no bytes do anything else than wait or fail."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import proxy_protocol
from qmailpy.wire.proxy_protocol import ProxyError

V1 = b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 65535 0\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = SIGNATURE + b"\x21\x21" + struct.pack("!H", 39) + bytes(15) + b"\1" + bytes(15) + b"\2" + b"\0\1\0\2" + b"abc"


@pytest.mark.parametrize("header", [V1, V2, SIGNATURE + b"\x20\x00\0\0", b"PROXY UNKNOWN\r\n"])
def test_every_cut_waits_for_more(header: bytes) -> None:
    for cut in range(len(header)):
        assert proxy_protocol.decode(header[:cut]) is None
    found = proxy_protocol.decode(header + b"EHLO")
    assert found is not None
    assert found[1] == len(header)


def test_addresses_are_canonical() -> None:
    for header, remote, local in (
        (V1, (b"2001:db8::1", 65535), (b"192.0.2.1", 0)),
        (V2, (b"::1", 1), (b"::2", 2)),
    ):
        found = proxy_protocol.decode(header)
        assert found is not None
        ends = found[0]
        assert ends is not None
        assert (ends.remote_ip, ends.remote_port) == remote
        assert (ends.local_ip, ends.local_port) == local


@given(
    st.binary(max_size=60), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c"])
)
def test_any_bytes_wait_or_fail_or_are_a_header(tail: bytes, start: bytes) -> None:
    came = start + tail
    with contextlib.suppress(ProxyError):
        found = proxy_protocol.decode(came)
        if found is None:
            assert len(came) < proxy_protocol.MOST
        else:
            assert 0 < found[1] <= len(came)
