"""qmail-remote's report, written and read: the sentences are an interface."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmailpy.rules import report
from qmailpy.rules.report import reduce

A = b"127.0.0.9"


@pytest.mark.parametrize(
    ("output", "letter", "text"),
    [
        (b"r\0KA accepted message.\n\0", b"K", b"A accepted message.\n"),
        (b"Kok\0", b"K", b"ok"),
        (
            b"h127.0.0.9 does not like recipient.\nRemote host said: 550-no\n550 bye\n\0DGiving up on 127.0.0.9.\n\0",
            b"D",
            b"127.0.0.9 does not like recipient.\nRemote host said: 550-no\n550 bye\nGiving up on 127.0.0.9.\n",
        ),
        (b"sbusy\0DGiving up\0", b"Z", b"busyGiving up"),
        (b"r\0Zlater\0", b"Z", b"later"),
        (b"r\0Dnever\0", b"D", b"never"),
        (b"ZConnected to A but greeting failed.\n\0", b"Z", b"Connected to A but greeting failed.\n"),
        (b"hno\0Kyes\0", b"D", b"no"),  # better than what the recipient was told: not said
        (b"sno\0Kyes\0", b"Z", b"no"),
        (b"hno\0Zlater\0", b"D", b"no"),
        (b"r\0", b"D", b""),
        (b"Kok", b"D", b""),  # no NUL: not an item
        (b"hno\0", b"D", b"no"),
        (b"sno\0", b"Z", b"no"),
        (b"r\0x\0Kok\0", b"K", b""),
        (b"\0Kok\0", b"K", b"Kok"),
        (b"garbage\0", b"D", b"arbage"),
    ],
)
def test_items_become_one_verdict(output: bytes, letter: bytes, text: bytes) -> None:
    assert reduce(output, 0, 0) == (letter, text)


@pytest.mark.parametrize("code", [111, 1, 2, 120, 126, 127, 130])
def test_a_program_that_never_ran_is_a_reason_to_wait(code: int) -> None:
    assert reduce(b"Kok\0", code, 0) == (b"Z", b"Unable to run qmail-remote.\n")


@pytest.mark.parametrize("code", [100, 99, 3, 64])
def test_any_other_exit_code_is_for_good(code: int) -> None:
    assert reduce(b"Kok\0", code, 0) == (b"D", b"Unable to run qmail-remote.\n")


@pytest.mark.parametrize(("code", "signal"), [(0, 9), (0, 11), (137, 0), (139, 0)])
def test_a_crash_is_a_reason_to_wait(code: int, signal: int) -> None:
    assert reduce(b"Kok\0", code, signal) == (b"Z", b"qmail-remote crashed.\n")


def test_silence_is_a_reason_to_wait() -> None:
    assert reduce(b"", 0, 0) == (b"Z", b"qmail-remote produced no output.\n")


def in_c(output: bytes) -> tuple[bytes, bytes]:
    """spec/03 7, followed word by word."""
    result, start = -1, 0
    for at, byte in enumerate(output):
        if byte:
            continue
        first = output[start : start + 1]
        if first in (b"K", b"Z", b"D"):
            result = {b"K": 1, b"Z": 0, b"D": -1}[first]
            break
        start = at + 1
    better = {b"s": 0, b"h": -1}.get(output[:1], result)
    text = b""
    end = output.find(b"\0", 1)
    if end >= 0:
        text = output[1:end]
        if result <= better and output[end + 1 : end + 2] in (b"K", b"Z", b"D"):
            text += output[end + 2 :].split(b"\0")[0]
    return {1: b"K", 0: b"Z", -1: b"D"}[better], text


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from([b"r", b"h", b"s", b"K", b"Z", b"D", b"\0", b"\0", b"x"]), min_size=1).map(b"".join))
def test_any_output_is_read_as_by_the_book(output: bytes) -> None:
    letter, text = reduce(output, 0, 0)
    assert (letter, text) == in_c(output)
    assert b"\0" not in text


def test_host_names_in_sentences_are_printable() -> None:
    assert report.no_such_host(b"a b\n\xff%s") == b"DSorry, I couldn't find any host named a?b??%s. (#5.1.2)\n\0"
