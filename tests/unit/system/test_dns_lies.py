"""What the DNS may say: an answer, that there is nothing, or nothing that counts; the last two are never confused."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from qmailpy.system import dns
from tests import dns_liar as liar
from tests.dns_liar import AVAILABLE, CNAME, MX, NS, RESPONSE, SOA, TRUNCATED, Liar, Question, Script, record

T = TypeVar("T")
FOUND = [b"192.0.2.1"]
RIGHT = liar.ipv4(b"192.0.2.1")
OTHER = liar.name(b"other.example")
START = record(ASKED := liar.ASKED, SOA, liar.name(b"a") * 2 + liar.number(1, 4) * 5)
REFERRAL = record(liar.name(b"example"), NS, OTHER)
MOST_IN_64_KB = 4000


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """How long is waited for an answer that does not come."""

    def patch(seconds: float) -> None:
        monkeypatch.setattr(dns, "ONE_TRY", seconds / 2)
        monkeypatch.setattr(dns, "ALL_TRIES", seconds)

    patch(5.0)
    return patch


def ask(script: Script, raw: bytes | None = None) -> list[bytes] | str:
    """The addresses; or soft, or hard."""
    with Liar(script, raw=raw) as server:
        return look_up(server, lambda resolver: resolver.a(b"x.example"))


def look_up(server: Liar, question: Callable[[dns.Resolver], Awaitable[list[T]]]) -> list[T] | str:
    async def run() -> list[T]:
        return await question(dns.Resolver({b"DNSCACHEIP": b"127.0.0.1:%d" % server.port}))

    try:
        return asyncio.run(run())
    except dns.Soft:
        return "soft"
    except dns.Hard:
        return "hard"


def chain(*targets: bytes) -> list[bytes]:
    """CNAMEs from the question's name to the last of these, which has the address."""
    owners = [ASKED, *(liar.name(target) for target in targets)]
    links = [record(owner, CNAME, target) for owner, target in itertools.pairwise(owners)]
    return [*links, record(owners[-1], liar.A, b"\xc0\0\2\1")]


def changed(packet: bytes, at: int, content: bytes) -> bytes:
    return packet[:at] + content + packet[at + len(content) :]


ANSWERS: list[tuple[str, Script, list[bytes] | str]] = [
    ("an answer", lambda q: q.answer(RIGHT), FOUND),
    ("the authority's", lambda q: q.answer(RIGHT, flags=RESPONSE | liar.AUTHORITY), FOUND),
    ("no such name", lambda q: q.answer(rcode=liar.NXDOMAIN, authority=(START,)), "hard"),
    ("no such name, and no proof", lambda q: q.answer(rcode=liar.NXDOMAIN), "hard"),
    ("no such record", lambda q: q.answer(authority=(START,)), "hard"),
    ("no such record, and no proof", lambda q: q.answer(), "hard"),
    ("an alias of nothing", lambda q: q.answer(record(ASKED, CNAME, OTHER), rcode=liar.NXDOMAIN), "hard"),
    ("SERVFAIL", lambda q: q.answer(rcode=liar.SERVFAIL), "soft"),
    ("REFUSED", lambda q: q.answer(rcode=liar.REFUSED), "soft"),
    ("FORMERR", lambda q: q.answer(rcode=liar.FORMERR), "soft"),
    ("NOTIMP", lambda q: q.answer(rcode=liar.NOTIMP), "soft"),
    ("a referral", lambda q: q.answer(flags=RESPONSE, authority=(REFERRAL,)), "soft"),
    ("nothing, of a resolver that names servers", lambda q: q.answer(authority=(REFERRAL,)), "hard"),
    ("silence", lambda _: None, "soft"),
    ("an empty packet", lambda _: b"", "soft"),
    ("a byte", lambda _: b"x", "soft"),
    ("a header without the rest", lambda q: q.answer(RIGHT)[:12], "soft"),
    ("a half answer", lambda q: q.answer(RIGHT)[:-3], "soft"),
    ("the question itself", lambda q: q.query, "soft"),
    ("another's number", lambda q: changed(q.answer(RIGHT), 0, b"\0\0" if q.query[:2] > b"\0\0" else b"\1\1"), "soft"),
    ("another's number first", lambda q: [b"\0\0" + q.answer(RIGHT)[2:], q.answer(RIGHT)], FOUND),
    ("another's question", lambda q: changed(q.answer(RIGHT), 13, b"y"), "soft"),
    ("another's question first", lambda q: [changed(q.answer(RIGHT), 13, b"y"), q.answer(RIGHT)], FOUND),
    ("another class", lambda q: changed(q.answer(RIGHT), 12 + len(q.asked) - 1, b"\3"), "soft"),
    ("records of another name", lambda q: q.answer(record(OTHER, liar.A, b"\xc0\0\2\1")), "soft"),
    ("records of another kind", lambda q: q.answer(liar.mx(10, b"a")), "soft"),
    ("a record of three bytes", lambda q: q.answer(record(ASKED, liar.A, b"\1\2\3")), "soft"),
    ("fewer records than it says", lambda q: q.packet(RIGHT, 2), "soft"),
    ("a record longer than the packet", lambda q: q.packet(RIGHT[:10] + b"\xff\xff" + RIGHT[12:], 1), "soft"),
    ("a name that points to itself", lambda q: q.packet(b"\xc0" + bytes((12 + len(q.asked),)) + RIGHT[2:], 1), "soft"),
    ("names that point to each other", lambda q: q.answer(record(ASKED, CNAME, b"\xc0\xff")), "soft"),
    ("a label of 64 bytes", lambda q: q.packet(b"\x40" + b"x" * 64 + b"\0" + RIGHT[2:], 1), "soft"),
    ("a name of 300 bytes", lambda q: q.packet(liar.name(b".".join([b"x" * 59] * 5)) + RIGHT[2:], 1), "soft"),
    ("a chain in one answer", lambda q: q.answer(*chain(b"a.example", b"b.example", b"c.example")), FOUND),
    ("a chain without end", lambda q: q.answer(*chain(*(b"%d.example" % at for at in range(40)))), "soft"),
    ("a circle", lambda q: q.answer(record(ASKED, CNAME, OTHER), record(OTHER, CNAME, ASKED)), "soft"),
    ("the same name", lambda q: q.answer(record(ASKED, CNAME, ASKED)), "soft"),
    ("always another name", lambda q: q.answer(record(ASKED, CNAME, liar.name(b"x" + q.name[:40]))), "soft"),
]


