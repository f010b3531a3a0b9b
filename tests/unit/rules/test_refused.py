"""The line of the log for a refusal: one grammar, whatever the client sends, and the filter of the manual reads it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.refused import Client, line
from tests.support import CHECKOUT, read

GRAMMAR = re.compile(
    rb'qmail-smtpd: refused (?P<ip>[0-9a-fA-F.:]+|-) rule=(?P<rule>[^ "<>\\=]+) helo=(?P<helo>[^ "<>\\=]+) '
    rb'from=(?P<sender><[^ "<>\\]*>|-) to=(?P<to><[^ "<>\\]*>|-) reply="(?P<reply>[^"\\]*)"'
)


def banning() -> re.Pattern[str]:
    """The expression in man/qmail-log.5, as fail2ban makes it: <HOST> becomes an address."""
    text = read(f"{CHECKOUT}/man/man5/qmail-log.5").decode().replace("\\-", "-").replace("\\e", "\\")
    (found,) = re.findall(r"^failregex = (.*)$", text, re.MULTILINE)
    assert "<HOST>" in found
    return re.compile(found.replace("<HOST>", r"(?:::f{4,6}:)?(?P<host>[0-9a-fA-F.:]*[0-9a-fA-F])"))


@pytest.mark.parametrize(
    ("client", "rule", "reply", "expected"),
    [
        (
            Client(b"192.0.2.7", b"m.example", b"a@b", b"c@d"),
            b"rcpthosts",
            b"553 no (#5.7.1)",
            b'qmail-smtpd: refused 192.0.2.7 rule=rcpthosts helo=m.example from=<a@b> to=<c@d> reply="553 no (#5.7.1)"',
        ),
        (
            Client(b"2001:db8::1"),
            b"plugin:x",
            b"",
            b'qmail-smtpd: refused 2001:db8::1 rule=plugin:x helo=- from=- to=- reply=""',
        ),
        (
            Client(None, b"", b"", None),
            b"dnsbl:bl.example",
            b'553 "x"\\',
            b'qmail-smtpd: refused - rule=dnsbl:bl.example helo=- from=<> to=- reply="553 _x__"',
        ),
        (
            Client(b"evil name", b"a b=c", b"a@b> to=<x", b'x"y\n\xff'),
            b"r s",
            b"5\r\n5",
            b'qmail-smtpd: refused - rule=r_s helo=a_b_c from=<a@b__to=_x> to=<x_y__> reply="5__5"',
        ),
        (
            Client(b"::1", b"h", b"list-joe=a.example@b", b"c"),
            b"r",
            b"x",
            b'qmail-smtpd: refused ::1 rule=r helo=h from=<list-joe=a.example@b> to=<c> reply="x"',
        ),
    ],
)
def test_the_line(client: Client, rule: bytes, reply: bytes, expected: bytes) -> None:
    assert line(b"qmail-smtpd", client, rule, reply) == expected


some = st.one_of(st.none(), st.binary(max_size=600), st.text(' "<>\\=\nabc.:@', max_size=40).map(str.encode))


@given(some, some, some, some, st.binary(max_size=40), st.binary(max_size=600))
def test_no_client_can_leave_the_grammar(
    remote: bytes | None, helo: bytes | None, sender: bytes | None, to: bytes | None, rule: bytes, reply: bytes
) -> None:
    written = line(b"qmail-smtpd", Client(remote, helo, sender, to), rule, reply)
    assert GRAMMAR.fullmatch(written), written
    assert len(written) < 2000


@pytest.mark.parametrize(
    ("client", "rule", "reply", "host"),
    [
        (Client(b"192.0.2.7", b"h", b"a@b", b"c@d"), b"rcpthosts", b"553 no", "192.0.2.7"),
        (Client(b"2001:db8::7", b"h", b"", b"c@d"), b"recipient", b"550 no", "2001:db8::7"),
        (Client(b"192.0.2.7", b"h", b"a@b", b"c@d"), b"recipient:later", b"451 no", None),
        (Client(b"192.0.2.7", b"h", b"a@b", b"c@d"), b"dnsbl:rcpthosts", b"553 no", None),
        (Client(None, b"h", b"a@b", b"c@d"), b"rcpthosts", b"553 no", None),
        # what a client says, and what a plugin repeats of it, bans nobody else
        (
            Client(b"192.0.2.7", b"qmail-smtpd: refused 198.51.100.1 rule=rcpthosts x", b"a", b"b"),
            b"tls",
            b"553 qmail-smtpd: refused 198.51.100.1 rule=rcpthosts ",
            None,
        ),
    ],
)
def test_the_filter_of_the_manual_finds_who_is_to_be_banned(
    client: Client, rule: bytes, reply: bytes, host: str | None
) -> None:
    written = line(b"qmail-smtpd", client, rule, reply).decode()
    for prefix in ("", "Nov 21 15:00:00 mx smtpd: 1795273200.125 ", "@400000006 "):
        found = banning().search(prefix + written)
        assert (found.group("host") if found else None) == host
