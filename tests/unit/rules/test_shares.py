import pytest

from qmailpy.rules.shares import Shares

LINES = [b"slow.example:5", b".slow.example:2", b"Big.Example:50", b"off.example:0", b"*:20"]


@pytest.mark.parametrize(
    ("domain", "limit"),
    [
        (b"slow.example", 5),
        (b"mx.slow.example", 2),
        (b"a.b.slow.example", 2),
        (b"notslow.example", 20),
        (b"big.example", 50),
        (b"off.example", 0),
        (b"else.where", 20),
        (b"", 20),
        (b"[192.0.2.1]", 20),
    ],
)
def test_the_nearest_line_decides(domain: bytes, limit: int) -> None:
    assert Shares(LINES).limit(domain) == limit


def test_without_a_line_for_all_others_there_is_no_rule_for_them() -> None:
    assert Shares(LINES[:1]).limit(b"else.where") is None
    assert Shares([b":7"]).limit(b"else.where") == 7
    assert not Shares()
    assert Shares([b"*:7"])


@pytest.mark.parametrize(
    ("domain", "is_held"),
    [
        (b"dead.example", True),
        (b"mx.dead.example", False),
        (b"a.gone", True),
        (b"b.gone", False),
        (b"x.example", False),
    ],
)
def test_held_domains_are_patterns(domain: bytes, is_held: bool) -> None:
    shares = Shares(LINES, [b"Dead.Example", b"*.gone", b"!b.gone"])
    assert (shares.limit(domain) == 0) == is_held


def test_a_line_that_makes_no_sense_is_left_out_and_told_of() -> None:
    shares = Shares([b"a:5", b"b", b"c:x", b"d:-1", b"e:9999999999"])
    assert [shares.limit(domain) for domain in (b"a", b"b", b"c", b"d", b"e")] == [5, None, None, None, None]
    assert len(shares.doubts) == 1
