"""What a plugin of qmail-spp says on its standard output: a letter and a text, a line each (spec/10-neighbours.md c12).

The program is the administrator's, but it often repeats what a client sent: no byte of it becomes a line of its own.
Used by receive/policy.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 65536  # bytes that a plugin may say
LONGEST_REPLY = 500  # bytes of one line to the client (RFC 5321 4.5.3.1.5)
NO_MORE_PLUGINS, NEXT_MOMENT, ACCEPT = b"A", b"N", b"O"
ERROR, CLOSE, DROP, PRINT, LATER = b"E", b"R", b"D", b"P", b"L"
SET, UNSET, HEADER, REPLACE = b"S", b"U", b"H", b"C"
_SAFE = bytes(ord("?") if byte < 32 or byte == 127 else byte for byte in range(256))


def orders(output: bytes) -> "Iterator[tuple[bytes, bytes]]":
    """(letter, text) of each line, without CR at its end; empty lines are nothing."""
    for line in output.split(b"\n"):
        order = line.removesuffix(b"\r")
        if order:
            yield order[:1], order[1:]


def reply(text: bytes) -> bytes:
    """A text for the client, as a plugin wrote it, without its line end.

    It brings its code itself; one that does not, where there must be one, is a refusal for good.
    """
    words = text.translate(_SAFE).strip()[:LONGEST_REPLY]
    has_code = words[:3].isdigit() and words[3:4] in (b"", b" ") and words[:1] in b"2345"
    return words if has_code else b"550 " + (words or b"sorry, refused (#5.7.1)")


def header(text: bytes) -> bytes:
    """A line for the message's header, without its line end: one line, whatever of a client's is in it."""
    return text.replace(b"\t", b" ").translate(_SAFE).strip()


def printed(text: bytes) -> bytes:
    """A line for the client that is no answer."""
    return text.translate(_SAFE)[:LONGEST_REPLY] + b"\r\n"
