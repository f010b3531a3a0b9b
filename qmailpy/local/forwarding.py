"""Forwarding: one new message in the queue for all addresses that the instructions collected (spec/05-local.md 6)."""

from qmailpy.disk.home import Home
from qmailpy.local.message import Message, Unreadable
from qmailpy.rules.environment import DTLINE, NEWSENDER
from qmailpy.skeletons.submit import Submission
from qmailpy.verdict import PERM, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def forward(
    recipients: list[bytes], message: Message, variables: "Mapping[bytes, bytes]", home: Home, *, resident: bool
) -> int:
    """Queue the message with our Delivered-To line for these recipients, used as they are.

    resident: this process makes more than one delivery.  Result: the new message's qp.
    Errors: Die with the verdict and the words of whoever refused it.
    """
    submission = Submission(home, resident=resident)
    try:
        for piece in message.pieces(variables[DTLINE]):
            submission.write(piece)
    except Unreadable:
        submission.fail()
    result = submission.close(variables[NEWSENDER], recipients)
    if result.text:
        verdict = PERM if result.text.startswith(b"D") else TEMP
        raise Die(verdict, b"Unable to forward message: " + result.text[1:] + b".")
    return result.qp
