"""The client's side of an SMTP dialogue: a table of steps, bytes in, bytes out, no I/O (RFC 5321, 3207, 4954, 2920).

The client hears what the server says and says what is to be sent. Twice it needs somebody: at the step TLS, who makes
the connection secret and calls secured(), and at the step BODY, who gives the message (wire/dots encodes it). What the
end means for the mail is not decided here but in rules/report.  Used by remote/session.
"""

from qmailpy.wire import sasl, smtp_offers
from qmailpy.wire.lmtp import Content
from qmailpy.wire.smtp_login import Login as Login  # noqa: PLC0414 - its name for those who make a Client
from qmailpy.wire.smtp_login import LoginDialogue
from qmailpy.wire.smtp_offers import Offers, Standing
from qmailpy.wire.smtp_reply import Reply, ReplyError, ReplyReader

GREETING, EHLO, HELO, STARTTLS, TLS, AUTH = "greeting", "EHLO", "HELO", "STARTTLS", "TLS", "AUTH"
MAIL, RCPT, DATA, BODY, DOT, DONE = "MAIL", "RCPT", "DATA", "body", "dot", "done"

NEVER, MAY, MUST, AT_ONCE = range(4)  # when the connection becomes TLS
QUIT, CANCEL = b"QUIT\r\n", b"*\r\n"
QUESTION = 334  # to AUTH


class Step:
    """What is awaited.  good: codes that lead on; next: where to, if they do."""

    __slots__ = ("good", "next")

    def __init__(self, good: range, next_step: str) -> None:
        """Every other code ends the dialogue; at RCPT it only refuses one recipient."""
        self.good, self.next = good, next_step


# DATA: only a 3xx invites the message, everywhere else only a 2xx is a yes. qmail took 2xx and 3xx for
# the same; after a server that is one reply behind, that reads the message as commands or loses it.
TABLE = {
    GREETING: Step(range(220, 221), EHLO),
    EHLO: Step(range(250, 251), MAIL),  # or STARTTLS, or AUTH; HELO after a 5xx, where neither is wanted
    HELO: Step(range(250, 251), MAIL),
    STARTTLS: Step(range(220, 221), TLS),  # MAIL after anything else, where TLS is only welcome
    TLS: Step(range(0), EHLO),  # not by a reply, but by secured(); GREETING where TLS is there from the first byte
    AUTH: Step(range(235, 236), MAIL),  # 334 is a question
    MAIL: Step(range(200, 300), RCPT),
    RCPT: Step(range(200, 300), RCPT),  # DATA after the last one
    DATA: Step(range(300, 400), BODY),
    BODY: Step(range(0), DOT),  # not by a reply, but when the body has been given
    DOT: Step(range(200, 300), DONE),
}

NO_TLS = b"it does not offer TLS, which its route asks for"
EARLY = b"it said more than it may before TLS"


