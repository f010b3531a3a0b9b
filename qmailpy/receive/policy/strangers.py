"""What is asked about a client that may not relay: its HELO name, its recipient, its address.

$RBLSMTPD, which rules for addresses (tcprules) may set, goes before control/dnsbl as it does before rblsmtpd's zones:
set and empty, the address is welcome and nobody is asked; beginning with a dash, what follows is said with 553; else
the text is said with 451.
"""

from qmailpy.receive.policy.controls import Controls
from qmailpy.receive.refusal import Refusal
from qmailpy.wire import netstring, plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog

BAD_HELO = b"553 sorry, your HELO name is in my badhelo list (#5.7.1)"
BAD_RECIPIENT = b"553 sorry, that address is in my badrcptto list (#5.7.1)"
RBLSMTPD = b"RBLSMTPD"


def refuse(controls: Controls, recipient: bytes, *, bad_helo: bool) -> Refusal | None:
    """By the lists of names and addresses."""
    if bad_helo:
        return Refusal(BAD_HELO, b"badhelo")
    if controls.badrcptto.has_address(recipient):
        return Refusal(BAD_RECIPIENT, b"badrcptto")
    return None


async def ask_lists(dialog: "Dialog", controls: Controls) -> Refusal | None:
    """By $RBLSMTPD, else by the lists in the DNS.  Whoever cannot be asked lists nobody."""
    text = dialog.environment.get(RBLSMTPD)
    if text is not None:
        if not text:
            return None
        code = b"553 " if text.startswith(b"-") else b"451 "
        return Refusal(plugin.reply(code + text.removeprefix(b"-")), b"rblsmtpd")
    remote = dialog.environment.get(b"TCPREMOTEIP")
    if not controls.dnsbl or not remote:
        return None
    try:
        answer = await dialog.ask(b"dnsbl", netstring.pack([remote, *controls.dnsbl]))
        found = netstring.unpack(answer)
    except (OSError, netstring.NetstringError):
        return None
    return Refusal(found[1], b"dnsbl:" + found[0]) if len(found) == 2 else None
