"""One conversation on one connection: moves bytes between wire/smtp, wire/dots and the network, and watches the time.

It does not judge: what the end means for the mail is rules/report's.
"""

import asyncio
import errno
import posix

from qmailpy.system.net import ConnectionLost, Stream
from qmailpy.wire import smtp
from qmailpy.wire.dots import Encoder

PIECE = 65536  # bytes of the message that are read, encoded and sent at a time


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


async def converse(stream: Stream, client: smtp.Client, message: Message, patience: float) -> None:
    """Speak until client.step is DONE, and close the connection.

    patience: seconds for each reply as a whole, and for the peer to take each piece.
    Errors: ConnectionLost, also for a peer that takes too long; Unreadable. The client then says how far it came.
    """
    last = b""
    try:
        words = client.hear(b"")
        while client.step != smtp.DONE:
            async with asyncio.timeout(patience):
                if words:
                    await stream.send(words)
                words = await _reply(stream, client)
            if client.step == smtp.BODY:
                await _give_body(stream, client, message, patience)
                words = b""
        last = words
    except TimeoutError:
        raise ConnectionLost from None
    finally:
        stream.close(last)


async def _reply(stream: Stream, client: smtp.Client) -> bytes:
    """Hear until something is to be said, or the body is wanted.  Result: what to say."""
    words = client.hear(b"")  # a server may have said more at once than was read
    while not words and client.step not in (smtp.BODY, smtp.DONE):
        words = client.hear(await stream.receive())
    return words


async def _give_body(stream: Stream, client: smtp.Client, message: Message, patience: float) -> None:
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
