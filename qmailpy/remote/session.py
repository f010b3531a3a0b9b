"""One conversation on one connection: moves bytes between wire/smtp, wire/dots and the network, and watches the time.

It does not judge: what the end means for the mail is rules/report's.
"""

import asyncio
import errno
import posix

from qmailpy.system.net import ConnectionLost, Stream
from qmailpy.wire import smtp
from qmailpy.wire.dots import Encoder
from qmailpy.wire.lmtp import Content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmailpy.system.tls import TlsStream

    Face = Stream | TlsStream
    Secure = Callable[[Stream], Awaitable[TlsStream]]

PIECE = 65536  # bytes of the message that are read, encoded and sent at a time
HANDSHAKE = 60  # seconds: who has taken STARTTLS and cannot go on must not cost timeoutremote


class Unreadable(Exception):
    """The message's file cannot be read; nobody has got it."""


class Message:
    """The stored message: a file that other conversations may be reading at the same time, or a pipe."""

    __slots__ = ("_at", "_descriptor", "_seekable")

    def __init__(self, descriptor: int) -> None:
        """descriptor: read from where it stands; its position does not move, if it has one."""
        self._descriptor = descriptor
        try:
            self._at = posix.lseek(descriptor, 0, 1)
            self._seekable = True
        except OSError as error:  # somebody runs qmail-remote by hand, with a pipe
            self._at, self._seekable = 0, error.errno != errno.ESPIPE

    def read(self) -> bytes:
        """The next piece; empty at the end.  Errors: Unreadable."""
        try:
            if not self._seekable:
                return posix.read(self._descriptor, PIECE)
            piece = posix.pread(self._descriptor, PIECE, self._at)
        except OSError:
            raise Unreadable from None
        self._at += len(piece)
        return piece

    async def content(self) -> Content | None:
        """Its size and whether it has 8-bit bytes; None where it can be read only once.  Errors: Unreadable."""
        if not self._seekable:
            return None
        start, size, eight_bit = self._at, 0, False
        while piece := self.read():
            size += len(piece) + piece.count(b"\n")  # each LF becomes two bytes
            eight_bit = eight_bit or not piece.isascii()
            if len(piece) == PIECE:
                await asyncio.sleep(0)  # a gigabyte takes a while, and other conversations go on
        self._at = start
        return Content(size, eight_bit=eight_bit)


async def converse(
    face: "Face", client: smtp.Client, message: Message, patience: float, secure: "Secure"
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
                async with asyncio.timeout(min(patience, HANDSHAKE)):
                    face, words = await _secured(face, client, secure)
                    continue
            async with asyncio.timeout(patience):
                if words:
                    await face.send(words)
                words = await _reply(face, client)
            if client.step == smtp.BODY:
                await _give_body(face, client, message, patience)
                words = b""
        last = words
    except TimeoutError:
        raise ConnectionLost from None
    finally:
        if not client.standing:
            face.close(last)
    return face if client.standing else None


async def _secured(plain: "Face", client: smtp.Client, secure: "Secure") -> "tuple[TlsStream, bytes]":
    assert isinstance(plain, Stream)
    face = await secure(plain)
    return face, client.secured(face.facts, proven=face.proven)


async def _reply(stream: "Face", client: smtp.Client) -> bytes:
    """Hear until something is to be said, or TLS or the body is wanted.  Result: what to say."""
    words = client.hear(b"")  # a server may have said more at once than was read
    while not words and client.step not in (smtp.TLS, smtp.BODY, smtp.DONE):
        words = client.hear(await stream.receive())
    return words


async def _give_body(stream: "Face", client: smtp.Client, message: Message, patience: float) -> None:
    """Send the message; at its end the client awaits the last reply, or is done without having sent the dot.

    The end goes out together with the last piece, and only after the client has been told: from then on a broken
    connection may mean a duplicate, before it does not.
    """
    encoder = Encoder()
    try:
        piece = message.read()
        while True:
            following = message.read() if piece else b""
            encoded = encoder.feed(piece)
            client.hear_during_body(stream.take())
            if not following:
                client.body_given()
                if client.step == smtp.DONE:
                    return
                encoded += encoder.finish()
            async with asyncio.timeout(patience):
                await stream.send(encoded)
            if not following:
                return
            piece = following
    except (TimeoutError, ConnectionLost) as broken:
        if client.step == smtp.DOT and isinstance(broken, ConnectionLost):
            return  # what it said before it went is its answer, if it is one
        client.hear_during_body(stream.take())
        if client.step == smtp.BODY and client.cut_off():
            return  # it had said no, and then gone
        raise
