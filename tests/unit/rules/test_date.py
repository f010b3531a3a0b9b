"""qmailpy/rules/date.py against the table of the specification and against the standard library's calendar."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.date import civil, date822, date822_east, mbox_date, message_id_stamp

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FIRST, LAST = -62135596800, 253402300799  # 0001-01-01 and 9999-12-31, the ends of datetime

SAMPLES = [
    (1795228061, b"21 Nov 2026 02:27:41 -0000\n", b"Sat Nov 21 02:27:41 2026\n", b"20261121022741"),
    (0, b"1 Jan 1970 00:00:00 -0000\n", b"Thu Jan 01 00:00:00 1970\n", b"19700101000000"),
    (-1, b"31 Dec 1969 23:59:59 -0000\n", b"Wed Dec 31 23:59:59 1969\n", b"19691231235959"),
    (951782400, b"29 Feb 2000 00:00:00 -0000\n", b"Tue Feb 29 00:00:00 2000\n", b"20000229000000"),
    (4107542400, b"1 Mar 2100 00:00:00 -0000\n", b"Mon Mar 01 00:00:00 2100\n", b"21000301000000"),
    (1 << 40, b"20 Feb 36812 00:36:16 -0000\n", b"Mon Feb 20 00:36:16 36812\n", b"368120220003616"),
]


@pytest.mark.parametrize(("when", "header", "mbox", "stamp"), SAMPLES)
def test_a_second_has_three_notations(when: int, header: bytes, mbox: bytes, stamp: bytes) -> None:
    assert date822(when) == header
    assert mbox_date(when) == mbox
    assert message_id_stamp(when) == stamp


@given(st.integers(FIRST, LAST))
def test_the_calendar_is_the_standard_one(when: int) -> None:
    expected = EPOCH + dt.timedelta(seconds=when)
    weekday = (expected.weekday() + 1) % 7
    assert civil(when) == (*expected.timetuple()[:6], weekday)
    assert date822(when) == (
        b"%d %s -0000\n" % (expected.day, expected.strftime("%b ").encode() + b"%d" % expected.year)
    ).replace(b" -0000", expected.strftime(" %H:%M:%S -0000").encode())


@given(st.integers(-(1 << 80), 1 << 80))
def test_any_integer_is_a_date_and_the_calendar_repeats_after_400_years(when: int) -> None:
    year, month, day, *rest = civil(when)
    assert civil(when + 146097 * 86400) == (year + 400, month, day, *rest)
    for text in (date822(when), mbox_date(when)):
        assert text.endswith(b"\n")
        assert text.count(b"\n") == 1


@pytest.mark.parametrize(
    ("when", "east", "expected"),
    [
        (1795228061, 0, b"21 Nov 2026 02:27:41 +0000\n"),
        (1795228061, 3600, b"21 Nov 2026 03:27:41 +0100\n"),
        (1795228061, -28800, b"20 Nov 2026 18:27:41 -0800\n"),
        (1795228061, 20700, b"21 Nov 2026 08:12:41 +0545\n"),
        (0, 3208, b"1 Jan 1970 00:53:28 +0053\n"),  # a zone with seconds is rounded, the time is not
        (0, 1770, b"1 Jan 1970 00:29:30 +0030\n"),
        (0, -1770, b"31 Dec 1969 23:30:30 -0030\n"),
    ],
)
def test_a_second_in_local_time(when: int, east: int, expected: bytes) -> None:
    assert date822_east(when, east) == expected
