"""From a Maildir into an mbox: the messages of one as the other keeps them."""

import posix

from qmailpy.disk.maildir_list import Mail
from qmailpy.rules import mbox
from qmailpy.rules.mbox_reading import from_line
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def pieces(folder: bytes, mails: list[Mail], moved: list[Mail]) -> "Iterator[bytes]":
    """All bytes of these messages in an mbox.

    folder: the Maildir, with its slash at the end; moved: gets those that were there: a reader may take one away at any
    time.  Errors: Die TEMP.
    """
    for mail in mails:
        try:
            descriptor = posix.open(folder + mail.path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(mail, error) from None
        try:
            beginning = _read(mail, descriptor)
            yield from mbox.message(from_line(beginning, mail.mtime), b"", _rest(mail, descriptor, beginning))
        finally:
            descriptors.close(descriptor)
        moved.append(mail)


def _rest(mail: Mail, descriptor: int, piece: bytes) -> "Iterator[bytes]":
    while piece:
        yield piece
        piece = _read(mail, descriptor)


def _read(mail: Mail, descriptor: int) -> bytes:
    try:
        return posix.read(descriptor, descriptors.READ_SIZE)
    except OSError as error:
        raise _unreadable(mail, error) from None


def _unreadable(mail: Mail, error: OSError) -> Die:
    return Die(TEMP, b"unable to read $MAILDIR/" + mail.path + b": " + words(error))
