"""What is remembered of the DNS: nothing for long, nothing large, and a no only with its proof."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest

from qmailpy.system import dns
from tests import dns_liar as liar
from tests.dns_liar import ASKED, SOA, Liar, Question, record

RIGHT = liar.ipv4(b"192.0.2.1")
NEVER = record(liar.name(b"example"), SOA, liar.name(b"a") * 2 + liar.number(0x7FFFFFFF, 4) * 5, ttl=0x7FFFFFFF)

KEPT: list[tuple[str, Callable[[Question], bytes], int, bool]] = [
    # what is answered, seconds later, whether it is still known
    ("an answer", lambda q: q.answer(RIGHT), 50, True),
    ("an answer", lambda q: q.answer(RIGHT), 70, False),
    ("for ever", lambda q: q.answer(record(ASKED, liar.A, b"\xc0\0\2\1", ttl=0x7FFFFFFF)), dns.LONGEST - 10, True),
    ("for ever", lambda q: q.answer(record(ASKED, liar.A, b"\xc0\0\2\1", ttl=0x7FFFFFFF)), dns.LONGEST + 10, False),
    ("no such name", lambda q: q.answer(rcode=liar.NXDOMAIN, authority=(NEVER,)), dns.LONGEST_NO - 10, True),
    ("no such name", lambda q: q.answer(rcode=liar.NXDOMAIN, authority=(NEVER,)), dns.LONGEST_NO + 10, False),
    ("no such name, and no proof", lambda q: q.answer(rcode=liar.NXDOMAIN), 0, False),
    ("no such record", lambda q: q.answer(authority=(NEVER,)), dns.LONGEST_NO - 10, True),
    ("no such record", lambda q: q.answer(authority=(NEVER,)), dns.LONGEST_NO + 10, False),
    ("no such record, and no proof", lambda q: q.answer(), 0, False),
    ("SERVFAIL", lambda q: q.answer(rcode=liar.SERVFAIL), 0, False),
]


@pytest.mark.parametrize(("script", "later", "is_known"), [one[1:] for one in KEPT], ids=[one[0] for one in KEPT])
def test_an_answer_is_known_for_a_while_and_a_no_for_less(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[Question], bytes], later: int, is_known: bool
) -> None:
    async def twice(resolver: dns.Resolver) -> None:
        with contextlib.suppress(dns.Soft, dns.Hard):
            await resolver.a(b"x.example")
        begun = time.time()
        monkeypatch.setattr(time, "time", lambda: begun + later)
        with contextlib.suppress(dns.Soft, dns.Hard):
            await resolver.a(b"x.example")

    with Liar(script) as server:
        asyncio.run(twice(dns.Resolver({b"DNSCACHEIP": b"127.0.0.1:%d" % server.port})))
    assert len(server.asked) == (1 if is_known else 2)


def test_of_large_answers_few_are_known() -> None:
    """Whoever has 2000 domains would have gigabytes of our memory; and whoever has one, our processor."""
    large = [RIGHT, *(liar.ipv4(b"10.0.0.%d" % at) for at in range(dns.LARGE))]

    async def ask(resolver: dns.Resolver) -> None:
        for at in [*range(dns.REMEMBERED_LARGE + 1), dns.REMEMBERED_LARGE, 0]:
            await resolver.a(b"%d.example" % at)

    def script(question: Question) -> bytes:
        return question.answer(*large) if question.tcp else question.answer(flags=liar.USUAL | liar.TRUNCATED)

    with Liar(script) as server:
        asyncio.run(ask(dns.Resolver({b"DNSCACHEIP": b"127.0.0.1:%d" % server.port})))
    names = [question.name for question in server.asked if question.tcp]
    assert names == [b"%d.example" % at for at in [*range(dns.REMEMBERED_LARGE + 1), 0]]
