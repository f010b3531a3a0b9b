"""The language of /etc/aliases and ~/.forward: spec/10-neighbours.md c1, c4."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.aliasaddress import BadValueError
from qmailpy.rules.aliases import logical_lines, parse, parse_list
from qmailpy.rules.aliasvalue import (
    ADDRESS,
    INCLUDE,
    MAILBOX,
    MAILDIR,
    MBOX,
    NOTHING,
    PROGRAM,
    REFUSE,
    Value,
    decode,
    encode,
    values,
)


def one(text: bytes) -> list[tuple[bytes, bytes]]:
    return [(value.kind, value.argument) for value in values(text)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"joe", [(ADDRESS, b"joe")]),
        (b" joe , ann@example.net,", [(ADDRESS, b"joe"), (ADDRESS, b"ann@example.net")]),
        (b"\\joe", [(MAILBOX, b"joe")]),
        (b"\\joe@example.net", [(MAILBOX, b"joe@example.net")]),
        (b'"two words"@example.net', [(ADDRESS, b"two words@example.net")]),
        (b'"a\\"b,c"', [(ADDRESS, b'a"b,c')]),
        (b"Joe User <joe@example.net>", [(ADDRESS, b"joe@example.net")]),
        (b'"User, Joe" <joe@example.net> (he), ann', [(ADDRESS, b"joe@example.net"), (ADDRESS, b"ann")]),
        (b"bob (Bob, the (old) postmaster) @heaven.af.mil", [(ADDRESS, b"bob@heaven.af.mil")]),
        (b"j\xf6rg@example.net", [(ADDRESS, b"j\xf6rg@example.net")]),
        (b"|command", [(PROGRAM, b"command")]),
        (b"|command a b, joe", [(PROGRAM, b"command a b"), (ADDRESS, b"joe")]),
        (b'"|command a, b" , joe', [(PROGRAM, b"command a, b"), (ADDRESS, b"joe")]),
        (b'|"command a, b"', [(PROGRAM, b"command a, b")]),
        (b'|echo "a, b" c', [(PROGRAM, b'echo "a, b" c')]),
        (
            b"\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #joe\"",
            [(PROGRAM, b"IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #joe")],
        ),
        (b'"|say \\"hi\\" \\\\n"', [(PROGRAM, b'say "hi" \\n')]),
        (b"/var/mail/joe", [(MBOX, b"/var/mail/joe")]),
        (b'/home/joe/Maildir/, "/a b,c/"', [(MAILDIR, b"/home/joe/Maildir/"), (MAILDIR, b"/a b,c/")]),
        (b"/dev/null", [(NOTHING, b"/dev/null")]),
        (b":include:/etc/list", [(INCLUDE, b"/etc/list")]),
        (b':Include: /etc/list, ":include:/a, b"', [(INCLUDE, b"/etc/list"), (INCLUDE, b"/a, b")]),
        (b':include: "/a, b"', [(INCLUDE, b"/a, b")]),
        (b'"error:550 gone, sorry"', [(REFUSE, b"550 gone, sorry")]),
        (b"error:550 gone", [(REFUSE, b"550 gone")]),
        (b"joe # and, not, these", [(ADDRESS, b"joe")]),
        (b"joe#1", [(ADDRESS, b"joe#1")]),
        (b"", []),
        (b",, ,", []),
    ],
)
def test_each_value_means_one_thing(text: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert one(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"joe ann", b"a blank in an address: is a comma missing?"),
        (b'"joe', b"a quote is not closed on its line"),
        (b'joe, |"x', b"a quote is not closed on its line"),
        (b"(joe", b"a parenthesis is not closed on its line"),
        (b"<joe", b"an angle bracket is not closed on its line"),
        (b'"|x" y', b"a comma is missing after a quote"),
        (b"<a@b> c", b"a comma is missing after an address"),
        (b"|", b"no command follows the bar"),
        (b":include:list", b"the path of an included list must begin with a slash"),
        (b"friends: a@b;", b": does not belong here"),
        (b"@example.net", b"an address is not whole"),
        (b"joe@", b"an address is not whole"),
        (b'""', b"an address is not whole"),
        (b"\\", b"an address is not whole"),
        (b"a\0b", b"the line holds a NUL"),
        (b"a\x01b", b"a control byte stands in an address"),
        (b"|a\x01b", b"a control byte stands in the line"),
        (b"x" * 1003, b"an address is too long"),
        (b"\\|x", b"a backslash stands before what is no name"),
    ],
)
def test_what_is_not_understood_is_said(text: bytes, reason: bytes) -> None:
    with pytest.raises(BadValueError) as bad:
        values(text)
    assert bad.value.reason == reason


FILE = rb"""
# a comment
	# another, after a blank
Postmaster: root
root: joe,       # the comment of a line
   ann@example.net,

# in the middle
   "|vacation root"
"Two Words": joe
long: a, b, \
  c, \
d
dot
 : x
empty:
empty2: ,
twice: a
Twice: b
bad: joe ann
good: joe
   ann
