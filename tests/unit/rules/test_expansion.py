"""From a name to its ends: each name followed once, every walk ends, in a time that grows as the aliases do."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.aliases import Entry, Parsed, parse, parse_list
from qmailpy.rules.expansion import AGAIN, FOLLOWED, HERE, INCLUDE_DEPTH, INCLUDED, OWNED, Ends, Expansion, Ground
from qmailpy.verdict import PERM, TEMP, Die

HOST = b"example.org"


class Walk:
    """An expansion over a text of aliases and included lists, with what it told."""

    def __init__(self, text: bytes, lists: dict[bytes, bytes] | None = None, *, has_mailbox: bool = False) -> None:
        self.parsed: Parsed = parse(text, b"aliases")
        self.lists = lists or {}
        self.has_mailbox = has_mailbox
        self.told: list[tuple[int, bytes, bytes]] = []
        self.looked: list[bytes] = []

    def find(self, box: bytes, domain: bytes) -> Entry | None:
        self.looked.append(box)
        return self.parsed.entries.get(box.lower()) if domain.lower() == HOST else None

    def of(self, name: bytes) -> Ends:
        own = frozenset([name.lower(), name.lower() + b"@" + HOST])
        ground = Ground(
            self.find,
            self.lists.__getitem__,
            own,
            frozenset([HOST]),
            HOST,
            lambda *step: self.told.append(step),
            has_mailbox=self.has_mailbox,
        )
        return Expansion(ground).of_entry(self.parsed.entries[name])

    def words(self) -> list[bytes]:
        return [word for _, word, _ in self.told]


def told(ends: Ends) -> list[bytes]:
    return [*(value.kind + b" " + value.argument for value in ends.deliveries), *ends.recipients]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # ends of every kind, in the file's order, programs and files apart
        (b"a: x@far.example, |id, /m, /d/, y", [b"program id", b"mbox /m", b"maildir /d/", b"x@far.example", b"y"]),
        # a name of ours is followed, with or without our domain, in any letter case; another domain's is not
        (b"a: B, c@EXAMPLE.org, b@far.example\nb: x\nc: y", [b"x", b"y", b"b@far.example"]),
        # a backslash is a mailbox, whatever the aliases say
        (b"a: \\b\nb: x", [b"b"]),
        # who is reached twice gets it once, and a program runs once
        (b"a: b, c\nb: x, |id\nc: x, |id", [b"program id", b"x"]),
        # a circle with a way out is none
        (b"a: b, x\nb: a", [b"x"]),
        (b"a: b\nb: c\nc: a, x", [b"x"]),
        # a name for itself is the mailbox of that name
        (b"a: b\nb: b, x", [b"b", b"x"]),
    ],
)
def test_where_an_alias_leads(text: bytes, expected: list[bytes]) -> None:
    assert told(Walk(text).of(b"a")) == expected


@pytest.mark.parametrize(
    ("text", "verdict", "words"),
    [
        (b"a: b\nb: a", TEMP, b"leads to nobody but itself"),
        (b"a: b, x\nb: c\nc: b", TEMP, b"leads to nobody but itself"),
        (b"a: error:550 gone", PERM, b"gone (#5.7.1)"),
        (b"a: error:450 soon", TEMP, b"soon (#4.7.1)"),
        (b"a: error:gone away", PERM, b"gone away (#5.7.1)"),
        (b"a: error:450", TEMP, b"This address is refused. (#4.7.1)"),
        (b"a: b\nb: x y", TEMP, b"Unable to use aliases line 2"),
    ],
)
def test_what_stops_it(text: bytes, verdict: object, words: bytes) -> None:
    with pytest.raises(Die) as caught:
        Walk(text).of(b"a")
    assert (caught.value.verdict, words in caught.value.text) == (verdict, True), caught.value.text


def test_a_name_for_the_mailbox_of_this_delivery() -> None:
    walk = Walk(b"joe: joe, ann\nann: JOE@example.org", has_mailbox=True)
    ends = walk.of(b"joe")
    assert (ends.is_here, told(ends)) == (True, [])
    assert walk.words() == [FOLLOWED, HERE, FOLLOWED, HERE]


def test_a_list_is_read_once_and_holds_addresses_only() -> None:
    lists = {b"/l": b"x\n:include:/l, :include:/m\n", b"/m": b"y, b\n"}
    walk = Walk(b"a: :include:/l, :include:/m\nb: z", lists)
    assert told(walk.of(b"a")) == [b"x", b"y", b"z"]
    assert walk.words().count(INCLUDED) == 2
    assert walk.words().count(AGAIN) == 2
    for line in (b"|id", b"/file", b"/d/", b"error:550 x", b"/dev/null"):
        with pytest.raises(Die, match="addresses only") as caught:
            Walk(b"a: :include:/l", {b"/l": line}).of(b"a")
        assert caught.value.verdict == TEMP


def test_lists_within_lists_end_somewhere() -> None:
    lists = {b"/%d" % depth: b":include:/%d\n" % (depth + 1) for depth in range(INCLUDE_DEPTH + 1)}
    with pytest.raises(Die, match="Too many lists"):
        Walk(b"a: :include:/0", lists).of(b"a")
    lists[b"/%d" % (INCLUDE_DEPTH - 1)] = b"x\n"
    assert told(Walk(b"a: :include:/0", lists).of(b"a")) == [b"x"]


def test_an_owner_gets_the_bounces_and_an_inner_list_a_message_of_its_own() -> None:
    walk = Walk(b"a: x, b\nowner-a: joe\nb: y\nowner-b: ann")
    ends = walk.of(b"a")
    assert (ends.owner, told(ends)) == (b"owner-a", [b"x", b"b@example.org"])
    assert OWNED in walk.words()


def test_a_chain_of_any_length_needs_no_depth_of_ours() -> None:
    """Nothing recurses: the interpreter's own limit is far below this."""
    count = 50_000
    text = b"".join(b"n%d: n%d\n" % (at, at + 1) for at in range(count))
    assert told(Walk(text).of(b"n0")) == [b"n%d" % count]


