"""The client's side of an SMTP dialogue: steps, bytes in, bytes out, no I/O (RFC 5321, 3207, 4954, 2920, 3030).

The client hears what the server says and says what is to be sent. Twice it needs somebody: at the step TLS, who makes
the connection secret and calls secured(), and at the step BODY, who gives the message in pieces (wire/dots encodes
them). What the end means for the mail is not decided here but in rules/report.  Used by remote/session.
The steps are in wire/smtp_table, the words about the message in wire/smtp_errand, its own way in wire/smtp_body.
"""

from qmailpy.wire import sasl, smtp_table
from qmailpy.wire.lmtp import Content
from qmailpy.wire.smtp_body import NOT_UNDERSTOOD, Body
from qmailpy.wire.smtp_errand import UNSAYABLE, Errand
from qmailpy.wire.smtp_login import Login as Login  # noqa: PLC0414 - its name for those who make a Client
from qmailpy.wire.smtp_login import LoginDialogue
from qmailpy.wire.smtp_offers import Offers, Standing
from qmailpy.wire.smtp_reply import Reply, ReplyError, ReplyReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters

GREETING, EHLO, HELO, STARTTLS, TLS, AUTH, MAIL, RCPT, DATA, BODY, CHUNK, DOT, DONE = smtp_table.STEPS
NEVER, MAY, MUST, AT_ONCE = range(4)  # when the connection becomes TLS
QUIT, CANCEL = b"QUIT\r\n", b"*\r\n"
QUESTION = 334  # to AUTH

NO_TLS = b"it does not offer TLS, which its route asks for"
EARLY = b"it said more than it may before TLS"
ASCII_SENDER = b"it takes no address beyond ASCII (SMTPUTF8), and the sender's is one"