crlf: joe
"""


def test_a_file_with_mistakes_is_used_as_far_as_it_is_right() -> None:
    parsed = parse(FILE.replace(b"crlf: joe\n", b"crlf: joe\r\n"), b"/etc/aliases")
    good = {name: [value.argument for value in entry.values] for name, entry in parsed.entries.items()}
    assert good[b"postmaster"] == [b"root"]
    assert good[b"root"] == [b"joe", b"ann@example.net", b"vacation root"]
    assert good[b"two words"] == [b"joe"]
    assert good[b"long"] == [b"a", b"b", b"c", b"d"]
    assert good[b"twice"] == [b"a", b"b"]
    assert good[b"crlf"] == [b"joe"]
    assert {name for name, entry in parsed.entries.items() if entry.problem} == {b"empty", b"empty2", b"bad", b"good"}
    assert [(problem.line, problem.text, problem.is_error) for problem in parsed.problems] == [
        (14, b"no colon follows the name", True),
        (15, b"the line goes on with nothing: it begins with a blank", True),
        (16, b"nothing stands behind the colon of empty", True),
        (17, b"nothing stands behind the colon of empty2", True),
        (19, b"twice is there already, on line 18; it means both", False),
        (20, b"a blank in an address: is a comma missing?", True),
        (22, b"the line before ends without a comma", True),
    ]
    assert not parsed.is_sound
    root = parsed.entries[b"root"]
    assert (root.file, root.line) == (b"/etc/aliases", 5)


def test_warnings_leave_a_file_sound() -> None:
    parsed = parse(b"a: b\na: c\n")
    assert parsed.problems
    assert parsed.is_sound


@pytest.mark.parametrize("name", [b"a b", b"a,b", b"", b"a\x01", b'a"b"'])
def test_a_name_with_special_bytes_needs_quotes(name: bytes) -> None:
    assert not parse(name + b": x\n").entries


def test_a_list_has_no_names_and_its_line_ends_are_commas() -> None:
    assert parse_list(b"joe\nann, bob # x\n\n# y\n\\jim\n") == [
        Value(ADDRESS, b"joe"),
        Value(ADDRESS, b"ann"),
        Value(ADDRESS, b"bob"),
        Value(MAILBOX, b"jim"),
    ]
    with pytest.raises(BadValueError) as bad:
        parse_list(b"joe\na b\n")
    assert bad.value.reason == b"line 2: a blank in an address: is a comma missing?"


def test_lines_keep_their_numbers() -> None:
    assert list(logical_lines(b"\n#x\na\\\nb\nc\\")) == [(3, b"ab"), (5, b"c")]


WORDS = st.lists(
    st.sampled_from([b"a", b":", b",", b" ", b"\n", b'"', b"\\", b"|", b"/", b"<", b">", b"(", b")", b"@", b"#", b"\0"])
    | st.sampled_from([b":include:", b"error:", b"/dev/null", b"\r", b"\xff", b"name: "]),
    max_size=40,
).map(b"".join)


@pytest.mark.hypothesis
@given(WORDS | st.binary(max_size=80))
def test_no_bytes_break_it(text: bytes) -> None:
    parsed = parse(text)
    for entry in parsed.entries.values():
        assert entry.name == entry.name.lower()
        assert entry.values or entry.problem
        for value in entry.values:
            assert b"\0" not in value.argument
            assert b"\n" not in value.argument
        assert decode(encode(entry.values)) == entry.values
    assert parsed.is_sound == (not [problem for problem in parsed.problems if problem.is_error])


@pytest.mark.hypothesis
@given(st.lists(st.tuples(WORDS, st.just(b"")), max_size=3), st.integers(0, 3))
def test_a_bad_line_spoils_no_other_entry(lines: list[tuple[bytes, bytes]], at: int) -> None:
    rows = [
        b"x%d: %s" % (number, text.replace(b"\n", b"").replace(b"\\", b"")) for number, (text, _) in enumerate(lines)
    ]
    rows.insert(min(at, len(rows)), b"good: joe")
    entry = parse(b"\n".join(rows)).entries[b"good"]
    assert (entry.values, entry.problem) == ([Value(ADDRESS, b"joe")], b"")


@pytest.mark.hypothesis
@given(st.text('abc"\\ ,#()@|:', min_size=1, max_size=20))
def test_a_quoted_command_is_itself(text: str) -> None:
    command = b"x" + text.encode()
    quoted = b'"|' + command.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    assert one(quoted) == [(PROGRAM, command)]


@pytest.mark.hypothesis
@given(st.binary(max_size=60))
def test_a_damaged_map_is_noticed_or_harmless(content: bytes) -> None:
    found = decode(content)
    assert found is None or encode(found) == content


@pytest.mark.parametrize(
    "text",
    [
        b"a: " + b"x@y.example, " * 100_000,
        b"a: " + b"(" * 1_000_000,
        b"a: " + b'"\\' * 500_000,
        b"a: |" + b'"x"' * 300_000,
        b'a: :include:"x"' * 70_000,
        b"a: " + b"<" * 1_000_000,
        b"a: " + b'"x" ' * 250_000,
        b"a:x\\\n" * 200_000,
        b"a:\n " * 200_000,
        b"\\" * 1_000_000,
        b"a" * 1_000_000,
    ],
    ids=range(11),
)
def test_a_megabyte_takes_the_time_of_a_megabyte(text: bytes) -> None:
    """What would be quadratic would take hours."""
    begun = time.process_time()
    parse(text)
    assert time.process_time() - begun < 10
