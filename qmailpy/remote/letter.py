"""What is handed over in a delivery: the message, its envelope as SMTP says it, and what its sender wishes.

Used by remote/delivery, which makes it, and remote/attempts, which makes a dialogue of it with each server that is
asked.
"""

from qmailpy.remote.session import Message
from qmailpy.remote.story import UNTOLD, Story
from qmailpy.rules.smtp_address import is_clean_name
from qmailpy.wire import smtp
from qmailpy.wire.lmtp import Content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters
    from qmailpy.wire.smtp_offers import Standing


class Letter:
    """One message for recipients at one host.

    path, sayable: sender and recipients as SMTP says them, None for a recipient that it cannot; content: None where it
    can be read only once; whole: for all or for nobody; story: what is told meanwhile.
    """

    __slots__ = ("_in_ascii", "_recipients", "_wishes", "content", "message", "path", "sayable", "story", "whole")

    def __init__(
        self,
        path: bytes,
        sayable: list[bytes | None],
        message: Message,
        *,
        whole: bool,
        wishes: "Parameters | None" = None,
        story: Story = UNTOLD,
    ) -> None:
        """wishes: in the order of sayable."""
        self.path, self.sayable, self.message, self.whole, self.story = path, sayable, message, whole, story
        self._recipients = [address for address in sayable if address is not None]
        self._in_ascii = {each: said for each in (path, *self._recipients) if (said := _in_ascii(each))}
        self._wishes = _of_these(wishes, sayable)
        self.content: Content | None = None

    def client(
        self,
        name: bytes,
        *,
        tls: int,
        login: smtp.Login | None,
        chunking: bool,
        standing: "Standing | None",
        lasts: bool,
    ) -> smtp.Client:
        """A dialogue about it.  Parameters: as of smtp.Client."""
        return smtp.Client(
            name,
            self.path,
            self._recipients,
            tls=tls,
            login=login,
            content=self.content,
            parameters=self._wishes,
            in_ascii=self._in_ascii,
            chunking=chunking,
            whole=self.whole,
            standing=standing,
            lasts=lasts,
        )


def _in_ascii(address: bytes) -> bytes:
    """An address beyond ASCII, if only its domain is, as the DNS spells that; else nothing."""
    box, at, domain = address.rpartition(b"@")
    if not at or not box.isascii() or domain.isascii():
        return b""
    from qmailpy.system import dns

    spelled = dns.spelled(domain)
    return box + at + spelled if is_clean_name(spelled) else b""  # a full-width > is spelled as one


def _of_these(wishes: "Parameters | None", sayable: list[bytes | None]) -> "Parameters | None":
    """The wishes for those whom SMTP can name."""
    if wishes is None or None not in sayable:
        return wishes
    from qmailpy.wire.parameters import Parameters

    left = [wished for wished, address in zip(wishes.recipients, sayable, strict=False) if address is not None]
    return Parameters(wishes.message, left)
