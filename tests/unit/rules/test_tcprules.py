"""Rules by address: what a line means, and which one holds for a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import tcprules
from qmailpy.rules.tcprules import BadRuleError

LINES = [
    (b"1.2.3.4:allow", [(b"1.2.3.4", b"")]),
    (b"1.2.3.4:deny \t", [(b"1.2.3.4", b"D\0")]),
    (b":deny", [(b"", b"D\0")]),
    (b'=.x:deny,A="1"', [(b"=.x", b"D\0+A=1\0")]),
    (b'joe@10.:allow,A="",B=/"/', [(b"joe@10.", b'+A=\0+B="\0')]),
    (b"10.0.0.9-11:allow", [(b"10.0.0.%d" % last, b"") for last in (9, 10, 11)]),
    (b"10.2-3.:allow", [(b"10.2.", b""), (b"10.3.", b"")]),
    (b"10.254-999:allow", [(b"10.254", b""), (b"10.255", b"")]),
    (b"10.254-" + b"9" * 5000 + b":allow", [(b"10.254", b""), (b"10.255", b"")]),
    (b"10.5-4:allow", []),
    (b"a-b@10.0.0.1:allow", [(b"a-b@10.0.0.1", b"")]),
    (b"=a-b.example:allow", [(b"=a-b.example", b"")]),
    (b"::1:allow", [(b"::1", b"")]),
    (b"2001:db8::deny", [(b"2001:db8:", b"D\0")]),
    (b'fe80::1:allow,A=":deny"', [(b"fe80::1", b"+A=:deny\0")]),
    (b"", []),
    (b"  ", []),
    (b"#1.2.3.4:deny", []),
    (b"nothing", []),
]
NO_RULES = [
    *(b"1.2.3.4:", b"1.2.3.4:Allow", b"a:all", b"a:b:c", b"x:allow,", b"x:allow,A", b"x:allow,A=", b'x:allow,A="1'),
    *(b'x:allow,A="1"b', b'x:allowA="1"', b"x:allow\r", b"x:denyx", b"a-b:allow", b"1-+2:allow", b"1--2:allow"),
    *(b"1-2-3:allow", b"fe80::1-3:allow", b'x:allow,A="\0"', b"x" * 70000 + b":allow"),
]
DOUBTS = [
    *(b"1.2.3.4", b" 1.2.3.4:allow", b"10.0.0.5-4:deny", b"10.0.0:allow", b"192.168:allow,RELAYCLIENT=''"),
    *(b"fe80:allow", b"=Host.example:deny", b"1.2.3.4.5:deny"),
]
NO_DOUBTS = [
    *(b"1.2.3.4:deny", b"1.2.:allow", b":deny", b"=:allow", b"=.x:deny", b"=h.x:allow", b"::1:allow", b"", b"# x"),
    *(b"fe80::allow", b"2001:db8::5:allow", b"1:2:3:4:5:6:7:8:allow", b"joe@1.2.3.4:allow", b"Joe@=h.x:allow"),
    *(b"10.0.0.1-9:allow", b"10.1-9.:deny"),
]
TABLE = {
    *(b"joe@1.2.3.4", b"joe@=h.example", b"1.2.3.4", b"=h.example", b"1.2.3.", b"1.", b"=.example", b"=", b""),
    *(b"::1", b"2001:db8:", b"2001:db8:1::", b"2001:"),
}


@pytest.mark.parametrize(("line", "found"), LINES)
def test_a_line_means_its_records(line: bytes, found: list[tuple[bytes, bytes]]) -> None:
    assert tcprules.records(line) == found


@pytest.mark.parametrize("line", NO_RULES)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(BadRuleError) as caught:
        tcprules.records(line)
    assert caught.value.reason.isascii()
    assert len(caught.value.reason) < 120


@pytest.mark.parametrize("line", DOUBTS)
def test_what_will_match_nobody_is_doubted(line: bytes) -> None:
    assert tcprules.doubt(line)


@pytest.mark.parametrize("line", NO_DOUBTS)
def test_a_good_rule_is_not_doubted(line: bytes) -> None:
    assert tcprules.doubt(line) == b""


@pytest.mark.parametrize(
    ("ip", "host", "info", "key"),
    [
        (b"1.2.3.4", b"h.example", b"joe", b"joe@1.2.3.4"),
        (b"1.2.3.9", b"h.example", b"joe", b"joe@=h.example"),
        (b"1.2.3.4", b"h.example", b"ann", b"1.2.3.4"),
        (b"1.2.3.9", b"h.example", None, b"=h.example"),
        (b"1.2.3.9", b"g.example", None, b"1.2.3."),
        (b"1.2.3.9", None, b"joe", b"1.2.3."),
        (b"1.9.9.9", None, None, b"1."),
        (b"9.9.9.9", b"g.example", None, b"=.example"),
        (b"9.9.9.9", b"g.example.org", None, b"="),
        (b"9.9.9.9", None, None, b""),
        (b"::1", None, None, b"::1"),
        (b"::2", None, None, b""),
        (b"2001:db8:1::9", None, None, b"2001:db8:1::"),
        (b"2001:db8:2::9", None, None, b"2001:db8:"),
        (b"2001:db8::9", None, None, b"2001:db8:"),
        (b"2001:1::9", None, None, b"2001:"),
    ],
)
def test_the_most_special_rule_holds(ip: bytes, host: bytes | None, info: bytes | None, key: bytes) -> None:
    table = {one: b"+KEY=%s\0" % one for one in TABLE}

    def get(name: bytes) -> bytes | None:
        return table.get(name)

    assert tcprules.decide(get, ip, host, info) == b"+KEY=%s\0" % key


def test_without_any_rule_everybody_may_come() -> None:
    assert tcprules.decide(lambda _: None, b"1.2.3.4", None, None) is None


def test_a_record_changes_the_environment() -> None:
    environment = {b"A": b"old", b"B": b"b"}
    assert tcprules.apply(b"+A=new=er\0+C=\0+=x\0+\0\0zz\0+unfinished=1", environment)
    assert environment == {b"A": b"new=er", b"B": b"b", b"C": b""}
    assert not tcprules.apply(b"D\0", environment)


@given(st.text('0123.:-=@,"allowdeny#', max_size=40).map(str.encode))
def test_any_line_is_rules_or_refused_and_whatever_is_compiled_can_be_applied(line: bytes) -> None:
    try:
        found = tcprules.records(line)
    except BadRuleError:
        return
    tcprules.doubt(line)
    for key, record in found:
        assert len(key) <= len(line)
        assert tcprules.apply(record, {}) != record.startswith(b"D")
