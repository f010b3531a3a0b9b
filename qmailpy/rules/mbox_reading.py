"""An mbox taken apart again: where its messages begin, and what its From_ lines and Status fields say.

Pure, and for files of any size. A message begins with a line "From " that is the first, or follows an empty one; that
empty line belongs to neither. Of a line of '>' and then "From " one '>' is taken away: rules/mbox puts it there. A line
of more than LONGEST bytes is text, whatever it begins with.
"""

from qmailpy.rules.date import mbox_date, parse_mbox_date

LONGEST = 65536  # bytes of a line that may still be a From_ line, or be held while its end is not there
_FROM = b"From "
_RETURN_PATH = b"Return-Path: <"
_NOBODY = b"MAILER-DAEMON"  # an empty sender's name in a From_ line
_UNKNOWN = b"XXX"  # who has written a message that does not say so
_ONE_WORD = bytes.maketrans(b" \t", b"--")
_FLAGS = ((b"status", b"R", b"S"), (b"x-status", b"A", b"R"), (b"x-status", b"D", b"T"), (b"x-status", b"F", b"F"))


class NotAnMbox(Exception):
    """The first line that is not empty does not begin with "From "."""


class Splitter:
    """Takes an mbox in pieces of any size."""

    __slots__ = ("_first", "_in_line", "_kept")

    def __init__(self) -> None:
        """At its first byte."""
        self._first = True
        self._in_line = False  # the front of the line that goes on has been given away
        self._kept = b""  # an empty line, which may be the one before a From_ line; and what has no LF yet

    def feed(self, piece: bytes) -> list[tuple[bool, bytes]]:
        """What is known by now: (True, a From_ line without its LF), (False, text of the message).

        Errors: NotAnMbox.
        """
        if self._first and not self._kept:
            piece = piece.lstrip(b"\n")  # somebody's idea of an empty mbox
        text = self._kept + piece
        cut = text.rfind(b"\n") + 1
        if text.endswith(b"\n\n", 0, cut) or (text[:cut] == b"\n" and not self._in_line):
            cut -= 1
        self._kept = text[cut:]
        found = self._scan(text[:cut]) if cut else []
        if len(self._kept) > LONGEST:
            self._refuse_other_files(self._kept)
            found.append((False, self._kept))
            self._kept, self._in_line = b"", True
        return found

    def end(self) -> list[tuple[bool, bytes]]:
        """The rest.  Errors: NotAnMbox."""
        text, self._kept = self._kept, b""
        if text in (b"", b"\n"):
            return []
        found = self._scan(text + b"\n")
        if found and not found[-1][0]:
            found[-1] = (False, found[-1][1][:-1])
        return found

    def _scan(self, text: bytes) -> list[tuple[bool, bytes]]:
        """text: whole lines, but that the first one may have begun before.  Looks at each line once."""
        self._refuse_other_files(text)
        found: list[tuple[bool, bytes]] = []
        at = taken = 0
        while (here := text.find(_FROM, at)) >= 0:
            start = text.rfind(b"\n", at, here) + 1 or at
            front = text[start:here]
            if start == 0 and self._in_line:
                pass
            elif not front and self._is_after_empty_line(text, start):
                found.append((False, text[taken : max(start - 1, taken)]))
                taken = text.index(b"\n", here) + 1
                found.append((True, text[here : taken - 1]))
            elif front and not front.strip(b">"):
                found.append((False, text[taken : here - 1]))
                taken = here
            at = text.index(b"\n", here) + 1
        found.append((False, text[taken:]))
        self._in_line = self._first = False
        return [one for one in found if one[0] or one[1]]

    def _is_after_empty_line(self, text: bytes, start: int) -> bool:
        if start == 0:
            return self._first
        if start == 1:
            return text[:1] == b"\n" and not self._in_line
        return text[start - 2 : start] == b"\n\n"

    def _refuse_other_files(self, text: bytes) -> None:
        if self._first and not text.startswith(_FROM):
            raise NotAnMbox


def from_line(beginning: bytes, when: int) -> bytes:
    """The From_ line of a message that a Maildir holds: its sender from a first line Return-Path.

    beginning: of the message; when: seconds since the epoch.  Source: spec/01-programs.md 5.
    """
    line = beginning.partition(b"\n")[0]
    sender = _UNKNOWN
    if line.startswith(_RETURN_PATH) and line.endswith(b">"):
        sender = line[len(_RETURN_PATH) : -1].translate(_ONE_WORD) or _NOBODY
    return _FROM + sender + b" " + mbox_date(when)


def return_path(line: bytes, header: bytes) -> bytes:
    """The line that a message needs so that its sender, which only its From_ line has, is not lost; often empty.

    line: From_; header: what is known of the message's.
    """
    sender = line[len(_FROM) :].partition(b" ")[0]
    if not sender or sender == _UNKNOWN or (b"\n" + header).lower().find(b"\nreturn-path:") >= 0:
        return b""
    return _RETURN_PATH + (b"" if sender == _NOBODY else sender) + b">\n"


def date_of(line: bytes) -> int | None:
    """When a From_ line says that its message came, in seconds since the epoch; None if nobody can tell."""
    return parse_mbox_date(line[len(_FROM) :].partition(b" ")[2])


def flags(header: bytes) -> bytes | None:
    """What a mail reader has noted in Status and X-Status, in a Maildir's letters; None: the message is new."""
    noted = {b"status": b"", b"x-status": b""}
    for line in header.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.lower() in noted:
            noted[name.lower()] = value
    letters = b"".join(sorted(letter for name, mark, letter in _FLAGS if mark in noted[name]))
    return letters if letters or b"O" in noted[b"status"] else None
