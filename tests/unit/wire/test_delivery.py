"""Both notations, both directions, whole and in pieces; and bytes that no spawner of ours would send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire.delivery import (
    NARROW,
    REPORT_LIMIT,
    WIDE,
    Command,
    CommandReader,
    Notation,
    Report,
    ReportReader,
    path_fault,
)

NOTATIONS = pytest.mark.parametrize("notation", [NARROW, WIDE])
no_nul = st.binary(max_size=50).map(lambda text: text.replace(b"\0", b""))
letters = st.sampled_from((b"K", b"Z", b"D"))


def pieces(stream: bytes, sizes: list[int]) -> list[bytes]:
    """The stream cut into pieces of these sizes, again and again."""
    found: list[bytes] = []
    at = 0
    while at < len(stream):
        size = sizes[len(found) % len(sizes)]
        found.append(stream[at : at + size])
        at += size
    return found


def reader_of(notation: Notation) -> ReportReader:
    reader = ReportReader(wide=notation is WIDE)
    reader.feed(notation.announce(100))
    assert (reader.announced, reader.notation) == (100, notation)
    return reader


@given(
    st.sampled_from((NARROW, WIDE)),
    st.lists(st.tuples(st.integers(0, 254), letters, no_nul)),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_reports_in_pieces_of_any_size_are_the_reports_that_were_sent(
    notation: Notation, sent: list[tuple[int, bytes, bytes]], sizes: list[int]
) -> None:
    stream = notation.announce(7) + b"".join(Report(*each).encode(notation) for each in sent)
    reader = ReportReader(wide=notation is WIDE)
    heard = [report for piece in pieces(stream, sizes) for report in reader.feed(piece)]
    assert [(report.slot, report.letter, report.text) for report in heard] == sent
    assert reader.announced == 7


@given(
    st.sampled_from((NARROW, WIDE)),
    st.lists(st.tuples(st.integers(0, 254), no_nul, no_nul, no_nul)),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_commands_in_pieces_of_any_size_are_the_commands_that_were_sent(
    notation: Notation, sent: list[tuple[int, bytes, bytes, bytes]], sizes: list[int]
) -> None:
    stream = b"".join(Command(*each).encode(notation) for each in sent)
    reader = CommandReader(notation)
    heard = [command for piece in pieces(stream, sizes) for command in reader.feed(piece)]
    assert [(each.slot, each.message, each.sender, each.recipient) for each in heard] == sent
    assert not reader.partial


@given(st.booleans(), st.lists(st.binary(max_size=200)))
def test_any_bytes_at_all_give_reports_or_nothing(wide: bool, stream: list[bytes]) -> None:
    reader = ReportReader(wide)
    for piece in stream:
        for report in reader.feed(piece):
            assert len(report.letter) <= 1
            assert len(report.text) <= REPORT_LIMIT
            assert b"\0" not in report.letter + report.text


@NOTATIONS
def test_slot_zero_is_not_an_end(notation: Notation) -> None:
    reader = reader_of(notation)
    [report] = reader.feed(Report(0, b"K", b"ok").encode(notation))
    assert (report.slot, report.letter, report.text) == (0, b"K", b"ok")


@NOTATIONS
def test_an_empty_report_has_no_letter(notation: Notation) -> None:
    reader = reader_of(notation)
    [report] = reader.feed(notation.slot(3) + b"\0")
    assert (report.slot, report.letter, report.text) == (3, b"", b"")


@NOTATIONS
def test_a_long_report_is_cut(notation: Notation) -> None:
    reader = reader_of(notation)
    [report] = reader.feed(Report(1, b"D", b"x" * 50000).encode(notation))
    assert len(report.text) == REPORT_LIMIT


@NOTATIONS
def test_an_endless_report_takes_no_endless_memory(notation: Notation) -> None:
    reader = reader_of(notation)
    assert reader.feed(notation.slot(1) + b"D") == []
    for _ in range(1000):
        assert reader.feed(b"x" * 10000) == []
    assert len(reader._rest) <= 5 * REPORT_LIMIT
    [report, following] = reader.feed(b"\0" + Report(2, b"K", b"ok").encode(notation))
    assert (report.slot, report.letter, len(report.text)) == (1, b"D", REPORT_LIMIT)
    assert (following.slot, following.letter, following.text) == (2, b"K", b"ok")


def test_a_spawner_that_does_not_know_the_wide_notation_is_understood() -> None:
    reader = ReportReader(wide=True)
    reader.feed(b"\x78")
    assert (reader.announced, reader.notation) == (120, NARROW)


def test_the_wide_announcement_is_understood_byte_by_byte() -> None:
    reader = ReportReader(wide=True)
    for byte in WIDE.announce(1000):
        reader.feed(bytes((byte,)))
    assert (reader.announced, reader.notation) == (1000, WIDE)


def test_an_absurd_announcement_is_bounded() -> None:
    reader = ReportReader(wide=True)
    reader.feed(b"\0\xff\xff\xff\xff")
    assert reader.announced == WIDE.limit


def test_without_wide_a_zero_announces_no_slot() -> None:
    reader = ReportReader(wide=False)
    reader.feed(b"\0")
    assert (reader.announced, reader.notation) == (0, NARROW)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (b"", b"short"),
        (b"a/1", b"nonnumerics"),
        (b"/1", b"nonnumerics"),
        (b"../1", b"nonnumerics"),
        (b"1" * 101, b"long"),
    ],
)
def test_a_bad_path_is_named(path: bytes, word: bytes) -> None:
    assert word in path_fault(path)


def test_a_good_path_has_no_fault() -> None:
    assert path_fault(b"9/2254860") == b""
