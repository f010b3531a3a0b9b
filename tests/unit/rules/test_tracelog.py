"""rules/tracelog: where the text of a line begins, and when it was written, in the forms of all loggers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import tracelog

NOW = 1795284800  # 2026-11-21 18:13:20 UTC
AT = 1795284747  # 18:12:27
TAI = b"@%016x075bcd15" % (AT + (1 << 62) + 10)
NANO = tracelog.NANO


@pytest.mark.parametrize(
    ("raw", "when"),
    [
        (b"new msg 7", None),
        (TAI + b" new msg 7", AT * NANO + 123456789),
        (b"@ffffffffffffffff075bcd15 new msg 7", None),  # no clock says so, and no kernel knows its local time
        (b"@0000000000000000075bcd15 new msg 7", None),
        (b"2026-11-21 19:12:27.123456789 new msg 7", AT * NANO + 123456789),  # tai64nlocal, an hour east
        (b"2026-11-21 19:12:27.123456789  new msg 7", AT * NANO + 123456789),  # s6-log T
        (b"2026-11-21_18:12:27.12345 new msg 7", AT * NANO + 123450000),  # svlogd -tt
        (b"2026-11-21T18:12:27.12345 new msg 7", AT * NANO + 123450000),
        (b"1795284747.123456 new msg 7", AT * NANO + 123456000),
        (b"Nov 21 19:12:27 mx qmail: 1795284747.123456 new msg 7", AT * NANO + 123456000),
        (b"Nov 21 19:12:27 mx qmail[12]: new msg 7", AT * NANO),
        (b"Dec 24 19:12:27 mx qmail: new msg 7", (AT + (33 - 365) * 86400) * NANO),  # it is no future one
        (b"2026-11-21T19:12:27.123456+01:00 mx qmail: 1795284747.123456 new msg 7", AT * NANO + 123456000),
        (b"2026-11-21T19:12:27.5+01:00 mx qmail[12]: new msg 7", AT * NANO + 500000000),
        (b"2026-11-21T19:12:27+0100 mx qmail[12]: new msg 7", AT * NANO),
    ],
)
def test_the_forms_of_loggers(raw: bytes, when: int | None) -> None:
    prefix, text, continues = tracelog.split(raw)
    assert (text, continues) == (b"new msg 7", False)
    assert tracelog.moment(prefix, NOW, 3600) == when


@pytest.mark.parametrize(
    "text",
    [
        b"delivery 5: success: did_1+0+0/",
        b"info msg 7: bytes 1 from <a: b@c> qp 5 uid 0",
        b"trace: msg=1.2 by=x event=y",
    ],
)
@pytest.mark.parametrize(
    "prefix", [b"", TAI + b" ", b"2026-11-21 19:12:27.123456789 ", b"Nov 21 19:12:27 mx qmail: ", b"1795284747.123456 "]
)
def test_colons_in_a_text_are_no_tag(prefix: bytes, text: bytes) -> None:
    assert tracelog.split(prefix + text)[1] == text


def test_a_folded_line_of_splogger_is_known_by_its_stamp() -> None:
    first = tracelog.split(b"Nov 21 18:12:27 mx qmail: 1795284747.123456 trace: long")
    second = tracelog.split(b"Nov 21 18:12:27 mx qmail: 1795284747.123456+er than that")
    assert second[1:] == (b"er than that", True)
    assert first[0] == second[0]


@given(st.binary(max_size=200))
def test_no_line_is_more_than_the_reader_can_take(raw: bytes) -> None:
    prefix, text, _ = tracelog.split(raw)
    assert raw.endswith(text)
    when = tracelog.moment(prefix, NOW, -3600)
    assert when is None or isinstance(when, int)


@given(
    st.from_regex(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T_ ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{0,12})?(Z|[+-][0-9:]{2,6})?")
)
def test_no_date_is_more_than_the_reader_can_take(date: bytes) -> None:
    tracelog.moment(date.rstrip(b"\n"), NOW, 0)