@pytest.mark.parametrize(("script", "expected"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS])
def test_each_answer_is_taken_for_what_it_is(
    hurry: Callable[[float], None], script: Script, expected: list[bytes] | str
) -> None:
    if expected == "soft":
        hurry(0.2)
    assert ask(script) == expected


def test_a_server_that_gives_only_the_beginning_of_a_chain_is_asked_for_the_rest() -> None:
    def script(question: Question) -> bytes:
        if question.name == b"c.example":
            return question.answer(RIGHT)
        following = {b"x.example": b"b.example", b"b.example": b"c.example"}[question.name]
        return question.answer(record(ASKED, CNAME, liar.name(following)))

    assert ask(script) == FOUND


CUT: list[tuple[str, Script, bytes | None, list[bytes] | str]] = [
    ("whole by TCP", lambda q: q.answer(RIGHT) if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), None, FOUND),
    ("closed", lambda q: b"" if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), None, "soft"),
    ("silence", lambda q: None if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), None, "soft"),
    ("half a length", lambda q: None if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), b"\0", "soft"),
    ("a length of none", lambda q: None if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), b"\0\0", "soft"),
    ("less than its length", lambda q: None if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), b"\1\0abc", "soft"),
    ("cut again", lambda q: q.answer(flags=liar.USUAL | TRUNCATED), None, "soft"),
    ("SERVFAIL", lambda q: q.answer(rcode=2) if q.tcp else q.answer(flags=liar.USUAL | TRUNCATED), None, "soft"),
]


@pytest.mark.parametrize(("script", "raw", "expected"), [one[1:] for one in CUT], ids=[one[0] for one in CUT])
def test_a_cut_answer_is_asked_for_again_by_tcp(
    hurry: Callable[[float], None], script: Script, raw: bytes | None, expected: list[bytes] | str
) -> None:
    if expected == "soft":
        hurry(0.2)
    assert ask(script, raw=raw) == expected


def test_an_answer_as_long_as_there_can_be_is_read(hurry: Callable[[float], None]) -> None:
    hurry(10.0)
    tail = b"\xc0\x0c"  # x.example itself, compressed
    records = [record(ASKED, MX, liar.number(at) + b"\1" + b"m" + tail) for at in range(MOST_IN_64_KB - 600)]

    def script(question: Question) -> bytes:
        return question.answer(*records) if question.tcp else question.answer(flags=liar.USUAL | TRUNCATED)

    with Liar(script) as server:
        found = look_up(server, lambda resolver: resolver.mx(b"x.example"))
    assert len(found) == len(records)
    assert found[-1] == (len(records) - 1, b"m.x.example")


def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    async def twice(resolver: dns.Resolver) -> list[list[bytes]]:
        return [await resolver.a(b"x.example") for _ in range(2)]

    with Liar(lambda q: q.answer(rcode=liar.FORMERR) if q.edns else q.answer(RIGHT)) as server:
        assert look_up(server, twice) == [FOUND, FOUND]
    assert [question.edns for question in server.asked] == [True, False]


