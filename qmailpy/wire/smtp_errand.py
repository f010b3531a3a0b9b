"""What the client of wire/smtp says of one message, MAIL and RCPT, and what each recipient was answered.

What the server offers and the message needs stands behind the addresses:
    SIZE, BODY=8BITMIME     as the message is (RFC 1870, 6152)
    SMTPUTF8                for an address beyond ASCII, or where whoever gave us the message said it (RFC 6531)
    RET ENVID NOTIFY ORCPT  as whoever gave us the message said them (RFC 3461)
A server without SMTPUTF8 gets an address in ASCII if only its domain is not; another one cannot be said to it.
"""

from qmailpy.wire import xtext
from qmailpy.wire.lmtp import Content
from qmailpy.wire.smtp_offers import Offers
from qmailpy.wire.smtp_reply import Reply
from qmailpy.wire.smtp_table import RCPT, TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters, RecipientParameters

UNSAYABLE = Reply(555, b"")  # in the place of an answer, to a recipient whose address this server does not take


class Errand:
    """One message to one server.  answers: to the recipients, in order, as far as they came."""

    __slots__ = ("_content", "_in_ascii", "_offers", "_parameters", "_recipients", "_sender", "answers")

    def __init__(
        self,
        sender: bytes,
        recipients: list[bytes],
        content: Content | None,
        parameters: "Parameters | None",
        in_ascii: dict[bytes, bytes],
    ) -> None:
        """content: None where it is not known; in_ascii: address -> the same, where it has one in ASCII."""
        self._sender, self._recipients, self._content = sender, recipients, content
        self._parameters, self._in_ascii = parameters, in_ascii
        self._offers = Offers()
        self.answers: list[Reply] = []

    @property
    def size(self) -> int | None:
        """Bytes of the message on the wire, without dots; None where they are not known."""
        return None if self._content is None else self._content.size

    # recipients and their answers

    def begin(self, offers: Offers) -> None:
        """offers: of the server that it is for."""
        self._offers = offers
        self.answers = []
        self._pass_over()

    def _pass_over(self) -> None:
        while not self.is_answered and not self._is_sayable(self._recipients[len(self.answers)]):
            self.answers.append(UNSAYABLE)

    def take(self, answer: Reply) -> None:
        """The answer to the recipient that is next."""
        self.answers.append(answer)
        self._pass_over()

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer to every recipient."""
        return len(self.answers) == len(self._recipients)

    def has_takers(self, *, whole: bool) -> bool:
        """Whether somebody is to get it, of those that were answered.  whole: all of them."""
        yes = map(is_yes, self.answers)
        return all(yes) if whole else any(yes)

    # words

    @property
    def can_be_sent(self) -> bool:
        """Whether this server takes the sender's address."""
        return self._is_sayable(self._sender)

    def _is_sayable(self, address: bytes) -> bool:
        return address.isascii() or b"SMTPUTF8" in self._offers or address in self._in_ascii

    def _said(self, address: bytes) -> bytes:
        return address if b"SMTPUTF8" in self._offers else self._in_ascii.get(address, address)

    @property
    def _is_beyond_ascii(self) -> bool:
        """Whether it is a transaction of RFC 6531."""
        if b"SMTPUTF8" not in self._offers:
            return False
        if self._parameters is not None and self._parameters.message.smtputf8:
            return True
        return not all(address.isascii() for address in (self._sender, *self._recipients))

    def mail(self) -> bytes:
        """The command MAIL."""
        words = b"MAIL FROM:<%s>" % self._said(self._sender)
        content, wished = self._content, self._parameters.message if self._parameters else None
        eight_bit = wished is not None and wished.body == b"8BITMIME" if content is None else content.eight_bit
        if content is not None and content.size and b"SIZE" in self._offers:
            words += b" SIZE=%d" % content.size
        if eight_bit and b"8BITMIME" in self._offers:
            words += b" BODY=8BITMIME"
        if self._is_beyond_ascii:
            words += b" SMTPUTF8"
        if wished is not None and b"DSN" in self._offers:
            if wished.ret:
                words += b" RET=" + wished.ret
            if wished.envid:
                words += b" ENVID=" + xtext.encode(wished.envid)
        return words + b"\r\n"

    def rcpt(self) -> bytes:
        """The command RCPT for the recipient that is next."""
        return self._rcpt(len(self.answers))

    def rcpts(self) -> bytes:
        """All of them at once."""
        return b"".join(self._rcpt(at) for at, address in enumerate(self._recipients) if self._is_sayable(address))

    def _rcpt(self, at: int) -> bytes:
        words = b"RCPT TO:<%s>" % self._said(self._recipients[at])
        wished = self._wished(at)
        if wished is not None and b"DSN" in self._offers:
            if wished.notify:
                words += b" NOTIFY=" + wished.notify
            if wished.orcpt:
                words += b" ORCPT=" + xtext.typed(wished.orcpt, ascii_only=not self._is_beyond_ascii)
        return words + b"\r\n"

    def _wished(self, at: int) -> "RecipientParameters | None":
        wished = self._parameters.recipients if self._parameters else ()
        return wished[at] if at < len(wished) else None

    @property
    def asks_for_report(self) -> bool:
        """Whether this server is asked to tell the sender that a recipient has it."""
        if self._parameters is None or b"DSN" not in self._offers:
            return False
        return any(each is not None and b"SUCCESS" in each.notify for each in self._parameters.recipients)


def is_yes(answer: Reply) -> bool:
    """Whether this answer to RCPT accepts the recipient."""
    return answer.code in TABLE[RCPT].good
