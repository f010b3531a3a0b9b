"""Handing one message to an LMTP server: what is said, in what time, and what its answers mean for the mail.

The server takes over only with a 2xx to the whole message. Whatever else happens leaves the mail here: for later where
it is 4xx, silence, or nonsense; for good where it is 5xx to the sender, the recipient, or the message. A greeting or
LHLO with 5xx is a server that is not ready, or not meant: a slip in a .qmail must not bounce mail.
Used by programs/qmail_lmtp; source: RFC 2033.
"""

from qmailpy.local.message import Message, Unreadable
from qmailpy.system.stream import SilentPeer, Stream
from qmailpy.verdict import PERM, TEMP, Die
from qmailpy.wire import lmtp
from qmailpy.wire.dots import Encoder

SAID_LIMIT = 1000  # bytes of the server's words in our report
_ONE_LINE = bytes(32 if byte < 32 or byte == 127 else byte for byte in range(256))


def deliver(
    stream: Stream, server: bytes, name: bytes, sender: bytes, recipients: list[bytes], message: Message, head: bytes
) -> None:
    """Hand it over.

    server: what it is called in reports; name: ours; addresses: for commands; head: put before the message.
    Errors: Die with the verdict of the worst answer; where one of several recipients is refused or put off, the others
    may have the message already.
    """
    try:
        client = lmtp.Client(name, sender, recipients, _content(message, head))
        _converse(stream, server, client, message, head)
    except Unreadable as trouble:
        raise trouble.death() from None
    _judge(server, client, recipients)


def _content(message: Message, head: bytes) -> lmtp.Content:
    size, eight_bit = 0, False
    for piece in message.pieces(head):
        size += len(piece) + piece.count(b"\n")
        eight_bit = eight_bit or not piece.isascii()
    return lmtp.Content(size, eight_bit=eight_bit)


def _converse(stream: Stream, server: bytes, client: lmtp.Client, message: Message, head: bytes) -> None:
    try:
        while client.step != lmtp.DONE:
            piece = stream.receive()
            if not piece:
                raise Die(TEMP, _lost(server, client, b"the connection died"))
            words = client.hear(piece)
            if words:
                stream.await_anew()
                stream.send(words)
            if client.step == lmtp.BODY:
                _send_body(stream, message, head)
                client.body_given()
    except SilentPeer:
        raise Die(TEMP, _lost(server, client, b"it is silent")) from None
    except OSError:
        raise Die(TEMP, _lost(server, client, b"the connection died")) from None
    _take_leave(stream)


def _send_body(stream: Stream, message: Message, head: bytes) -> None:
    encoder = Encoder()
    for piece in message.pieces(head):
        stream.await_anew()
        stream.send(encoder.feed(piece))
    stream.await_anew()
    stream.send(encoder.finish())


def _take_leave(stream: Stream) -> None:
    try:
        stream.send(lmtp.QUIT)
    except OSError:
        return  # everything has been said


def _lost(server: bytes, client: lmtp.Client, what: bytes) -> bytes:
    doubt = b" Possible duplicate!" if client.step == lmtp.DOT else b""
    return b"Connected to LMTP server %s but %s.%s (#4.4.2)" % (server, what, doubt)


def _judge(server: bytes, client: lmtp.Client, recipients: list[bytes]) -> None:
    """Raise Die unless every recipient has the message."""
    if client.nonsense is not None:
        said = _said(client.nonsense)
        raise Die(TEMP, b"Connected to LMTP server %s but it does not speak LMTP: %s (#4.3.0)" % (server, said))
    if client.final is not None and client.failed_at in (lmtp.GREETING, lmtp.LHLO):
        raise Die(TEMP, b"LMTP server %s wants no mail: %s" % (server, _said(client.final.text)))
    refusals = []
    for recipient, answer in zip(recipients, client.answers, strict=True):
        if answer is not None and answer.code // 100 == lmtp.GOOD[lmtp.DOT]:
            continue
        reply = answer or client.final  # which is a no, whatever its code is
        is_permanent = reply is not None and reply.code // 100 == 5
        refusals.append((PERM if is_permanent else TEMP, recipient, reply.text if reply else b"no answer"))
    if refusals:
        verdict, recipient, text = min(refusals, key=lambda refusal: refusal[0])  # in doubt later
        how = b"refused" if verdict == PERM else b"put off"
        raise Die(verdict, b"LMTP server %s %s %s: %s" % (server, how, recipient, _said(text)))


def _said(text: bytes) -> bytes:
    """The server's words on one line, bounded."""
    return text.rstrip(b"\n")[:SAID_LIMIT].translate(_ONE_LINE)
