"""A conversation with a client, written once as a coroutine, and held in one of two ways.

A protocol program of ours (SMTP, QMTP, QMQP, POP3) is `async def converse(dialog, ...)`: it says and hears bytes, asks
slow questions, hands a message over, and never knows whether it has a process of its own (skeletons/alone: descriptors
0 and 1, under anybody's TCP server) or shares one with thousands (receive/listener). What it awaits is in Dialog; what
differs between the two ways are the methods that raise NotImplementedError here.

What is said is held back until the client must be waited for: a client that sends commands together gets the answers
together. TLS lies between: what came in clear can never be taken for something that came by TLS.
"""

from qmailpy.system import tls_trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmailpy.skeletons.submit import Result
    from qmailpy.wire.parameters import Parameters

    class Secret(Protocol):
        """One TLS connection, seen from the server: bytes in, bytes out (system/tls_server)."""

        facts: bytes  # as 'TLSv1.3 TLS_AES_256_GCM_SHA384', once hands are shaken
        name: bytes  # that the client asked for (SNI); empty if it asked for none

        def shake(self, came: bytes) -> bool:
            """More bytes from the client (or none, to begin): whether hands are shaken now.  Errors: TlsFailed."""

        def open(self, came: bytes) -> bytes:
            """What these bytes (or those before) say in clear; perhaps nothing.  Errors: TlsFailed; EOFError after the
            client's farewell, once everything before it has been given out.
            """

        def close(self, content: bytes) -> None:
            """Say this; output() then has it."""

        def farewell(self) -> None:
            """Say that nothing more will come."""

        def output(self) -> bytes:
            """What is to be sent to the client now."""

    class Incoming(Protocol):
        """One message on its way into the queue."""

        async def write(self, piece: bytes) -> None:
            """More of it, lines ending LF."""

        def fail(self) -> None:
            """It will not be whole: close() then only cleans up, and need not be called after a lost client."""

        async def close(self, sender: bytes, recipients: list[bytes], parameters: "Parameters | None" = None) -> Result:
            """The envelope; what became of it all.  As skeletons/submit.Submission.close."""


TlsFailed = tls_trouble.TlsFailed
LINE_LIMIT = 64 << 10  # bytes of a line that line() will hold, whatever it is asked for


class Silent(Exception):
    """The client has let its time pass, or takes too long altogether."""


class Gone(Exception):
    """The client has gone: it reads no more, or has hung up where it should have spoken."""


