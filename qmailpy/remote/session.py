"""One conversation on one connection: moves bytes between wire/smtp, wire/dots and the network, and watches the time.

It does not judge: what the end means for the mail is rules/report's.
"""

import asyncio
import errno
import posix

from qmailpy.remote.pace import Pace
from qmailpy.system.net import ConnectionLost, Stream
from qmailpy.wire import smtp
from qmailpy.wire.dots import ChunkEncoder, Encoder, Measure
from qmailpy.wire.lmtp import Content
from qmailpy.wire.smtp_body import WrongSizeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmailpy.system.tls import TlsStream
    from qmailpy.wire.transcript import Overheard

    Face = Stream | TlsStream
    Speaker = smtp.Client | Overheard
    Secure = Callable[[Stream], Awaitable[TlsStream]]

PIECE = 65536  # bytes of the message that are read, encoded and sent at a time
HANDSHAKE = 60  # seconds: who has taken STARTTLS and cannot go on must not cost timeoutremote


class Unreadable(Exception):
    """The message's file cannot be read; nobody has got it."""


class Message:
    """The stored message: a file that other conversations may be reading at the same time, or a pipe."""

    __slots__ = ("_at", "_descriptor", "_end", "_kept", "_seekable", "_start")

    def __init__(self, descriptor: int) -> None:
        """descriptor: read from where it stands; its position does not move, if it has one."""
        self._descriptor = descriptor
        self._kept: bytes | None = None  # a small message that was looked at: what is still to be given of it
        try:
            self._at = posix.lseek(descriptor, 0, 1)
            self._seekable = True
        except OSError as error:  # somebody runs qmail-remote by hand, with a pipe
            self._at, self._seekable = 0, error.errno != errno.ESPIPE
        self._start = self._at
        self._end: int | None = None  # where it ended when it was looked at

    def rewind(self) -> bool:
        """Back to its beginning, after some of it was read.  False: it can be read only once."""
        self._at, self._kept = self._start, None
        return self._seekable

    def read(self) -> bytes:
        """The next piece; empty at the end.  Errors: Unreadable."""
        if self._kept is not None:
            piece, self._kept = self._kept, b""
            return piece
        try:
            if not self._seekable:
                return posix.read(self._descriptor, PIECE)
            piece = posix.pread(self._descriptor, PIECE, self._at)
        except OSError:
            raise Unreadable from None
        self._at += len(piece)
        if self._end is not None and (self._at > self._end or (self._at < self._end and not piece)):
            raise Unreadable  # somebody writes into the queue: half of a message must not arrive as a whole one
        return piece

    async def content(self) -> Content | None:
        """Its size and whether it has 8-bit bytes; None where it can be read only once.  Errors: Unreadable."""
        if not self._seekable:
            return None
        start, measure, eight_bit, last = self._at, Measure(), False, b""
        self._end = None
        while piece := self.read():
            measure.feed(piece)
            eight_bit = eight_bit or not piece.isascii()
            if len(piece) == PIECE:
                await asyncio.sleep(0)  # a gigabyte takes a while, and other conversations go on
            last = piece
        if self._at == start + len(last):
            self._kept = last
        self._at, self._end = start, self._at
        return Content(measure.finish(), eight_bit=eight_bit)


async def converse(
    face: "Face", client: "Speaker", message: Message, patience: float, secure: "Secure"
) -> "Face | None":
    """Speak until client.step is DONE.  Result: the connection, if it stays open for another message; else None.

    face: plain, or what it became in a dialogue before; patience: seconds for each reply as a whole, and for the peer
    to take each piece; secure(stream): shakes hands.
    Errors: ConnectionLost, also for a peer that takes too long; Unreadable; what secure() raises. The client then says
    how far it came.
    """
    last = b""
    try:
        words = client.begin()
        while client.step != smtp.DONE:
            if client.step == smtp.TLS:
                with face.within(min(patience, HANDSHAKE)):
                    face, words = await _secured(face, client, secure)
                    continue
            with face.within(patience):
                if words:
                    await face.send(words)
                words = await _reply(face, client)
            if client.step == smtp.BODY:
                words = await _give_body(face, client, message, patience)
        last = words
    except TimeoutError:
        raise ConnectionLost from None
    finally:
        if not client.standing:
            face.close(last)
    return face if client.standing else None


async def _secured(plain: "Face", client: "Speaker", secure: "Secure") -> "tuple[TlsStream, bytes]":
    assert isinstance(plain, Stream)
    face = await secure(plain)
    return face, client.secured(face.facts, proven=face.proven)


async def _reply(stream: "Face", client: "Speaker") -> bytes:
    """Hear until something is to be said, or TLS or the body is wanted.  Result: what to say."""
    words = client.hear(b"")  # a server may have said more at once than was read
    while not words and client.step not in (smtp.TLS, smtp.BODY, smtp.DONE):
        words = client.hear(await stream.receive())
    return words


async def _give_body(stream: "Face", client: "Speaker", message: Message, patience: float) -> bytes:
    """Send the message; at its end the client awaits the last reply, or is done without having sent the end.

    The end goes out together with the last piece, and only after the client has been told: from then on a broken
    connection may mean a duplicate, before it does not.  Result: what to say next.
    """
    encoder, pace = ChunkEncoder() if client.body.in_chunks else Encoder(), Pace(patience)
    try:
        piece = message.read()
        while True:
            following = message.read() if piece else b""
            encoded = encoder.feed(piece)
            client.hear_during_body(stream.take())
            if not following:
                _require(stream)
                encoded += encoder.finish()
            if encoded or not following:
                words = client.give(encoded, last=not following)
                if client.step == smtp.DONE:
                    return words
                with stream.within(pace.of(len(words))):
                    await stream.send(words)
            if client.step == smtp.CHUNK:
                with stream.within(pace.of(0)):
                    words = await _reply(stream, client)
                if client.step != smtp.BODY:
                    return words
            if not following:
                return b""
            await asyncio.sleep(0)  # a quick peer never makes us wait: others go on, and its own early no is heard
            piece = following
    except WrongSizeError:  # somebody writes into the queue
        raise Unreadable from None
    except (TimeoutError, ConnectionLost) as broken:
        client.hear_during_body(stream.take())
        lost_at_end = client.step == smtp.DOT and isinstance(broken, ConnectionLost)  # a part of the last piece is here
        if (client.step == smtp.BODY or lost_at_end) and client.cut_off():
            return b""  # it had said no, and then gone; it cannot have said yes to what never left
        raise


def _require(stream: "Face") -> None:
    """That it is there, as far as we know, before the end is said: else nobody has got the message."""
    if not stream.is_quiet():
        raise ConnectionLost
