"""Lines of control/dnsbl, and what is asked for an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.dnsbl import BadZone, Zone, question


@pytest.mark.parametrize(
    ("line", "answer", "counts"),
    [
        (b"bl.example", b"127.0.0.2", True),
        (b"bl.example", b"127.1.2.3", True),
        (b"bl.example", b"127.255.255.254", False),  # "do not ask me"
        (b"bl.example", b"192.0.2.1", False),  # a domain for sale
        (b"bl.example=127.0.0.2", b"127.0.0.2", True),
        (b"bl.example=127.0.0.2", b"127.0.0.20", False),
        (b"bl.example=127.0.0.2,127.0.0.4-7", b"127.0.0.5", True),
        (b"bl.example=127.0.0.2,127.0.0.4-7", b"127.0.0.8", False),
        (b"bl.example=127.0.0.4-7", b"127.0.1.5", False),
        (b"bl.example=127.0.1.", b"127.0.1.99", True),
        (b"bl.example=127.0.1.", b"127.0.10.1", False),
        (b"bl.example=127.", b"127.255.255.1", True),  # who names it means it
    ],
)
def test_which_answers_count(line: bytes, answer: bytes, counts: bool) -> None:
    assert Zone(line).counts(answer) == counts


@pytest.mark.parametrize(
    ("line", "own", "reply"),
    [
        (b"bl.example", b"", b"553 sorry, 192.0.2.7 is listed in bl.example (#5.7.1)"),
        (b"bl.example", b"see http://x/\r\n250 ok", b"553 see http://x/??250 ok (#5.7.1)"),
        (b"bl.example go away", b"see http://x", b"553 go away (#5.7.1)"),
        (b"bl.example  451 later: %", b"", b"451 later: 192.0.2.7 (#4.7.1)"),
        (b"bl.example 554 no (#5.7.0)", b"", b"554 no (#5.7.0)"),
        (b"bl.example 250 ok", b"", b"553 250 ok (#5.7.1)"),
        (b"bl.example " + b"x" * 500, b"", b"553 " + b"x" * 400 + b" (#5.7.1)"),
    ],
)
def test_what_the_client_is_told(line: bytes, own: bytes, reply: bytes) -> None:
    assert Zone(line).reply(b"192.0.2.7", own) == reply


@pytest.mark.parametrize(
    "line",
    [b"=127.0.0.1", b".", b"bl%x", b"bl.example=", b"bl.example=x", b"bl.example=127.0.0.1-", b"bl.example=1.2.3"],
)
def test_a_line_that_means_nothing(line: bytes) -> None:
    with pytest.raises(BadZone):
        Zone(line)


def test_an_exception_is_marked() -> None:
    assert Zone(b"!good.example").spares
    assert Zone(b"!good.example").name == b"good.example"
    assert not Zone(b"bad.example").spares


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (b"192.0.2.7", b"7.2.0.192.bl.example"),
        (b"2001:db8::7", b"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example"),
    ],
)
def test_the_name_that_is_asked_for(address: bytes, name: bytes) -> None:
    assert question(address, b"bl.example.") == name


@given(st.binary(max_size=80))
def test_any_line_is_a_zone_or_none(line: bytes) -> None:
    try:
        zone = Zone(line)
    except BadZone:
        return
    reply = zone.reply(b"192.0.2.7", line)
    assert reply[:1] in b"45"
    assert all(32 <= byte <= 126 for byte in reply)
    zone.counts(b"127.0.0.2")