class Dialog:
    """One conversation.

    environment: what is known of the connection, by tcpserver's names (TCPREMOTEIP, RELAYCLIENT, ...), a copy of its
    own; patience: seconds that the client has for each thing that is awaited; until: when everything must be over, on
    the monotonic clock, or None.
    """

    __slots__ = ("_ended", "_held", "_output", "_said", "environment", "patience", "secret", "until")

    def __init__(self, environment: dict[bytes, bytes], patience: float) -> None:
        """Nothing has been said."""
        self.environment = environment
        self.patience = patience
        self.until: float | None = None
        self.secret: Secret | None = None  # once TLS is spoken
        self._held = b""  # heard, and not yet taken; in clear
        self._said: list[bytes] = []  # in clear
        self._ended = False

    # hearing

    @property
    def pending(self) -> bool:
        """Whether the client has said something that nobody has taken yet, as far as is known without waiting."""
        return bool(self._held)

    async def receive(self) -> bytes:
        """What has come, at least one byte; empty: the client has ended.  Errors: Silent, Gone, TlsFailed."""
        if self._held:
            taken, self._held = self._held, b""
            return taken
        while not self._ended:
            if self._said:
                await self.flush()
            came = await self._take()
            self._ended = not came
            if self.secret is None or not came:
                return came
            if clear := self._opened(came):
                return clear
            if self._ended:
                break
            await self._push()
        return b""

    def _opened(self, came: bytes) -> bytes:
        """What these bytes say in clear; after the client's farewell it has ended.  Errors: TlsFailed."""
        assert self.secret is not None
        try:
            return self.secret.open(came)
        except EOFError:
            self._ended = True
            return b""

    def unread(self, rest: bytes) -> None:
        """Give back the end of what was received: it comes again, first."""
        self._held = rest + self._held

    async def line(self, limit: int) -> bytes | None:
        """The next line, without its LF and one CR before it; None: the client has ended without finishing one.

        limit: bytes, at most LINE_LIMIT; of a longer line limit + 1 bytes are given, the rest is thrown away.
        Errors: as receive().
        """
        limit = min(limit, LINE_LIMIT)
        line, found, rest = self._held.partition(b"\n")
        self._held = b""
        while not found:
            line = line[: limit + 2]  # one more than what may be a whole line and its CR
            came = await self.receive()
            if not came:
                return None
            more, found, rest = came.partition(b"\n")
            line += more[: limit + 2]
        self._held = rest
        return line.removesuffix(b"\r") if len(line) <= limit + 1 else line[: limit + 1]

    async def early(self, seconds: float) -> bool:
        """Wait so long before speaking: whether the client has spoken (or hung up) unasked.

        Errors: Gone, TlsFailed.
        """
        if not self._held and not self._ended:
            try:
                patience, self.patience = self.patience, seconds
                came = await self._take()
            except Silent:
                return False
            finally:
                self.patience = patience
            self._ended = not came
            self._held = came if self.secret is None or not came else self._opened(came)
        return True

    # saying

    def say(self, content: bytes) -> None:
        """Goes out with the next flush(), or when the client must be waited for."""
        self._said.append(content)

    async def flush(self) -> None:
        """Send everything that was said; comes back when the kernel has it.  Errors: Silent, Gone."""
        if not self._said:
            return
        content = b"".join(self._said)
        self._said.clear()
        if self.secret is None:
            await self._give(content)
            return
        self.secret.close(content)
        await self._push()

    async def _push(self) -> None:
        assert self.secret is not None
        content = self.secret.output()
        if content:
            await self._give(content)

    # TLS

    async def shake_hands(self, secret: "Secret") -> None:
        """Speak TLS from here on: everything said before goes out in clear first.

        The caller has made sure that nothing is pending; what is, is thrown away, never taken for something secret.
        Errors: TlsFailed, Silent, Gone; the client has been told by TLS's own means.
        """
        await self.flush()
        self._held = b""
        came = b""
        try:
            while not secret.shake(came):
                if content := secret.output():
                    await self._give(content)
                came = await self._take()
                if not came:
                    self._ended = True
                    raise Gone
        finally:
            if content := secret.output():
                await self._give(content)
        self.secret = secret
        self._held = self._opened(b"")  # what came in the same breath as the last word of the handshake

    async def finish(self) -> None:
        """Say what is left to be said, and TLS's farewell; the connection itself is closed by who opened it."""
        try:
            await self.flush()
            if self.secret is not None:
                self.secret.farewell()
                await self._push()
        except (Silent, Gone, TlsFailed):
            return

    # what the two ways do differently

    async def _take(self) -> bytes:
        """What has come from the kernel, at least a byte; empty: the end.  Errors: Silent; Gone."""
        raise NotImplementedError

    async def _give(self, content: bytes) -> None:
        """All of it to the kernel.  Errors: Silent, Gone."""
        raise NotImplementedError

    async def ask(self, question: bytes, request: bytes) -> bytes:
        """The answer of skeletons/questions' question of this name; it may take long (names, accounts, programs).

        Errors: OSError: it could not be asked, or whoever answered died. In doubt the verdict is temporary.
        """
        raise NotImplementedError

    def begin(self) -> "Incoming":
        """A message is coming.  Raises nothing: trouble shows in its close()."""
        raise NotImplementedError

    def note(self, line: bytes) -> None:
        """One line for the log, in the fixed grammar of man/qmail-log.5; never to the client.  line: without LF."""
        raise NotImplementedError

    def now(self) -> float:
        """The monotonic clock, seconds."""
        raise NotImplementedError