def test_what_is_asked_is_one_kind_at_a_time_and_never_all_of_them() -> None:
    with Liar(lambda question: question.answer(authority=(START,))) as server:
        assert look_up(server, lambda resolver: resolver.mx(b"x.example")) == "hard"
        assert look_up(server, lambda resolver: resolver.a(b"x.example")) == "hard"
        assert look_up(server, lambda resolver: resolver.aaaa(b"x.example")) == "hard"
        assert look_up(server, lambda resolver: resolver.txt(b"x.example")) == "hard"
    assert [question.kind for question in server.asked] == [MX, liar.A, liar.AAAA, liar.TXT]
    assert all(question.edns and not question.tcp for question in server.asked)


LABELS: list[tuple[bytes, bytes | None]] = [
    # an exchanger's name on the wire, how we have it; None: it can be no host
    (liar.name(b"mx.example"), b"mx.example"),
    (liar.name(b"MX.Example"), b"MX.Example"),
    (liar.name(b"x" * 63 + b".example"), b"x" * 63 + b".example"),
    (liar.name(b".".join([b"x" * 63] * 3 + [b"y" * 61])), b".".join([b"x" * 63] * 3 + [b"y" * 61])),
    (b"\3a.b\0", None),
    (b"\3a b\0", None),
    (b"\3a\0b\0", None),
    (b"\3a\nb\0", None),
    (b"\3a\x7fb\0", None),
    (b"\3a\\b\0", b"a\\b"),
    (b"\2\xc3\xbc\0", "ü".encode()),
    (b"\1\xff\0", b"\xff"),
    (liar.name(b"192.0.2.1"), b"192.0.2.1"),
    (liar.name(b"xn--"), b"xn--"),
    (b"\0", b"."),
]


@pytest.mark.parametrize(("wire", "expected"), LABELS)
def test_the_names_of_exchangers_are_bytes_or_are_left_out(wire: bytes, expected: bytes | None) -> None:
    def script(question: Question) -> bytes:
        return question.answer(record(ASKED, MX, b"\0\5" + wire), liar.mx(9, b"b"))

    with Liar(script) as server:
        found = look_up(server, lambda resolver: resolver.mx(b"x.example"))
    assert found == [*([] if expected is None else [(5, expected)]), (9, b"b")]


NAMES: list[tuple[bytes, bytes | str]] = [
    # a host, what is asked in the DNS; hard: nothing is
    (b"x" * 63, b"x" * 63),
    (b"x" * 64, "hard"),
    (b".".join([b"x" * 63] * 3 + [b"y" * 61]), b".".join([b"x" * 63] * 3 + [b"y" * 61])),  # 255 bytes on the wire
    (b".".join([b"x" * 63] * 3 + [b"y" * 62]), "hard"),
    (b"a\\.b", b"a\\.b"),
    (b"a\\046b", b"a\\046b"),
    (b"a b", b"a b"),
    (b"a\0b", b"a\0b"),
    (b"_a-.-b", b"_a-.-b"),
    (b"*.example", b"*.example"),
    ("bücher.example".encode(), b"xn--bcher-kva.example"),
    ("BÜCHER.example".encode(), b"xn--bcher-kva.example"),
    ("straße.example".encode(), b"xn--strae-oqa.example"),
    ("日本。example".encode(), b"xn--wgv71a.example"),
    ("a\u200bü.example".encode(), b"xn--a-eha.example"),
    (b"xn--bcher-kva.example", b"xn--bcher-kva.example"),
    (b"xn--.example", b"xn--.example"),
    (b"xn--999999999.example", b"xn--999999999.example"),
    ("xn--ü.example".encode(), "hard"),
    ("äöü日本".encode() * 12, "hard"),
    (b"\xff.example", "hard"),
    (b"\xc3.example", "hard"),
    ("\u0378.example".encode(), "hard"),
    ("ü..example".encode(), "hard"),
    ("。".encode(), "hard"),
]


@pytest.mark.parametrize(("host", "expected"), NAMES)
def test_a_host_is_asked_for_by_its_name_in_the_dns(host: bytes, expected: bytes | str) -> None:
    with Liar(lambda question: question.answer(RIGHT)) as server:
        found = look_up(server, lambda resolver: resolver.a(host))
    assert [question.name for question in server.asked] == ([] if expected == "hard" else [expected])
    assert found == ("hard" if expected == "hard" else FOUND)


def test_a_slow_chain_ends_when_the_time_of_one_question_is_over(hurry: Callable[[float], None]) -> None:
    """Not when as many questions as it has links have had their time."""
    hurry(0.4)

    def script(question: Question) -> bytes:
        time.sleep(0.15)
        return question.answer(record(ASKED, CNAME, liar.name(b"x" + question.name[:40])))

    with Liar(script) as server:
        assert look_up(server, lambda resolver: resolver.a(b"x.example")) == "soft"
    assert len(server.asked) < dns.CNAMES


def test_who_is_available_and_says_nothing_is_no_referral() -> None:
    assert ask(lambda q: q.answer(flags=RESPONSE | AVAILABLE, authority=(REFERRAL,))) == "hard"