def test_the_time_grows_as_the_aliases_do() -> None:
    """Each of n names leads to all that come after the next: two to the n ways, n names."""

    def seconds(count: int) -> float:
        text = b"".join(b"n%d: n%d, n%d, x%d\n" % (at, at + 1, at + 2, at) for at in range(count))
        walk = Walk(text)
        begun = time.process_time()
        walk.of(b"n0")
        assert len(walk.told) <= 4 * count + 4
        return time.process_time() - begun

    seconds(2000)
    assert min(seconds(20_000) for _ in range(3)) < 12 * max(min(seconds(5_000) for _ in range(3)), 0.02)


NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"owner-a", b"owner-b"])
VALUES = st.one_of(
    NAMES,
    st.sampled_from([b"x@far.example", b"\\a", b'"|id"', b"/m", b"/dev/null", b":include:/l", b"error:550 x"]),
    NAMES.map(lambda name: name + b"@Example.ORG"),
)
LINES = st.lists(st.tuples(NAMES, st.lists(VALUES, min_size=1, max_size=5)), min_size=1, max_size=12)


@pytest.mark.hypothesis
@given(LINES, st.lists(VALUES, max_size=5), st.booleans())
def test_every_walk_ends_and_follows_each_name_once(
    lines: list[tuple[bytes, list[bytes]]], members: list[bytes], has_mailbox: bool
) -> None:
    text = b"".join(name + b": " + b", ".join(values) + b"\n" for name, values in lines)
    walk = Walk(text, {b"/l": b"\n".join(members)}, has_mailbox=has_mailbox)
    try:
        ends = walk.of(lines[0][0])
    except Die:
        ends = None
    followed = [text.partition(b" ")[0] for _, word, text in walk.told if word == FOLLOWED]
    assert len(followed) == len(set(followed))
    assert len(walk.told) <= 2 * sum(len(values) for _, values in lines) + len(members) * 2 + 2
    if ends is not None:
        assert len(set(ends.recipients)) == len(ends.recipients)
        assert ends.deliveries or ends.recipients or ends.is_here or ends.is_nothing, "nobody's mail is lost"


def test_a_forward_file_looks_no_name_up() -> None:
    lists: dict[bytes, bytes] = {}
    ground = Ground(
        lambda _box, _domain: None, lists.__getitem__, frozenset([b"joe"]), frozenset(), b"", has_mailbox=True
    )
    ends = Expansion(ground).of_list(parse_list(b"\\joe, ann, ann\nx@far.example\n|vacation\n"))
    assert (ends.is_here, told(ends)) == (True, [b"program vacation", b"ann", b"x@far.example"])
