"""The client's side of an SMTP dialogue: a table of steps, bytes in, bytes out, no I/O (RFC 5321 3.3, 4.3.2).

The client hears what the server says and says what is to be sent; at the step BODY the message is wanted
(wire/dots encodes it). What the end means for the mail is not decided here but in rules/report.
Used by remote/session.
"""

from qmailpy.wire.smtp_reply import Reply, ReplyError, ReplyReader

GREETING, HELO, MAIL, RCPT, DATA, BODY, DOT, DONE = "greeting", "HELO", "MAIL", "RCPT", "DATA", "body", "dot", "done"


class Step:
    """What is awaited.  good: codes that lead on; next: where to, if they do."""

    __slots__ = ("good", "next")

    def __init__(self, good: range, next_step: str) -> None:
        """Every other code ends the dialogue; at RCPT it only refuses one recipient."""
        self.good, self.next = good, next_step


# DATA: only a 3xx invites the message, everywhere else only a 2xx is a yes. qmail took 2xx and 3xx for
# the same; after a server that is one reply behind, that reads the message as commands or loses it.
TABLE = {
    GREETING: Step(range(220, 221), HELO),
    HELO: Step(range(250, 251), MAIL),
    MAIL: Step(range(200, 300), RCPT),
    RCPT: Step(range(200, 300), RCPT),  # DATA after the last one
    DATA: Step(range(300, 400), BODY),
    BODY: Step(range(0), DOT),  # not by a reply, but when the body has been given
    DOT: Step(range(200, 300), DONE),
}


class Client:
    """One dialogue: one message to one server.

    step: where it stands; answers: to the recipients, in order, as far as they came; final: the reply that decided,
    None if none did; nonsense: what the server said instead of a reply, None if it spoke SMTP;
    failed_at: the step that did not succeed, "" if all did.
    """

    __slots__ = ("_reader", "_recipients", "_words", "answers", "failed_at", "final", "nonsense", "step")

    def __init__(self, name: bytes, sender: bytes, recipients: list[bytes]) -> None:
        """name: ours, for HELO; addresses as they stand in commands.  None of them has CR, LF or NUL."""
        assert not any(byte in word for word in (name, sender, *recipients) for byte in b"\r\n\0")
        self._words = {HELO: name, MAIL: sender}
        self._recipients = recipients
        self._reader = ReplyReader()
        self.step = GREETING
        self.answers: list[Reply] = []
        self.final: Reply | None = None
        self.nonsense: bytes | None = None
        self.failed_at = ""

    @property
    def dot_sent(self) -> bool:
        """Whether the server may have the whole message: a repetition may be a duplicate."""
        return DOT in (self.step, self.failed_at)

    def hear(self, piece: bytes) -> bytes:
        """More of what the server says.  Result: what to send; empty while nothing is to be said."""
        self._reader.feed(piece)
        while self.step not in (BODY, DONE):
            try:
                reply = self._reader.next()
            except ReplyError as error:
                self.nonsense = error.text
                self._end(self.step, None)
                break
            if reply is None:
                break
            words = self._judge(reply)
            if words:
                return words
        return b""

    def _judge(self, reply: Reply) -> bytes:
        step = TABLE[self.step]
        good = reply.code in step.good
        if self.step == RCPT:
            self.answers.append(reply)
            return self._after_recipient()
        if not good:
            return self._end(self.step, reply)
        if step.next == DONE:
            return self._end("", reply)
        self.step = step.next
        return self._command()

    def _after_recipient(self) -> bytes:
        if len(self.answers) == len(self._recipients):
            if not any(is_yes(answer) for answer in self.answers):
                return self._end(RCPT, None)
            self.step = DATA
        return self._command()

    def _command(self) -> bytes:
        if self.step == HELO:
            return b"HELO %s\r\n" % self._words[HELO]
        if self.step == MAIL:
            return b"MAIL FROM:<%s>\r\n" % self._words[MAIL]
        if self.step == RCPT:
            return b"RCPT TO:<%s>\r\n" % self._recipients[len(self.answers)]
        return b"DATA\r\n" if self.step == DATA else b""

    def _end(self, failed_at: str, reply: Reply | None) -> bytes:
        self.step, self.failed_at, self.final = DONE, failed_at, reply
        return b"QUIT\r\n"

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
            self.nonsense = error.text
            self._end(BODY, None)
            return
        if reply is None:
            return
        if reply.code < 400:
            self.nonsense = reply.text
            self._end(BODY, None)
        else:
            self._end(DOT, reply)

    def hear_during_body(self, piece: bytes) -> None:
        """What the server says while it gets the body, kept until body_given() or cut_off()."""
        self._reader.feed(piece)


def is_yes(answer: Reply) -> bool:
    """Whether this answer to RCPT accepts the recipient."""
    return answer.code in TABLE[RCPT].good


def table() -> str:
    """The table of steps as text, for PIC."""
    rows = [f"{'step':9} {'goes on with':13} to"]
    for name, step in TABLE.items():
        codes = f"{step.good.start}..{step.good.stop - 1}" if step.good else "-"
        rows.append(f"{name:9} {codes:13} {step.next}")
    return "\n".join(rows) + "\n"