class Client:
    """One dialogue: one message to one server.

    step: where it stands; answers: to the recipients, in order, as far as they came; final: the reply that decided,
    None if none did; nonsense: what the server said instead of a reply, None if it spoke SMTP;
    failed_at: the step that did not succeed, "" if all did; trouble: at STARTTLS and AUTH, why there is no final reply;
    security: TLS in words, empty without it; whole: all recipients or none; standing: once a dialogue that may last has
    ended well: what the next one on this connection begins with, instead of a farewell.
    """

    __slots__ = (
        *("_again", "_ahead", "_content", "_lasts", "_login", "_offers", "_reader", "_recipients", "_safe", "_tls"),
        *("_words", "answers", "failed_at", "final", "nonsense", "security", "standing", "step", "trouble", "whole"),
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
        whole: bool = False,
        standing: Standing | None = None,
        lasts: bool = False,
    ) -> None:
        """name: ours, for EHLO; addresses as they stand in commands.  None of them has CR, LF or NUL.

        standing: of the dialogue before this one on the same connection; lasts: another one may follow.
        """
        assert not any(byte in word for word in (name, sender, *recipients) for byte in b"\r\n\0")
        self._words = {HELO: name, MAIL: sender}
        self._recipients, self._content = recipients, content
        self._tls, self.whole = tls, whole
        self._login = LoginDialogue(login) if login else None
        self._reader, self._offers = ReplyReader(), Offers()
        self._safe = self._ahead = False
        self._again, self._lasts = standing is not None, lasts
        self.standing: Standing | None = None
        self.step = TLS if tls == AT_ONCE else GREETING
        self.trouble = self.security = b""
        if standing is not None:
            self._offers, self.security, self._safe = standing.offers, standing.security, standing.safe
            self.step = MAIL
        self.answers: list[Reply] = []
        self.final: Reply | None = None
        self.nonsense: bytes | None = None
        self.failed_at = ""

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
        step = TABLE[self.step]
        good = reply.code in step.good
        if self.step == RCPT:
            self.answers.append(self._told(reply))
            return self._after_recipient()
        if self.step == AUTH and self._login and (good or reply.code == QUESTION):
            return self._after_login(self._login, reply)
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

    def _masked(self, text: bytes) -> bytes:
        """The server's words for the report: without what is secret."""
        return self._login.masked(text) if self._login else text

    def _told(self, reply: Reply) -> Reply:
        return Reply(reply.code, self._masked(reply.text))

    def _after_recipient(self) -> bytes:
        if len(self.answers) == len(self._recipients):
            yes = [is_yes(answer) for answer in self.answers]
            if not (all(yes) if self.whole else any(yes)):
                return self._end(RCPT, None)
            self.step = DATA
            return b"" if self._ahead and not self.whole else self._command()
        return b"" if self._ahead else self._command()

    def _go_to(self, step: str) -> bytes:
        self.step = step
        return self._command()

    def _command(self) -> bytes:
        """What the step that we stand at begins with; nothing where it was sent ahead (RFC 2920)."""
        if self.step in (EHLO, HELO):
            return b"%s %s\r\n" % (self.step.encode(), self._words[HELO])
        if self.step == STARTTLS:
            return b"STARTTLS\r\n"
        if self.step == MAIL:
            self._ahead = b"PIPELINING" in self._offers
            sender = self._words[MAIL]
            more = smtp_offers.of_message(self._offers, self._content, [sender, *self._recipients])
            command = b"MAIL FROM:<%s>%s\r\n" % (sender, more)
            return command + self._all_ahead() if self._ahead else command
        if self.step == RCPT and not self._ahead:
            return self._rcpt(self._recipients[len(self.answers)])
        return b"DATA\r\n" if self.step == DATA else b""

    def _all_ahead(self) -> bytes:
        """Every RCPT, and DATA; but not where one refusal means that there is no DATA."""
        return b"".join(map(self._rcpt, self._recipients)) + (b"" if self.whole else b"DATA\r\n")

    @staticmethod
    def _rcpt(recipient: bytes) -> bytes:
        return b"RCPT TO:<%s>\r\n" % recipient

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
        self.nonsense = self._masked(text)
        self._end(self.step, None)

    def body_given(self) -> None:
        """The body and its end are being sent now: from here on the server may have the message.

        A reply that came before is no answer to it. A yes would be a lie and ends the dialogue as nonsense; a no
        is believed: a server may refuse what it has not heard to its end.
        """
        assert self.step == BODY
        self._hear_early()
        if self.step == BODY:
            self.step = DOT

    def cut_off(self) -> bool:
        """The connection broke in the body: whether the server had said no before, which then is the answer."""
        if self.step == BODY:
            self._hear_early()
        return self.step == DONE

    def _hear_early(self) -> None:
        try:
            reply = self._reader.next()
        except ReplyError as error:
            self._end_in_nonsense(error.text)
            return
        if reply is None:
            return
        if reply.code < 400:
            self._end_in_nonsense(reply.text)
        else:
            self._end(DOT, reply)

    def hear_during_body(self, piece: bytes) -> None:
        """What the server says while it gets the body, kept until body_given() or cut_off()."""
        self._reader.feed(piece)


def is_yes(answer: Reply) -> bool:
    """Whether this answer to RCPT accepts the recipient."""
    return answer.code in TABLE[RCPT].good
