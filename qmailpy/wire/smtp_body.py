"""How a message itself goes to an SMTP server, after DATA or in chunks (RFC 3030), and what it answers meanwhile.

Chunks have no dots and no end to look for; each has its length before it. None goes before somebody is to get the
message: who takes nobody, or does not understand BDAT, and does not read a chunk to its end takes it for commands, and
the words of a message are a stranger's. A message whose size is known is one chunk, or several of CHUNK_SIZE where the
server reads on before it has answered (PIPELINING): the answers to small ones are held back by TCP, 40 ms each time.
Of one that is read only once each piece is a chunk. After the first no there is no other. Used by wire/smtp.
"""

from qmailpy.wire.smtp_reply import Reply, ReplyReader
from qmailpy.wire.smtp_table import BODY, CHUNK, DOT, TABLE

NOT_UNDERSTOOD = range(500, 505)  # to BDAT, from a server that offers it all the same
CHUNK_SIZE = 1 << 24  # bytes: who wants to refuse need not hear more, and it fits whatever a server counts with


class WrongSizeError(Exception):
    """There is more of the message, or less, than was counted: it goes no further."""


class Body:
    """Of one message.

    in_chunks: by BDAT; unanswered: chunks before the last whose answer is still to come; commands: that were among the
    words of the last give().
    """

    __slots__ = ("_ahead", "_begun", "_left", "_open", "commands", "in_chunks", "unanswered")

    def __init__(self, *, in_chunks: bool = False, ahead: bool = False, size: int | None = None) -> None:
        """ahead: the server reads on before it has answered; size: of all that give() will get, None: not known."""
        self.in_chunks, self._ahead = in_chunks, ahead
        self._left = size  # bytes in chunks that have not begun
        self._open = 0  # bytes that are to come of the chunk that has begun
        self._begun = False
        self.unanswered = 0
        self.commands: list[bytes] = []

    @property
    def failed_at(self) -> str:
        """What a no means that comes before the end."""
        return CHUNK if self.in_chunks else DOT

    def give(self, piece: bytes, *, last: bool) -> tuple[str, bytes]:
        """The step that follows this piece, and what to send.  piece: a byte at least, but for the last.

        Errors: WrongSizeError.
        """
        if not self.in_chunks:
            return DOT if last else BODY, piece
        self.commands = []
        if self._left is not None:
            return DOT if last else BODY, self._in_large_chunks(piece, self._left, last=last)
        if not last and self._ahead:
            self.unanswered += 1
        step = DOT if last else BODY if self._ahead else CHUNK
        return step, self._head(len(piece), last=last) + piece

    def _in_large_chunks(self, piece: bytes, left: int, *, last: bool) -> bytes:
        words = []
        while piece or not self._begun:
            if not self._open:
                if self._begun and not left:
                    raise WrongSizeError
                self._open = min(left, CHUNK_SIZE) if self._ahead else left
                self._begun, left = True, left - self._open
                words.append(self._head(self._open, last=not left))
            fitting, piece = piece[: self._open], piece[self._open :]
            words.append(fitting)
            self._open -= len(fitting)
            if left and not self._open:
                self.unanswered += 1
        self._left = left
        if last is bool(left or self._open):  # the end that was counted is the end, or nobody gets it
            raise WrongSizeError
        return b"".join(words)

    def _head(self, size: int, *, last: bool) -> bytes:
        command = b"BDAT %d%s" % (size, b" LAST" * last)
        self.commands.append(command)
        return command + b"\r\n"

    def early(self, reader: ReplyReader) -> Reply | None:
        """What was said before the end of the message, and is no answer to a chunk: a no, or nonsense.

        Errors: ReplyError.
        """
        while (reply := reader.next()) is not None:
            if not self.unanswered or reply.code not in TABLE[CHUNK].good:
                return reply
            self.unanswered -= 1
        return None
