"""One delivery to another host, from its name to the report: the order of spec/06 1.

What is asked for is looked at here; remote/attempts does it. The result is what qmail-remote prints. Any number of
these run in one event loop; they share an Equipment.
"""

from qmailpy.disk.home import Home
from qmailpy.remote import preparing, telling
from qmailpy.remote.attempts import by_route
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.letter import Letter
from qmailpy.remote.preparing import Ended
from qmailpy.remote.session import Message, Unreadable
from qmailpy.remote.story import UNTOLD, Story
from qmailpy.rules import report
from qmailpy.rules.smtp_address import smtp_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters


async def deliver(
    home: Home,
    host: bytes,
    sender: bytes,
    recipients: list[bytes],
    message_fd: int,
    equipment: Equipment | None = None,
    *,
    whole: bool = False,
    wishes: "Parameters | None" = None,
    story: Story = UNTOLD,
) -> bytes:
    """Deliver one message to recipients at one host.

    host: a name or an address in digits; sender, recipients: envelope addresses; message_fd: is left open, and where
    it stands if it can seek; equipment: what deliveries of a process share; whole: nobody gets the message unless the
    server takes every recipient; wishes: of the sender, in the order of recipients; story: what is told meanwhile.
    Result: items, each ended by NUL (spec/03 7).  Errors: none but bugs and being cancelled.
    """
    equipment = equipment or Equipment(home)
    try:
        settings = preparing.settings(equipment)
        if story.is_on:
            telling.route(story, host, sender, settings)
        route = preparing.route(host, sender, settings)
        path, sayable = _envelope(sender, recipients, whole=whole)
        message = Message(message_fd)
        return await by_route(
            equipment, settings, route, host, Letter(path, sayable, message, whole=whole, wishes=wishes, story=story)
        )
    except Ended as ended:
        return ended.report
    except Unreadable:
        return report.UNREADABLE
    except MemoryError:
        return report.NO_MEMORY


def _envelope(sender: bytes, recipients: list[bytes], *, whole: bool) -> tuple[bytes, list[bytes | None]]:
    """The addresses as SMTP says them; None for a recipient that it cannot."""
    path = smtp_address(sender)
    if path is None:
        raise Ended(report.BAD_SENDER)
    sayable = [smtp_address(recipient) for recipient in recipients]
    unsayable = [address is None for address in sayable]
    if any(unsayable) if whole else all(unsayable):
        raise Ended(report.BAD_RECIPIENT * sum(unsayable) + report.NOBODY_LEFT)
    return path, sayable
