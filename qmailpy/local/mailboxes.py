"""Mail into a user's own files: what is put before the message, and what is said when it cannot be read."""

from qmailpy.disk import maildir, mbox
from qmailpy.local.message import Message, Unreadable
from qmailpy.rules import mbox as mbox_form
from qmailpy.rules.environment import DTLINE, RPLINE, UFLINE
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def into_maildir(folder: bytes, message: Message, variables: "Mapping[bytes, bytes]", count: int) -> None:
    """Return-Path, Delivered-To, and the message unchanged; folder: with its slash at the end.

    count: of file deliveries that this run made before.  Errors: Die TEMP; nothing is left behind then.
    """
    try:
        maildir.deliver(folder, message.pieces(variables[RPLINE] + variables[DTLINE]), count)
    except Unreadable:
        raise Die(TEMP, b"Unable to read message. (#4.3.0)") from None


def into_mbox(path: bytes, message: Message, variables: "Mapping[bytes, bytes]") -> None:
    """The From_ line, Return-Path, Delivered-To, the message with its From lines quoted, an empty line.

    Errors: Die TEMP; the file is as it was then.
    """
    head = variables[RPLINE] + variables[DTLINE]
    try:
        mbox.append(path, mbox_form.message(variables[UFLINE], head, message.pieces()))
    except Unreadable as trouble:
        raise trouble.death() from None
