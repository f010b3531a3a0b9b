"""An explanation ends, however far the addresses lead; and what a child that became a user says is only bytes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.disk.home import Home
from qmailpy.skeletons import explanation
from qmailpy.skeletons.explained_home import FOLLOW, UNKNOWN
from qmailpy.skeletons.explanation import DEEPEST, Explanation, Step
from tests.support import bare_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    if os.getuid() == 0:
        pytest.skip("root looks as somebody else, who may not reach this home; tests/dialogs/test_explain has him")
    return Home(bare_home(f"{tmp_path}/home").encode())


def chain(home: Home, count: int) -> list[Step]:
    for number in range(count):
        Path(os.fsdecode(home.at(b"alias", b".qmail-n%d" % number))).write_text(f"n{number + 1}\n")
    return Explanation(home, b"./Maildir/", b"s@x.example").of(b"n0")


def test_forwards_are_followed_to_a_depth(home: Home) -> None:
    steps = chain(home, DEEPEST + 5)
    assert [step.kind for step in steps].count(FOLLOW) == DEEPEST
    assert (steps[-1].kind, steps[-1].text) == (UNKNOWN, b"too far to follow")


def test_so_many_addresses_and_no_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "MOST", 3)
    assert (UNKNOWN, b"too far to follow") in {(step.kind, step.text) for step in chain(home, 6)}


def test_so_many_steps_and_no_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "MOST_STEPS", 10)
    steps = chain(home, 6)
    assert len(steps) == 11
    assert (steps[-1].kind, steps[-1].text) == (UNKNOWN, b"there is more than can be shown")


@pytest.mark.hypothesis
@given(st.binary(max_size=200))
def test_what_a_child_says_is_looked_at(content: bytes) -> None:
    for step in explanation._decode(content):
        assert 0 <= step.depth < 10_000
        assert 0 <= step.line < 10**9
        assert all(isinstance(fact, bytes) for pair in step.facts.items() for fact in pair)
    explanation._user(content)


@pytest.mark.hypothesis
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9999),
            st.binary(max_size=5),
            st.binary(max_size=20),
            st.integers(0, 10**9 - 1),
            st.dictionaries(st.sampled_from([b"ip", b"try"]), st.binary(max_size=5)),
        ),
        max_size=5,
    )
)
def test_steps_come_through_as_they_are(said: list[tuple[int, bytes, bytes, int, dict[bytes, bytes]]]) -> None:
    steps = [Step(depth, kind.replace(b"\0", b""), text, line, facts) for depth, kind, text, line, facts in said]
    heard = explanation._decode(explanation._encode(steps))
    assert [(step.depth, step.kind, step.text, step.line, step.facts) for step in heard] == [
        (
            step.depth,
            step.kind,
            step.text.replace(b"\0", b""),
            step.line,
            {key: fact.replace(b"\0", b"").replace(b"\n", b"") for key, fact in step.facts.items()},
        )
        for step in steps
    ]
