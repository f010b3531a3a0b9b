"""qmail-lspawn's report of a delivery that has ended: the table of spec/03 5, and what a bug looks like."""

import pytest

from qmailpy.rules.local_report import OUTPUT_LIMIT, local_report, shorten


@pytest.mark.parametrize(
    ("code", "signal", "output", "expected"),
    [
        (0, 0, b"did_1+0+0/\n", b"Kdid_1+0+0/\n"),
        (0, 0, b"seen\0unseen", b"Kseen"),
        (100, 0, b"no\n", b"Dno\n"),
        (64, 0, b"no\n", b"Dno\n"),
        (99, 0, b"no\n", b"Dno\n"),
        (111, 0, b"later\n", b"Zlater\n"),
        (71, 0, b"", b"Z"),
        (74, 0, b"", b"Z"),
        (75, 0, b"", b"Z"),
        (0, 9, b"partly", b"Zqmail-local crashed.\n"),
        (112, 0, b"x", b"ZInternal qmail-lspawn bug.\n"),
        (113, 0, b"x", b"ZNot allowed to perform deliveries as root.\n"),
        (115, 0, b"x", b"ZNFS failure in qmail-local.\n"),
        (116, 0, b"x", b"ZUnable to find alias user!\n"),
        (117, 0, b"x", b"ZTrouble reading users/cdb in qmail-lspawn.\n"),
        (118, 0, b"x", b"ZTemporary failure in qmail-lspawn.\n"),
        (119, 0, b"x", b"ZOut of memory in qmail-lspawn.\n"),
        (120, 0, b"x", b"ZUnable to run qmail-local.\n"),
        (121, 0, b"x", b"ZUnable to run qmail-getpw.\n"),
    ],
)
def test_a_report_is_what_the_table_says(code: int, signal: int, output: bytes, expected: bytes) -> None:
    assert b"".join(local_report(output, code, signal)) == expected


@pytest.mark.parametrize("code", [1, 2, 120, 126, 127, 130, 137, 139, 255])
def test_the_exit_codes_of_a_bug_never_bounce_mail(code: int) -> None:
    assert local_report(b"", code, 0)[0] == b"Z"


def test_a_long_report_is_cut_and_says_so() -> None:
    text = shorten(b"x" * (OUTPUT_LIMIT + 1))
    assert text == b"x" * 2966 + b"\nError report too long, sorry.\n"


def test_a_report_that_goes_on_stays_short() -> None:
    text = b""
    for _ in range(1000):
        text = shorten(text + b"y" * 100)
        assert len(text) <= OUTPUT_LIMIT
