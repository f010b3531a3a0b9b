"""qmailpy/rules/rfc822.py and complete.py: one row for each rule of spec/07-inject.md 5 and 6, then properties."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.complete import Domains
from qmailpy.rules.quote import flat
from qmailpy.rules.rfc822 import AddressList, ParseError, lex, text_of, weight

DOMAINS = Domains(b"mail.example.com", b"example.com", b"plus.example")
HOST = b"@mail.example.com"


def parsed(value: bytes) -> AddressList:
    return AddressList(lex(value), DOMAINS.complete)


# What a list is rewritten to, and its addresses from right to left
LISTS = [
    (b"joe", b"joe@mail.example.com", [b"joe" + HOST]),
    (b" a , b ", b"a@mail.example.com, b@mail.example.com", [b"b" + HOST, b"a" + HOST]),
    # completion
    (b"a@mac+", b"a@mac.plus.example", [b"a@mac.plus.example"]),
    (b"g@h", b"g@h.example.com", [b"g@h.example.com"]),
    (b"foo@bar.", b"foo@bar.example.com", [b"foo@bar.example.com"]),
    (b"foo@.bar", b"foo@.bar", [b"foo@.bar"]),
    (b"foo@", b"foo@mail.example.com", [b"foo" + HOST]),
    (b"me+", b"me+@mail.example.com", [b"me+" + HOST]),
    (b"b@[1.2.3.4]", b"b@[1.2.3.4]", [b"b@[1.2.3.4]"]),
    (b"#@[]", b"#@[]", [b"#@[]"]),
    (b"a@b@c", b"a@b@c.example.com", [b"a@b@c.example.com"]),
    (b"a@b.+", b"a@b..plus.example", [b"a@b..plus.example"]),
    (b"<foo.>", b"<foo@mail.example.com>", [b"foo" + HOST]),
    (b"<.>", b"<>", [b""]),
    (b"a@b.@", b"a@b.", [b"a@b."]),
    (b'a@"b+"', b'a@"b+".example.com', [b"a@b+.example.com"]),
    # source routes
    (b"<@brl.mil:u@h.x>", b"<u@h.x>", [b"u@h.x"]),
    (b"<@host>", b"<>", [b""]),
    (b"c <@a,@b:c@d>", b"c <c@d.example.com>", [b"c@d.example.com"]),
    # angle brackets, phrases, comments
    (b"<>", b"<>", [b""]),
    (b"John Q. Public <p@x>", b"John Q.Public <p@x.example.com>", [b"p@x.example.com"]),
    (b"<a@b>(c)", b"<a@b.example.com>(c)", [b"a@b.example.com"]),
    (b"(x)joe,(y)", b"joe@mail.example.com (x), (y)", [b"joe" + HOST]),
    (b"joe (a (b) c)", b"joe@mail.example.com (a b c)", [b"joe" + HOST]),
    (b"<a (c) @ b>", b"<a@b.example.com (c)>", [b"a@b.example.com"]),
    # words without a comma between them
    (b"djb fred", b"djb@mail.example.com, fred@mail.example.com", [b"fred" + HOST, b"djb" + HOST]),
    (b"<a@b> <c@d>", b"<a@b.example.com>, <c@d.example.com>", [b"c@d.example.com", b"a@b.example.com"]),
    (b"<a@b> c", b"<a@b.example.com>, c@mail.example.com", [b"c" + HOST, b"a@b.example.com"]),
    # groups
    (b"g : a;, b", b"g: a@mail.example.com;, b@mail.example.com", [b"b" + HOST, b"a" + HOST]),
    (b"undisclosed-recipients:;", b"undisclosed-recipients: ;", []),
    (b"a;b", b"a@mail.example.com;b@mail.example.com", [b"b" + HOST, b"a" + HOST]),
    # empty ones
    (b"", b"", []),
    (b"a,,b,", b"a@mail.example.com, , b@mail.example.com,", [b"b" + HOST, b"a" + HOST]),
    # a stray < joins the address
    (b"a <b", b"a <b@mail.example.com", [b"a<b" + HOST]),
    # quoting
    (b'"a b"@c.d', b'"a b"@c.d', [b"a b@c.d"]),
    (b'"a\\"b\\\\"@c.d', b'"a\\"b\\\\"@c.d', [b'a"b\\@c.d']),
    (b"a\\ b@c.d", b'"a b"@c.d', [b"a b@c.d"]),
    (b"a)b@c.d", b'"a\\)b"@c.d', [b"a)b@c.d"]),
    (b"a\x01b@c.d", b'"a\x01b"@c.d', [b"a\x01b@c.d"]),
    (b"a\\(b@c.d", b'"a\\(b"@c.d', [b"a(b@c.d"]),
    # what is not ASCII stays as it is
    (b"J\xc3\xb6rg M <a@b.c>", b"J\xc3\xb6rg M <a@b.c>", [b"a@b.c"]),
    ("jörg@bücher.example".encode(), "jörg@bücher.example".encode(), ["jörg@bücher.example".encode()]),
    # folds in a text, and line ends that are none
    (b'"x\n y" <q@w.e>', b'"x y" <q@w.e>', [b"q@w.e"]),
    (b"a\\\nb@c.d", b'"a b"@c.d', [b"a\nb@c.d"]),
    (b'"a\\\r\\\nX: y"@c.d', b'"a X: y"@c.d', [b"a\r\nX: y@c.d"]),
]


@pytest.mark.parametrize(("value", "written", "addresses"), LISTS)
def test_a_list_is_completed_and_written_again(value: bytes, written: bytes, addresses: list[bytes]) -> None:
    found = parsed(value)
    assert found.field(b"To") == (b"To: " + written if written else b"To:") + b"\n"
    assert found.addresses == addresses


BROKEN = [
    b"(",
    b"(a(b)",
    b"(a\\)",
    b'"',
    b'"a',
    b'"a\\"',
    b"[",
    b"[a\\]",
    b")",
    b"a )",
    b"]",
    b"a@b>",
    b">",
    b"a:b",
    b"@a:b@c.d, e@f.g",  # a route without its brackets
    b":",
    b"g:a;b;",
    b"a\\",
    b"a\0b",
    b'"a\0b"',
]


@pytest.mark.parametrize("value", BROKEN)
def test_what_is_no_list_is_refused(value: bytes) -> None:
    with pytest.raises(ParseError):
        parsed(value)


def test_a_line_of_78_bytes_is_not_folded_and_one_of_79_is() -> None:
    first, second = b"a" * 30 + b"@h.x", b"b" * 34 + b"@h.x"
    line = b"To: " + first + b", " + second
    assert len(line) == 78
    assert parsed(first + b"," + second).field(b"To") == line + b"\n"
    assert parsed(first + b",b" + second).field(b"To") == b"To: " + first + b",\n  b" + second + b"\n"


def test_a_long_piece_stands_alone() -> None:
    name = b"n" * 100 + b"@h.x"
    assert parsed(b"a@h.x," + name + b",b@h.x").field(b"Cc") == b"Cc: a@h.x,\n  " + name + b",\n  b@h.x\n"


COMPLETIONS = [
    (b"a,b@c", b"a,b@c.example.com"),
    (b"<r@h>", b"<r@h>.example.com"),
    (b"", b""),
    (b"joe", b"joe@mail.example.com"),
    (b"a b@c.d", b"a b@c.d"),
    (b"@host", b"@host.example.com"),
]


@pytest.mark.parametrize(("argument", "envelope"), COMPLETIONS)
def test_an_argument_is_one_address(argument: bytes, envelope: bytes) -> None:
    assert DOMAINS.envelope(argument) == envelope


def test_the_default_host_is_completed_too() -> None:
    assert Domains(b"mail", b"example.com", b"p").envelope(b"joe") == b"joe@mail.example.com"
    assert Domains(b"mail+", b"example.com", b"p.q").envelope(b"joe") == b"joe@mail.p.q"


MAIL_BYTES = st.lists(st.sampled_from([b"%c" % byte for byte in b'()<>[]@,;:\\".+ \t\r\nab\xc3'])).map(b"".join)


@given(st.one_of(MAIL_BYTES, st.binary()))
def test_any_bytes_are_a_list_or_a_parse_error(value: bytes) -> None:
    try:
        found = parsed(value)
    except ParseError:
        return
    field = found.field(b"To")
    assert field.endswith(b"\n")
    assert b"\r" not in field
    for line in field.split(b"\n")[1:-1]:
        assert line.startswith(b"  ")
    assert len(lex(value)) <= 2 * weight(value) + 1


@given(MAIL_BYTES)
def test_what_was_written_is_read_back_the_same(value: bytes) -> None:
    try:
        once = parsed(value)
    except ParseError:
        return
    if any(b"\n" in address or b"\r" in address for address in once.addresses) or b";" in value:
        return  # a line end is not written; a group may be misplaced
    again = parsed(once.field(b"To")[3:-1])
    kept = [address for address in once.addresses if address]
    assert [address for address in again.addresses if address] == kept


@given(st.binary().filter(lambda text: b"\0" not in text))
def test_an_address_survives_quoting_completion_and_the_envelope(box: bytes) -> None:
    assert DOMAINS.envelope(box + b"@h.x") == box + b"@h.x"


@given(st.binary())
def test_a_flat_text_is_one_line(text: bytes) -> None:
    assert not set(flat(text)) & {0x0A, 0x0D}


HOSTILE = {
    "addresses": b"ab, ",
    "words": b"ab ",
    "quoted": b'"\\"x\\\\" ',
    "one escape at the end of quoted strings": b'"x" ',
    "dots": b"a.",
    "at signs": b"@",
    "brackets": b"<>",
    "groups": b"a:b;",
    "comments": b"(\\a)",
    "closing brackets": b">",
    "escapes": b"\\a",
    "opening parentheses": b"(",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_time_grows_with_the_length_not_with_its_square(kind: str) -> None:
    def seconds(count: int) -> float:
        value = HOSTILE[kind] * count + b'"\\a"'
        began = time.process_time()
        try:
            parsed(value).field(b"To")
        except ParseError:
            pass
        return time.process_time() - began

    assert seconds(40_000) <= 20 * max(seconds(4_000), 0.005)


def test_a_hundred_thousand_nested_parentheses_are_one_comment() -> None:
    depth = 100_000
    assert parsed(b"(" * depth + b"x" + b")" * depth + b"joe").addresses == [b"joe" + HOST]


def test_text_of_leaves_comments_out() -> None:
    assert text_of(lex(b'a(c)."b"@[1]')) == b"a.b@[1]"
