"""Whether a recipient exists, asked while the client still waits: then it is the client who tells the sender.

The answer comes from skeletons/recipients, which asks what delivery will ask; control/recipientcheck says what an
unknown one is answered with. $RCPTCHECK names a program that is asked besides (spec/10-neighbours.md c12).
"""

from qmailpy.receive.policy.controls import Controls
from qmailpy.receive.refusal import Refusal
from qmailpy.rules.existing import LATER, REFUSED, UNKNOWN
from qmailpy.skeletons import hooks
from qmailpy.wire import plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog

NO_MAILBOX = b" sorry, no mailbox here by that name (#5.1.1)"
NOT_NOW = b"451 sorry, I can't look up this recipient now (#4.3.0)"
UNABLE = b"421 unable to verify recipient (#4.3.0)"
TOO_MANY = b"452 sorry, too many recipients (#4.5.3)"
IGNORED = b"250 ok"
PROGRAM, ALWAYS = b"RCPTCHECK", b"RCPTCHECKRELAYCLIENT"


async def check(dialog: "Dialog", controls: Controls, recipient: bytes) -> Refusal | None:
    """By the rules of delivery.  What nobody can tell now counts as existing, unless accounts cannot be looked up."""
    if not controls.recipientcheck or controls.is_known(recipient, dialog.now()):
        return None
    try:
        answer = await dialog.ask(b"recipient", recipient)
    except OSError:
        return Refusal(NOT_NOW, b"recipient:later")
    kind, text = answer[:1], answer[1:]
    if kind == UNKNOWN:
        return Refusal(b"%d" % controls.recipientcheck + NO_MAILBOX, b"recipient")
    if kind == REFUSED:
        return Refusal(plugin.reply(b"%d " % controls.recipientcheck + text), b"recipient:alias")
    if kind == LATER:
        return Refusal(NOT_NOW, b"recipient:later")
    controls.remember(recipient, dialog.now())
    return None


async def ask_program(
    dialog: "Dialog", helo: bytes, sender: bytes, recipient: bytes, *, relays: bool
) -> Refusal | None:
    """$RCPTCHECK's word; it is not asked about what relay clients send, unless $RCPTCHECKRELAYCLIENT is set."""
    program = dialog.environment.get(PROGRAM)
    if not program or (relays and ALWAYS not in dialog.environment):
        return None
    variables = {b"SENDER": sender, b"RECIPIENT": recipient, b"HELO": helo, b"USE_FD4": b"1"}
    try:
        request = hooks.request(hooks.CHECK, program, {**dialog.environment, **variables})
        said = hooks.heard(await dialog.ask(b"hook", request))
    except OSError:
        return Refusal(UNABLE, b"rcptcheck", closes=True)
    if said.code in (None, 111, hooks.FAILED):
        return Refusal(_reply(said, UNABLE), b"rcptcheck", closes=True)
    replies = {100: b"550" + NO_MAILBOX, 112: IGNORED, 113: TOO_MANY}
    if said.code not in replies:
        return None
    return Refusal(_reply(said, replies[said.code]), b"rcptcheck")


def _reply(said: hooks.Said, usual: bytes) -> bytes:
    """What the program wrote for the client; one line, with its code, or the usual words."""
    words = said.output.strip().partition(b"\n")[0]
    return plugin.reply(words) if words else usual
