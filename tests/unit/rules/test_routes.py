"""control/smtproutes: which line decides, and what it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmailpy.disk import control
from qmailpy.rules.routes import (
    BY_MX,
    ERROR,
    RELAY,
    BadRoute,
    Route,
    find_route,
    must_be_able_to,
    parse,
)


def route(host: bytes, *lines: bytes) -> Route:
    return find_route(host, control.mapping(list(lines)))


@pytest.mark.parametrize(
    ("host", "relay"),
    [
        (b"a.b.example", b"exact"),
        (b"A.B.Example", b"exact"),
        (b"x.b.example", b"suffix"),
        (b"y.x.b.example", b"suffix"),
        (b"b.example", b"wide"),
        (b"z.example", b"wide"),
        (b"example", b"all"),
        (b"", b"all"),
        (b"other", b"all"),
    ],
)
def test_the_longest_key_that_fits_decides(host: bytes, relay: bytes) -> None:
    lines = (b"a.b.example:exact", b".b.example:suffix", b".example:wide", b":all")
    assert route(host, *lines).host == relay


def test_without_a_line_that_fits_the_mx_decides() -> None:
    assert route(b"a.example", b"b.example:relay").kind == BY_MX


def test_a_line_without_a_relay_is_an_exception() -> None:
    found = route(b"a.example", b":relay", b"a.example:")
    assert (found.kind, found.port) == (BY_MX, 25)


def test_the_last_of_equal_keys_wins() -> None:
    assert route(b"a", b"a:first", b"A:second").host == b"second"


@pytest.mark.parametrize(
    ("value", "kind", "host", "port", "options"),
    [
        (b"relay", RELAY, b"relay", 25, {}),
        (b"relay:26", RELAY, b"relay", 26, {}),
        (b"relay:", RELAY, b"relay", 25, {}),
        (b"relay:65535", RELAY, b"relay", 65535, {}),
        (b"127.0.0.1:26", RELAY, b"127.0.0.1", 26, {}),
        (b"[2001:db8::1]", RELAY, b"[2001:db8::1]", 25, {}),
        (b"[2001:db8::1]:26", RELAY, b"[2001:db8::1]", 26, {}),
        (b"[192.0.2.1]:26", RELAY, b"[192.0.2.1]", 26, {}),
        (b"relay:587 tls=verify auth=isp", RELAY, b"relay", 587, {b"tls": b"verify", b"auth": b"isp"}),
        (b"relay:25\ttls=may", RELAY, b"relay", 25, {b"tls": b"may"}),
        (b":26", BY_MX, b"", 26, {}),
        (b":25 tls=encrypt", BY_MX, b"", 25, {b"tls": b"encrypt"}),
    ],
)
def test_what_a_route_says(value: bytes, kind: str, host: bytes, port: int, options: dict[bytes, bytes]) -> None:
    found = parse(value)
    assert (found.kind, found.host, found.port, found.options) == (kind, host, port, options)


def test_a_route_can_refuse_in_its_own_words() -> None:
    found = route(b"a", b"a:error: We don't write to a: ever. (#5.7.1)")
    assert (found.kind, found.text) == (ERROR, b"We don't write to a: ever. (#5.7.1)")


@pytest.mark.parametrize(
    "value",
    [
        b"relay tls=verify",
        b"relay: tls=verify",
        b"relay:smtp",
        b"relay:25x",
        b"relay:0",
        b"relay:65536",
        b"relay:1_0",
        b"relay:+25",
        b"relay:999999999999999999999999",
        b"relay:25 tls",
        b"relay:25 tls=",
        b"relay:25 tls=sometimes",
        b"relay:25 tsl=verify",
        b"relay:25 tls=may tls=verify",
        b"[2001:db8::1",
        b"[2001:db8::1]x",
        b"relay\r",
        b"re\x01lay:25",
    ],
)
def test_a_route_that_is_not_understood_is_never_weaker_than_it_was_meant(value: bytes) -> None:
    with pytest.raises(BadRoute):
        parse(value)


@pytest.mark.parametrize("options", [b"tls=encrypt", b"tls=verify", b"tls=fingerprint", b"tls=implicit", b"auth=isp"])
def test_what_this_version_cannot_do_waits(options: bytes) -> None:
    found = parse(b"relay:25 " + options)
    with pytest.raises(BadRoute):
        must_be_able_to(found)


@pytest.mark.parametrize("value", [b"relay", b"relay:25 tls=none", b"relay:25 tls=may", b"", b":26"])
def test_plain_smtp_can_be_done(value: bytes) -> None:
    must_be_able_to(parse(value))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from([b"r", b":", b"[", b"]", b" ", b"2", b"tls=may", b"error", b"\r", b"."])).map(b"".join))
def test_any_value_is_a_route_or_a_bad_one(value: bytes) -> None:
    try:
        found = parse(value)
    except BadRoute:
        return
    assert 0 < found.port < 65536
