"""users/assign: each kind of line, what is wrong with others, and that the lookup finds what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.assign import LINE_LIMIT, Assignments, BadLineError, doubt
from qmailpy.rules.users import assigned_keys, entry_fields
from qmailpy.wire import getpw

JOE = b"joe\x0060001\x0060001\0/h/joe\0\0"


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b"=joe:joe:60001:60001:/h/joe:::", b"!joe\0", JOE),
        (b"=JOE:joe:60001:60001:/h/joe:::", b"!joe\0", JOE),
        (b"=joe:joe:60001:60001:/h/joe::: a comment: or two", b"!joe\0", JOE),
        (b"=joe-list:joe:1:2:/h:-:l:", b"!joe-list\0", b"joe\x001\x002\0/h\0-\0l"),
        (b"+joe-:joe:1:2:/h:-::", b"!joe-", b"joe\x001\x002\0/h\0-\0"),
        (b"+Joe-L-:joe:1:2:/h:-:Pre-:", b"!joe-l-", b"joe\x001\x002\0/h\0-\0Pre-"),
        (b"+:alias:1:2:/h:-::", b"!", b"alias\x001\x002\0/h\0-\0"),
        (b"=:joe:1:2:/h:::", b"!\0", b"joe\x001\x002\0/h\0\0"),
        (b"#joe:joe:1:2:/h:::", b"!joe\0", b"joe\x001\x002\0/h\0\0"),
        (b"=\xff:joe:x::h:::", b"!\xff\0", b"joe\0x\0\0h\0\0"),
    ],
)
def test_a_line_is_a_record(line: bytes, key: bytes, value: bytes) -> None:
    assert Assignments().record(line) == (key, value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", b"is empty"),
        (b"joe", b"has no colon"),
        (b":joe:1:2:/h:::", b"begins with a colon"),
        (b"=joe:joe:1:2:/h::", b"has 6 colons where there must be 7"),
        (b"=joe:", b"has 1 colons where there must be 7"),
        (b"=j\0e:joe:1:2:/h:::", b"has a NUL"),
        (b"=" + b"x" * LINE_LIMIT, b"longer than 65536 bytes"),
    ],
)
def test_what_is_no_line_is_told_why(line: bytes, reason: bytes) -> None:
    with pytest.raises(BadLineError) as caught:
        Assignments().record(line)
    assert caught.value.reason == reason


def test_the_set_of_wildcards_has_each_last_byte_once_in_lower_case() -> None:
    table = Assignments()
    for loc in (b"joe-", b"FOO", b"x.", b"fred-", b"foo", b""):
        table.record(b"+" + loc + b":u:1:1:/h:-::")
    table.record(b"=list_:u:1:1:/h:-::")  # no wildcard
    assert table.last_record() == (b"", b"-o.")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"=joe:joe:1:2:/h:::", b""),
        (b"+joe-:joe:1:2:/h:-::", b""),
        (b"#joe:joe:1:2:/h:::", b"counts as ="),
        (b"=joe:joe:one:2:/h:::", b"no number"),
        (b"=joe:joe:1:4294967295:/h:::", b"no number"),
        (b"=joe:joe:1:2:h:::", b"no absolute path"),
        (b"=root:root:0:0:/root:::", b"nothing is delivered as root"),
    ],
)
def test_a_line_that_will_not_deliver_is_doubted(line: bytes, word: bytes) -> None:
    said = doubt(line, Assignments().record(line)[1])
    assert word in said
    assert bool(said) == bool(word)


LOCAL = st.binary(max_size=6).map(lambda text: text.translate(None, b"\0\n:"))


@pytest.mark.hypothesis
@given(st.lists(st.tuples(st.sampled_from([b"=", b"+"]), LOCAL), max_size=8), LOCAL)
def test_what_the_lines_say_is_what_the_lookup_finds(lines: list[tuple[bytes, bytes]], local: bytes) -> None:
    """The whole address before wildcards, the longest wildcard, the first of equal lines, any letter case."""
    table, records = Assignments(), dict[bytes, bytes]()
    for number, (sign, loc) in enumerate(lines):
        key, value = table.record(b"%s%s:u:%d:1:/h:-:p:" % (sign, loc, number + 1))
        records.setdefault(key, value)
    found = None
    for wanted in assigned_keys(local, table.last_record()[1]):
        if wanted.key in records:
            found = getpw.decode(entry_fields(records[wanted.key], wanted.rest))
            break

    def rank(line: tuple[bytes, bytes]) -> int:
        sign, loc = line
        if sign == b"=":
            return 100 if loc.lower() == local.lower() else -1
        return len(loc) if local.lower().startswith(loc.lower()) else -1

    best = max(lines, key=rank, default=None)
    if best is None or rank(best) < 0:
        assert found is None
    else:
        assert found is not None
        assert found.uid == lines.index(best) + 1
        assert found.ext == b"p" + (b"" if best[0] == b"=" else local[len(best[1]) :])
