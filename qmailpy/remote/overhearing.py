"""Whether a dialogue is shown in the log, line by line (control/transcript), and how its lines get there.

They are events of the delivery's story (remote/story), told also where nothing else of it is. A delivery whose story
nobody can hear has no transcript either.
"""

from qmailpy.remote.controls import Settings
from qmailpy.remote.story import Story
from qmailpy.rules import overheard
from qmailpy.rules.exchangers import Address
from qmailpy.wire import smtp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.transcript import Overheard


def speaker(
    client: smtp.Client, story: Story, settings: Settings, host: bytes, address: Address
) -> "smtp.Client | Overheard":
    """Who speaks: the client itself, or somebody before it who tells of every line."""
    if not (settings.transcript and story.reaches):
        return client
    if not overheard.is_wanted(settings.transcript, host, address.ip, address.name):
        return client
    from qmailpy.wire.transcript import Overheard

    return Overheard(client, lambda what, line: story.tell("dialogue", peer=address.ip, **{what: line}))
