"""What a client of TLS asks for in its first word."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.system import client_hello


def hello(name: str | None, protocols: list[str], *, sessions: bool = True) -> bytes:
    """As OpenSSL says it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    if not sessions:
        context.options |= ssl.OP_NO_TICKET
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secret = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        secret.do_handshake()
    return outgoing.read()


def in_records(message: bytes, size: int) -> bytes:
    """The same handshake in records of so many bytes."""
    body = message[5:]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


CASES = [(None, []), ("mail.example.org", []), (None, ["smtp"]), ("a.example", ["h2", "http/1.1"])]


@pytest.mark.parametrize(("name", "protocols"), CASES)
def test_name_and_protocols_are_found(name: str | None, protocols: list[str]) -> None:
    found = client_hello.read(hello(name, protocols))
    assert found is not None
    assert (found.name.decode(), [one.decode() for one in found.protocols]) == (name or "", protocols)


def test_nothing_is_said_before_the_word_is_whole() -> None:
    message = hello("mail.example.org", ["smtp"])
    assert [at for at in range(len(message)) if client_hello.read(message[:at]) is not None] == []


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_word_in_many_records_is_read_like_one(size: int) -> None:
    message = in_records(hello("mail.example.org", ["smtp"]), size)
    found = client_hello.read(message)
    assert found is not None
    assert (found.name, found.protocols) == (b"mail.example.org", (b"smtp",))
    assert client_hello.read(message[:-1]) is None


@pytest.mark.parametrize(
    "came",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x16\x03\x01\xff\xff\x01\xff\xff\xff" + b"x" * (client_hello.LIMIT + 1),
    ],
)
def test_what_is_no_such_word_asks_for_nothing(came: bytes) -> None:
    found = client_hello.read(came)
    assert found is not None
    assert (found.name, found.protocols) == (b"", ())


@given(st.binary(max_size=400))
def test_no_bytes_are_too_strange(came: bytes) -> None:
    client_hello.read(came)


@given(st.binary(max_size=200))
def test_no_extensions_are_too_strange(extensions: bytes) -> None:
    body = bytes(34) + b"\0" + b"\0\2\x13\1" + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    assert client_hello.read(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message) is not None


@given(st.integers(0, 600), st.integers(0, 255))
def test_a_flipped_byte_is_survived(at: int, byte: int) -> None:
    message = bytearray(HELLO)
    message[at % len(message)] = byte
    client_hello.read(bytes(message))


HELLO = hello("mail.example.org", ["smtp", "esmtp"])
