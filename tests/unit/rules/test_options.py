"""qmailpy/rules/options.py: getopt as qmail has it."""

import pytest

from qmailpy.rules.options import UsageError, parse

LINES = [
    (b"", [], []),
    (b"x -a", [], [b"x", b"-a"]),
    (b"-ab x", [(b"a", b""), (b"b", b"")], [b"x"]),
    (b"-fjoe x", [(b"f", b"joe")], [b"x"]),
    (b"-f joe x", [(b"f", b"joe")], [b"x"]),
    (b"-af joe", [(b"a", b""), (b"f", b"joe")], []),
    (b"-f -a -a", [(b"f", b"-a"), (b"a", b"")], []),
    (b"-q -a", [(b"q", b""), (b"a", b"")], []),
    (b"-q30m -a", [(b"q", b"30m"), (b"a", b"")], []),
    (b"-a -- -b", [(b"a", b"")], [b"-b"]),
    (b"-a - -b", [(b"a", b"")], [b"-", b"-b"]),
]


@pytest.mark.parametrize(("line", "options", "rest"), LINES)
def test_a_command_line_is_options_and_words(
    line: bytes, options: list[tuple[bytes, bytes]], rest: list[bytes]
) -> None:
    assert parse(line.split(), b"abf:q;") == (options, rest)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"-c", b"illegal option -- c"),
        (b"-ac", b"illegal option -- c"),
        (b"-:", b"illegal option -- :"),
        (b"-;", b"illegal option -- ;"),
        (b"-\xff", b"illegal option -- \xff"),
        (b"-f", b"option requires an argument -- f"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(line: bytes, text: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split(), b"abf:q;")
    assert caught.value.text == text


def test_an_empty_argument_is_an_argument() -> None:
    assert parse([b"-f", b"", b"x"], b"f:") == ([(b"f", b"")], [b"x"])
