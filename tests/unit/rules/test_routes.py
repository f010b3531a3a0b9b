"""control/smtproutes: which line decides, and what it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmailpy.disk import control
from qmailpy.rules.routes import (
    BY_MX,
    ENCRYPT,
    ERROR,
    IMPLICIT,
    MAY,
    NONE,
    RELAY,
    BadRoute,
    Route,
    find_route,
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


def test_a_dot_at_the_end_or_another_spelling_leads_around_no_line() -> None:
    assert route(b"a.example.", b"a.example:relay", b":other").host == b"relay"
    assert route(b"b.a.example.", b".example:relay").host == b"relay"
    assert route(b"a.example.", b"a.example.:exact", b"a.example:relay").host == b"exact"
    lines = control.mapping([b"xn--bcher-kva.example:relay", b":other"])
    host = "bücher.example".encode()
    assert find_route(host, lines, spelled=b"XN--bcher-kva.example").host == b"relay"
    assert find_route(host, lines | {host: b"exact"}, spelled=b"xn--bcher-kva.example").host == b"exact"
    assert find_route(b".", lines).host == b"other"


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


PIN = b"fingerprint=" + b"Aa" * 32


@pytest.mark.parametrize(
    ("options", "tls", "named", "pinned", "anyhow"),
    [
        (b"", MAY, False, False, False),
        (b"tls=none", NONE, False, False, False),
        (b"tls=encrypt", ENCRYPT, False, False, False),
        (b"tls=verify", ENCRYPT, True, False, False),
        (b"tls=implicit", IMPLICIT, True, False, False),
        (PIN, ENCRYPT, False, True, False),
        (b"tls=fingerprint " + PIN, ENCRYPT, False, True, False),
        (b"tls=implicit " + PIN, IMPLICIT, False, True, False),
        (b"tls=implicit verify=no", IMPLICIT, False, False, True),
        (b"tls=encrypt verify=no", ENCRYPT, False, False, True),
        (b"auth=isp", ENCRYPT, True, False, False),
        (b"tls=encrypt auth=isp", ENCRYPT, True, False, False),
        (b"tls=encrypt auth=isp verify=no", ENCRYPT, False, False, True),
        (b"tls=implicit auth=isp", IMPLICIT, True, False, False),
        (b"auth=isp " + PIN, ENCRYPT, False, True, False),
    ],
)
def test_what_the_options_mean(options: bytes, tls: bytes, named: bool, pinned: bool, anyhow: bool) -> None:
    found = parse(b"relay:25 " + options)
    assert (found.tls, found.named, bool(found.fingerprint), found.anyhow) == (tls, named, pinned, anyhow)


def test_a_fingerprint_may_have_colons() -> None:
    assert parse(b"relay:25 fingerprint=" + b":".join([b"aA"] * 32)).fingerprint == b"\xaa" * 32


@pytest.mark.parametrize(
    "options",
    [
        b"tls=may auth=isp",
        b"tls=none auth=isp",
        b"tls=fingerprint",
        b"tls=verify " + PIN,
        b"tls=may " + PIN,
        b"tls=verify verify=no",
        b"tls=may verify=no",
        b"tls=encrypt verify=yes",
        b"tls=implicit verify=no " + PIN,
        b"fingerprint=aa",
        b"fingerprint=:",
        b"fingerprint=" + b"zz" * 32,
        b"fingerprint=" + b"aa" * 33,
    ],
)
def test_options_that_would_be_weaker_than_they_look_are_refused(options: bytes) -> None:
    with pytest.raises(BadRoute):
        parse(b"relay:25 " + options)


@pytest.mark.parametrize(("host", "fits"), [(b"127.0.0.1", True), (b"[::1]", True), (b"localhost", False)])
def test_a_login_in_clear_is_for_this_machine_only(host: bytes, fits: bool) -> None:
    value = host + b":25 tls=none auth=isp"
    if fits:
        assert parse(value).anyhow
        return
    with pytest.raises(BadRoute):
        parse(value)


def test_a_login_is_for_relays_and_not_for_whom_the_dns_names() -> None:
    with pytest.raises(BadRoute):
        parse(b":25 tls=verify auth=isp")


def test_a_senders_route_comes_before_the_one_for_everything_only() -> None:
    routes = control.mapping([b"a.example:named", b".b.example:below", b":all"])
    senders = control.mapping([b"joe@here.example:joes", b"@here.example:ours", b"@mx.example:"])
    for host, sender, relay in (
        (b"a.example", b"joe@here.example", b"named"),
        (b"x.b.example", b"joe@here.example", b"below"),
        (b"c.example", b"Joe@Here.Example", b"joes"),
        (b"c.example", b"ann@here.example", b"ours"),
        (b"c.example", b"ann@there.example", b"all"),
        (b"c.example", b"", b"all"),
        (b"c.example", b"ann@mx.example", b""),
    ):
        assert find_route(host, routes, sender, senders).host == relay


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from([b"r", b":", b"[", b"]", b" ", b"2", b"tls=may", b"error", b"\r", b"."])).map(b"".join))
def test_any_value_is_a_route_or_a_bad_one(value: bytes) -> None:
    try:
        found = parse(value)
    except BadRoute:
        return
    assert 0 < found.port < 65536


def test_our_name_and_our_address_are_of_the_route() -> None:
    found = route(b"a.example", b":relay:25 helo=me.example.org source=[IPv6:2001:DB8:0::1]")
    assert (found.helo, found.source) == (b"me.example.org", b"2001:db8::1")
    assert route(b"a.example", b":relay:25 source=192.0.2.1").source == b"192.0.2.1"
    assert route(b"a.example", b":relay:25 source=2001:db8::2").source == b"2001:db8::2"


@pytest.mark.parametrize("option", [b"source=name.example", b"source=192.0.2", b"helo=<x>", b"source=[]"])
def test_an_address_or_a_name_that_is_none_defers(option: bytes) -> None:
    with pytest.raises(BadRoute):
        route(b"a.example", b":relay:25 " + option)
