"""The client's side of an LMTP dialogue: a table of steps, bytes in, bytes out, no I/O (RFC 2033, 1870, 6152, 6531).

As wire/smtp, but it begins with LHLO, uses what the server offers, and after the message there is one reply for each
recipient that was accepted. Who drives it gives the body (wire/dots) at the step BODY.
Used by local/lmtp.
"""

from qmailpy.wire.smtp_reply import Reply, ReplyError, ReplyReader

GREETING, LHLO, MAIL, RCPT, DATA, BODY, DOT, DONE = "greeting", "LHLO", "MAIL", "RCPT", "DATA", "body", "dot", "done"

GOOD = {GREETING: 2, LHLO: 2, MAIL: 2, RCPT: 2, DATA: 3, DOT: 2}  # the class of reply that leads on
QUIT = b"QUIT\r\n"  # what the client says last, whether or not anybody hears it
NEXT = {GREETING: LHLO, LHLO: MAIL, MAIL: RCPT, RCPT: DATA, DATA: BODY, BODY: DOT, DOT: DONE}


class Content:
    """What the server may want to know of the message before it comes.

    size: bytes on the wire, of the message without its dots; eight_bit: whether a byte above 127 is in it.
    """

    __slots__ = ("eight_bit", "size")

    def __init__(self, size: int, *, eight_bit: bool) -> None:
        """As counted."""
        self.size, self.eight_bit = size, eight_bit


class Client:
    """One dialogue: one message to one server.

    step: where it stands; answers: the reply that decided about each recipient, in their order, None while there is
    none; final: the reply that ended the dialogue for all that have no answer, None if none did; failed_at: the step
    that it was said to; nonsense: what the server said instead of a reply, None if it spoke LMTP.
    """

    __slots__ = (
        *("_accepted", "_asked", "_content", "_name", "_offers", "_reader", "_recipients", "_sender"),
        *("answers", "failed_at", "final", "nonsense", "step"),
    )

    def __init__(self, name: bytes, sender: bytes, recipients: list[bytes], content: Content) -> None:
        """name: ours; addresses as they stand in commands.  None of them has CR, LF or NUL."""
        assert not any(byte in word for word in (name, sender, *recipients) for byte in b"\r\n\0")
        self._name, self._sender, self._recipients, self._content = name, sender, recipients, content
        self._reader = ReplyReader()
        self._offers: set[bytes] = set()
        self._asked = 0  # recipients that got their answer to RCPT
        self._accepted: list[int] = []  # those that wait for one after the message
        self.step = GREETING
        self.answers: list[Reply | None] = [None] * len(recipients)
        self.final: Reply | None = None
        self.failed_at = ""
        self.nonsense: bytes | None = None

    def hear(self, piece: bytes) -> bytes:
        """More of what the server says.  Result: what to send; empty while nothing is to be said, and at the end."""
        self._reader.feed(piece)
        while self.step not in (BODY, DONE):
            try:
                reply = self._reader.next()
            except ReplyError as error:
                self.nonsense = error.text
                self.step = DONE
                break
            if reply is None:
                break
            words = self._judge(reply)
            if words:
                return words
        return b""

    def body_given(self) -> None:
        """The body and its end have been sent.

        What the server had said by then is no answer to it: a yes would be a lie, and ends the dialogue as nonsense;
        a no is believed, for all: a server may refuse what it has not heard to its end.
        """
        assert self.step == BODY
        self.step = DOT
        try:
            early = self._reader.next()
        except ReplyError as error:
            self.nonsense, self.step = error.text, DONE
            return
        if early is None:
            return
        self.step = DONE
        if early.code < 400:
            self.nonsense = early.text
        else:
            self.final, self.failed_at = early, DATA

    def _judge(self, reply: Reply) -> bytes:
        good = reply.code // 100 == GOOD[self.step]
        if self.step == RCPT:
            return self._answer_to_recipient(reply, good=good)
        if self.step == DOT:
            self.answers[self._accepted.pop(0)] = reply
            return b"" if self._accepted else self._end()
        if not good:
            self.final, self.failed_at = reply, self.step
            return self._end()
        if self.step == LHLO:
            self._offers = {line[4:].partition(b" ")[0].upper() for line in reply.text.split(b"\n")[1:]}
        self.step = NEXT[self.step]
        return self._command()

    def _answer_to_recipient(self, reply: Reply, *, good: bool) -> bytes:
        if good:
            self._accepted.append(self._asked)
        else:
            self.answers[self._asked] = reply
        self._asked += 1
        if self._asked == len(self._recipients):
            if not self._accepted:
                return self._end()
            self.step = NEXT[RCPT]
        return self._command()

    def _command(self) -> bytes:
        if self.step == LHLO:
            return b"LHLO %s\r\n" % self._name
        if self.step == MAIL:
            return b"MAIL FROM:<%s>%s\r\n" % (self._sender, self._parameters())
        if self.step == RCPT:
            return b"RCPT TO:<%s>\r\n" % self._recipients[self._asked]
        return b"DATA\r\n" if self.step == DATA else b""

    def _parameters(self) -> bytes:
        """What of RFC 1870, 6152 and 6531 the server has offered and this message needs."""
        words = b""
        if b"SIZE" in self._offers:
            words += b" SIZE=%d" % self._content.size
        if b"8BITMIME" in self._offers and self._content.eight_bit:
            words += b" BODY=8BITMIME"
        if b"SMTPUTF8" in self._offers and not all(word.isascii() for word in (self._sender, *self._recipients)):
            words += b" SMTPUTF8"
        return words

    def _end(self) -> bytes:
        self.step = DONE
        return b""


def table() -> str:
    """The table of steps as text, for PIC."""
    rows = [f"{'step':9} {'goes on with':13} to"]
    rows += [
        f"{name:9} {f'{GOOD[name]}xx' if name in GOOD else '-':13} {following}" for name, following in NEXT.items()
    ]
    return "\n".join(rows) + "\n"
