"""From an mbox into a Maildir: each message arrives once, however often this is killed and begun again.

In this order: what an earlier run had ready goes out; the mbox is locked; its messages, less what an earlier run has
taken already, become a batch on disk; the mbox is emptied; the batch goes out. The states are those of disk/batches.
A batch that was taken is compared with the beginning of the mbox: if that is still there, the mbox was not emptied.
"""

import posix
from hashlib import sha256

from qmailpy.disk import maildir
from qmailpy.disk.batches import Batches, Note
from qmailpy.disk.mbox_held import Held, hold
from qmailpy.rules import mbox_reading
from qmailpy.system import clock, descriptors
from qmailpy.verdict import TEMP, Die, words

_HEADER = 65536  # bytes of a message in which its header is looked at


class _Letter:
    """One message being written."""

    __slots__ = ("_batches", "_descriptor", "_final", "_held", "_line", "_name")

    def __init__(self, batches: Batches, line: bytes, count: int) -> None:
        """line: From_; count: of messages that this run wrote before."""
        self._batches, self._line = batches, line
        self._name = self._final = maildir.fresh_name(count)
        self._held: bytearray | None = bytearray()  # its beginning, while the header is not known
        self._descriptor = batches.create(self._name)

    def write(self, text: bytes) -> None:
        """More of it.  Errors: Die TEMP."""
        if self._held is None:
            self._put(text)
            return
        self._held += text
        if len(self._held) >= _HEADER or self._held.startswith(b"\n") or b"\n\n" in self._held:
            self._begin(bytes(self._held))

    def _begin(self, held: bytes) -> None:
        """The header is known: write what was held, and choose the name in the Maildir."""
        self._held = None
        header = b"" if held.startswith(b"\n") else held.partition(b"\n\n")[0]
        flags = mbox_reading.flags(header)
        if flags is not None:
            self._final = self._name + b":2," + flags
        self._put(mbox_reading.return_path(self._line, header) + held)

    def _put(self, text: bytes) -> None:
        try:
            descriptors.write_all(self._descriptor, text)
        except OSError as error:
            raise Die(TEMP, b"unable to write a message: " + words(error)) from None

    def finish(self) -> None:
        """All of it has come.  Errors: Die TEMP."""
        if self._held is not None:
            self._begin(bytes(self._held))
        now = clock.now()
        when = mbox_reading.date_of(self._line)
        self._batches.finish(self._descriptor, self._name, self._final, now if when is None else min(max(when, 0), now))
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            descriptors.close(self._descriptor)
            self._descriptor = -1


def _split(held: Held, start: int, batches: Batches) -> tuple[int, int, bytes]:
    """Write the messages of the mbox from start on into the draft.

    Result: how many, the mbox's size, the digest of all of it.  Errors: Die TEMP.
    """
    splitter, digest = mbox_reading.Splitter(), sha256()
    letter: _Letter | None = None
    at = count = 0

    def take(found: list[tuple[bool, bytes]]) -> None:
        nonlocal letter, count
        for is_beginning, text in found:
            if is_beginning:
                if letter is not None:
                    letter.finish()
                letter = _Letter(batches, text, count)
                count += 1
            elif letter is not None:
                letter.write(text)

    try:
        for piece in held.pieces():
            digest.update(piece)
            new = piece[max(start - at, 0) :]
            at += len(piece)
            if new:
                take(splitter.feed(new))
        if at > start:
            take(splitter.end())
        if letter is not None:
            letter.finish()
    except mbox_reading.NotAnMbox:
        raise Die(TEMP, held.path + b" is no mbox: a message in it does not begin with From") from None
    finally:
        if letter is not None:
            letter.close()
    return count, at, digest.hexdigest().encode()


def _still_there(held: Held, notes: list[Note]) -> int:
    """How much of the mbox's beginning an earlier run has taken."""
    found = 0
    for note in notes:
        digest, left = sha256(), note.size
        for piece in held.pieces():
            digest.update(piece[:left])
            left -= min(len(piece), left)
            if not left:
                break
        if not left and digest.hexdigest().encode() == note.digest:
            found = max(found, note.size)
    return found


def convert(path: bytes, folder: bytes) -> int:
    """Move every message of this mbox into this Maildir (its name ends with a slash).

    Result: how many.  Errors: Die TEMP; no message is lost then, and a later run brings none a second time.
    """
    absolute = path if path.startswith(b"/") else posix.getcwdb() + b"/" + path
    batches = Batches(folder)
    try:
        count = batches.publish()
        notes = batches.taken()
        for note in notes:
            if note.path != absolute:
                raise Die(TEMP, b"finish what was begun first: mbox2maildir " + note.path + b" " + folder)
        held = hold(absolute, create=False)
        try:
            _empty_into(held, batches, notes, absolute)
        finally:
            held.release()
        return count + batches.publish()
    finally:
        batches.close()


def _empty_into(held: Held, batches: Batches, notes: list[Note], absolute: bytes) -> None:
    """Make a batch of what is in the mbox, then empty the mbox."""
    start = _still_there(held, notes)
    if not start:
        batches.settle()
    batches.begin()
    count, size, digest = _split(held, start, batches)
    if count:
        batches.take(Note(absolute, size, digest))
    if size:
        held.empty(size)
    batches.settle()
