"""Control files: the one reader of control/* and users/{include,exclude,mailnames,...}.

Grammar (spec/00-common.md 3): a line file is its first line without trailing blanks; a list drops
empty lines and those that begin with '#'; a map splits at the first colon, keys in any letter case,
the last of equal keys wins. A missing file is not an error; one that cannot be read is: Die TEMP.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, words

LIMIT = 64 << 20  # bytes; a list of a million domains has 20 MB
_BLANKS = b" \t\n"
_DIGITS = b"0123456789"
_LARGEST = 1 << 62  # a longer number is cut here: more than any count or time we have


def read(path: bytes) -> bytes | None:
    """A whole file; None where there is none.  Errors: Die TEMP, with the path and the reason."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Die(TEMP, b"unable to open " + path + b": " + words(error)) from None
    try:
        content = descriptors.read_all(descriptor, LIMIT)
    except OSError as error:
        raise Die(TEMP, b"unable to read " + path + b": " + words(error)) from None
    finally:
        posix.close(descriptor)
    if len(content) > LIMIT:
        raise Die(TEMP, b"unable to read " + path + b": larger than 64 MB")
    return content


def first_line(text: bytes) -> bytes:
    """The first line of a control file's text, as qmail reads it."""
    return text.partition(b"\n")[0].rstrip(_BLANKS)


def entries(text: bytes) -> list[bytes]:
    """The list in a control file's text."""
    lines = (line.rstrip(_BLANKS) for line in text.split(b"\n"))
    return [line for line in lines if line and not line.startswith(b"#")]


def number(text: bytes) -> int | None:
    """Leading decimal digits of a control file's text; None if there are none."""
    line = first_line(text)
    length = len(line) - len(line.lstrip(_DIGITS))
    return min(int(line[: min(length, 19)]), _LARGEST) if length else None


def line(home: Home, name: str) -> bytes | None:
    """control/NAME as one line; None where there is no such file."""
    text = read(home.control(name.encode()))
    return None if text is None else first_line(text)


def line_or_me(home: Home, name: str, last: bytes | None = None) -> bytes | None:
    """control/NAME, else control/me, else last."""
    own = line(home, name)
    if own is None:
        own = line(home, "me")
    return last if own is None else own


def integer(home: Home, name: str, default: int) -> int:
    """control/NAME as a number >= 0; default where it is absent or does not begin with a digit."""
    text = read(home.control(name.encode()))
    value = None if text is None else number(text)
    return default if value is None else value


def listing(home: Home, name: str) -> list[bytes] | None:
    """control/NAME as a list; None where there is no such file (an empty list is present)."""
    text = read(home.control(name.encode()))
    return None if text is None else entries(text)


def mapping(lines: list[bytes]) -> dict[bytes, bytes]:
    """A list of 'key:value' lines as a map: keys lower-cased, lines without a colon ignored."""
    result = {}
    for entry in lines:
        key, colon, value = entry.partition(b":")
        if colon:
            result[key.lower()] = value
    return result


def colon_map(home: Home, name: str) -> dict[bytes, bytes] | None:
    """control/NAME as a map; None where there is no such file."""
    lines = listing(home, name)
    return None if lines is None else mapping(lines)