class Client:
    """One dialogue: one message to one server.

    step: where it stands; final: the reply that decided, None if none did; nonsense: what the server said instead of a
    reply, None if it spoke SMTP; failed_at: the step that did not succeed, "" if all did; trouble: at STARTTLS, AUTH
    and MAIL, why there is no final reply; security: TLS in words, empty without it; whole: all recipients or none;
    body: how the message goes; standing: once a dialogue that may last has ended well: what the next one on this
    connection begins with, instead of a farewell.
    """

    __slots__ = (
        *("_again", "_ahead", "_chunking", "_errand", "_lasts", "_login", "_name", "_offers", "_reader", "_safe"),
        *("_tls", "body", "failed_at", "final", "nonsense", "security", "standing", "step", "trouble", "whole"),
    )

    def __init__(
        self,
        name: bytes,
        sender: bytes,
        recipients: list[bytes],
        *,
        tls: int = MAY,
        login: Login | None = None,
        content: Content | None = None,
        parameters: "Parameters | None" = None,
        in_ascii: dict[bytes, bytes] | None = None,
        chunking: bool = True,
        whole: bool = False,
        standing: Standing | None = None,
        lasts: bool = False,
    ) -> None:
        """name: ours, for EHLO; addresses as they stand in commands.  None of them has CR, LF or NUL.

        content, parameters, in_ascii: as of Errand; chunking: the server may be sent BDAT, if it offers that; standing:
        of the dialogue before this one on the same connection; lasts: another one may follow.
        """
        in_ascii = in_ascii or {}
        assert not any(byte in word for word in (name, sender, *recipients, *in_ascii.values()) for byte in b"\r\n\0")
        self._name, self._errand = name, Errand(sender, recipients, content, parameters, in_ascii)
        self._tls, self._chunking, self.whole = tls, chunking, whole
        self._login = LoginDialogue(login) if login else None
        self._reader, self._offers = ReplyReader(), Offers()
        self._safe = self._ahead = False
        self.body = Body()
        self._again, self._lasts = standing is not None, lasts
        self.standing: Standing | None = None
        self.step = TLS if tls == AT_ONCE else GREETING
        self.trouble = self.security = b""
        if standing is not None:
            self._offers, self.security, self._safe = standing.offers, standing.security, standing.safe
            self.step = MAIL
        self.final: Reply | None = None
        self.nonsense: bytes | None = None
        self.failed_at = ""

    @property
    def answers(self) -> list[Reply]:
        """To the recipients, in order, as far as they came."""
        return self._errand.answers

    def begin(self) -> bytes:
        """What to send before anything is heard: nothing, where the server greets first."""
        return self._command() if self._again else b""

    @property
    def is_stale(self) -> bool:
        """Whether a connection that was used before has been given up by the server: nothing of this message is there.

        It did not answer to MAIL, or said no: that may be its limit of messages, and a new connection will tell.
        """
        return self._again and MAIL in (self.step, self.failed_at)

    @property
    def dot_sent(self) -> bool:
        """Whether the server may have the whole message: a repetition may be a duplicate."""
        return DOT in (self.step, self.failed_at)

    @property
    def knows_no_chunks(self) -> bool:
        """Whether the server does not understand BDAT, which it offers: nobody has the message, and DATA may do."""
        refused = self.final is not None and self.final.code in NOT_UNDERSTOOD
        return self.body.in_chunks and refused and self.failed_at in (CHUNK, DOT)

    @property
    def passed_on(self) -> bool:
        """Whether it is the server's from now on to tell the sender that it got through, if he wants to be told."""
        return self.step == DONE and not self.failed_at and self._errand.asks_for_report

    def hear(self, piece: bytes) -> bytes:
        """More of what the server says.  Result: what to send; empty while nothing is to be said."""
        self._reader.feed(piece)
        while self.step not in (TLS, BODY, DONE):
            try:
                reply = self._reader.next()
            except ReplyError as error:
                self._end_in_nonsense(error.text)
                break
            if reply is None:
                break
            words = self._judge(reply)
            if words:
                if self._reader.pending and self.step in (MAIL, RCPT) and not self._ahead:
                    self.body = Body()  # answers before questions: only DATA's tells where it stands
                return words
        return b""

    def secured(self, security: bytes, *, proven: bool) -> bytes:
        """TLS is there: what was said before means nothing any more (RFC 3207 4.2).  Result: what to send.

        security: TLS in words; proven: whether the server is the one that it should be.
        """
        assert self.step == TLS
        self._reader, self._offers = ReplyReader(), Offers()
        self.security, self._safe = security, proven
        self.step = GREETING if self._tls == AT_ONCE else EHLO
        return self._command()

    def _judge(self, reply: Reply) -> bytes:
        step = smtp_table.TABLE[self.step]
        good = reply.code in step.good
        if self.step == RCPT:
            self._errand.take(self._told(reply))
            return self._after_recipient()
        if self.step == AUTH and self._login and (good or reply.code == QUESTION):
            return self._after_login(self._login, reply)
        if self.step == DOT and self.body.unanswered:
            self.body.unanswered -= 1
            return b"" if good else self._end(CHUNK, reply)
        if not good and not self._may_go_on(reply):
            return self._end(self.step, reply)
        if self.step == EHLO:
            return self._after_ehlo(reply if good else None)
        if self.step == STARTTLS and not good:
            return self._go_to(MAIL)
        if self.step == STARTTLS and self._reader.pending:
            return self._give_up(STARTTLS, EARLY)
        if step.next == DONE:
            return self._end("", reply)
        return self._go_to(step.next)

    def _may_go_on(self, reply: Reply) -> bool:
        """After a no: to EHLO from a server that is old, to STARTTLS where TLS was only welcome."""
        if self.step == EHLO:
            return reply.code >= 500
        return self.step == STARTTLS and self._tls == MAY and reply.code != 421

    def _after_ehlo(self, reply: Reply | None) -> bytes:
        """reply: None where it was refused."""
        self._offers = Offers(reply.text) if reply else Offers()
        if not self.security and self._tls in (MAY, MUST):
            if b"STARTTLS" in self._offers:
                return self._go_to(STARTTLS)
            if self._tls == MUST:
                return self._give_up(STARTTLS, NO_TLS)
        if self._login is not None:
            return self._log_in(self._login)
        return self._go_to(MAIL if reply else HELO)

    def _log_in(self, login: LoginDialogue) -> bytes:
        self.step = AUTH
        try:
            return login.begin(self._offers.parameters(b"AUTH"), safe=self._safe)
        except sasl.SaslError as error:
            return self._give_up(AUTH, error.text)

    def _after_login(self, login: LoginDialogue, reply: Reply) -> bytes:
        """A question, or yes."""
        try:
            if reply.code == QUESTION:
                return login.respond(reply)
            login.require_done()
        except sasl.SaslError as error:
            return (CANCEL if reply.code == QUESTION else b"") + self._give_up(AUTH, error.text)
        return self._go_to(MAIL)

    def masked(self, text: bytes) -> bytes:
        """The server's words for the report: without what is secret."""
        return self._login.masked(text) if self._login else text

    def _told(self, reply: Reply) -> Reply:
        return Reply(reply.code, self.masked(reply.text))

    def _after_recipient(self) -> bytes:
        errand = self._errand
        if not errand.is_answered:
            return b"" if self._ahead else errand.rcpt()
        if not errand.has_takers(whole=self.whole):
            return self._end(RCPT, None)
        self.step = BODY if self.body.in_chunks else DATA
        return b"" if self._ahead and not self.whole else self._command()

    def _go_to(self, step: str) -> bytes:
        self.step = step
        return self._command()

    def _command(self) -> bytes:
        """What the step that we stand at begins with; nothing where it was sent ahead (RFC 2920)."""
        if self.step in (EHLO, HELO):
            return b"%s %s\r\n" % (self.step.encode(), self._name)
        if self.step == STARTTLS:
            return b"STARTTLS\r\n"
        if self.step == MAIL:
            return self._begin_mail()
        if self.step == RCPT and not self._ahead:
            return self._errand.rcpt()
        return b"DATA\r\n" if self.step == DATA else b""

    def _begin_mail(self) -> bytes:
        """MAIL, and ahead of its answer every RCPT, and DATA; but not where one refusal means that there is no DATA."""
        errand = self._errand
        errand.begin(self._offers)
        if not errand.can_be_sent:
            return self._give_up(MAIL, ASCII_SENDER)
        if UNSAYABLE in errand.answers and (self.whole or errand.is_answered):
            return self._end(RCPT, None)
        self._ahead = b"PIPELINING" in self._offers
        in_chunks = self._chunking and b"CHUNKING" in self._offers and not self._reader.pending
        self.body = Body(in_chunks=in_chunks, ahead=self._ahead, size=errand.size)
        if not self._ahead:
            return errand.mail()
        return errand.mail() + errand.rcpts() + (b"" if self.whole or self.body.in_chunks else b"DATA\r\n")

    def _end(self, failed_at: str, reply: Reply | None) -> bytes:
        self.step, self.failed_at = DONE, failed_at
        self.final = self._told(reply) if reply else None
        if self._lasts and not failed_at and not self._reader.pending:
            self.standing = Standing(self._offers, self.security, safe=self._safe)
            return b""
        return QUIT

    def _give_up(self, failed_at: str, trouble: bytes) -> bytes:
        self.trouble = trouble
        return self._end(failed_at, None)

    def _end_in_nonsense(self, text: bytes) -> None:
        self.nonsense = self.masked(text)
        self._end(self.step, None)

    def give(self, piece: bytes, *, last: bool) -> bytes:
        """A piece of the message, as wire/dots encodes it.  Result: what to send.

        last: with it the message ends, and from here on the server may have it; other chunks have a byte at least.
        A reply that came before is no answer to it. A yes would be a lie and ends the dialogue as nonsense; a no
        is believed: a server may refuse what it has not heard to its end.  Errors: WrongSizeError, as of Body.
        """
        assert self.step == BODY
        if (last or self.body.in_chunks) and self.cut_off(last=last):
            return QUIT if self.body.in_chunks else b""
        self.step, words = self.body.give(piece, last=last)
        return words

    def cut_off(self, *, last: bool = False) -> bool:
        """The message goes no further: whether the server had said no before, which then is the answer."""
        try:
            early = self.body.early(self._reader)
        except ReplyError as error:
            self._end_in_nonsense(error.text)
            return True
        if early is None and not (last and self._reader.pending and not self.body.unanswered):
            return False
        if early is None or early.code < 400:  # also one that has only begun: its rest would be taken for the answer
            self._end_in_nonsense(early.text if early else b"")
        else:
            self._end(self.body.failed_at, early)
        return True

    def hear_during_body(self, piece: bytes) -> None:
        """What the server says while it gets the body, kept until give() or cut_off()."""
        self._reader.feed(piece)
