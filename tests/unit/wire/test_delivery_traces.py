"""wire/delivery: a story is asked for and told only where both ends were told so."""

import pytest

from qmailpy.wire.delivery import NARROW, TRACE, WIDE, Command, CommandReader, Notation, Report, ReportReader


@pytest.mark.parametrize("notation", [NARROW, WIDE])
def test_a_command_that_asks_for_a_story_is_read_as_that(notation: Notation) -> None:
    reader = CommandReader(notation, traces=True)
    for traced in (True, False):
        (command,) = reader.feed(Command(3, b"9/457", b"s@x", b"r@y", traced=traced).encode(notation))
        assert (command.message, command.traced) == (b"9/457", traced)


def test_who_was_not_told_takes_the_mark_for_a_part_of_the_path() -> None:
    (command,) = CommandReader(WIDE).feed(Command(3, b"9/457", b"s@x", b"r@y", traced=True).encode(WIDE))
    assert (command.message, command.traced) == (b"t9/457", False)


def test_without_a_story_the_bytes_are_those_of_qmail() -> None:
    assert Command(3, b"9/457", b"s@x", b"r@y").encode(NARROW) == b"\x039/457\0s@x\0r@y\0"


def test_a_story_comes_before_the_last_report_of_its_slot() -> None:
    reader = ReportReader(wide=True)
    told = Report(3, TRACE, b"event=x").encode(WIDE) + Report(3, b"K", b"ok").encode(WIDE)
    found = reader.feed(WIDE.announce(10) + told)
    assert [(each.slot, each.letter, each.text) for each in found] == [(3, TRACE, b"event=x"), (3, b"K", b"ok")]
