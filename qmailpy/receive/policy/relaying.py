"""Whether mail for an address is taken from anybody, for every protocol (spec/06-remote-dns-smtp.md 5, 6)."""

from qmailpy.receive.policy.controls import Controls
from qmailpy.rules import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog

MORE = b"morercpthosts"  # the question


async def is_allowed(dialog: "Dialog", controls: Controls, address: bytes) -> bool:
    """By rcpthosts, then by morercpthosts.cdb.  Errors: OSError, the database cannot be asked."""
    if relay.is_allowed(address, controls.rcpthosts):
        return True
    return controls.more and bool(await dialog.ask(MORE, relay.domain_of(address) or b""))
