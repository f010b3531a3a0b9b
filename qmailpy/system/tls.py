"""TLS for connections that we make; for those that others make to us: system/tls_server. Nobody else imports ssl.

A TLS connection has the face of a plain one (system/net.Stream): bytes in, bytes out. The bytes in between lie in
memory, so a conversation costs little, and nothing that came in clear can be taken for something that came by TLS.
Certificates are proven by the system's store ($SSL_CERT_FILE, $SSL_CERT_DIR) and the server's name, or by their
fingerprint, or not at all: that is the caller's to say. The name is always told to the server (SNI) unless it is an
address.  Who uses it: remote/.
"""

import hashlib
import hmac
import ssl

from qmailpy.system import clock
from qmailpy.system.net import ConnectionLost, Stream, TlsError

RENEWED = 600.0  # seconds after which the system's store is read again
PIECE = 65536  # bytes


class Tls:
    """Makes plain connections secret.  One for all conversations of a process."""

    def __init__(self) -> None:
        """The system's store is read when it is needed."""
        self._named: ssl.SSLContext | None = None
        self._read_at = 0.0
        self._anybody: ssl.SSLContext | None = None

    async def secure(self, stream: Stream, name: bytes, fingerprint: bytes, *, named: bool) -> "TlsStream":
        """Shake hands.

        name: the server's, or its address in digits; fingerprint: SHA-256 of its certificate, empty: any; named:
        whether the certificate must be valid for that name.
        Errors: TlsError; ConnectionLost. The caller bounds the time.
        """
        context = self._proving() if named else self._open()
        try:
            secret = TlsStream(stream, context, name.decode("utf-8"))
        except (ValueError, UnicodeError, ssl.SSLError):
            raise TlsError(b"its name cannot stand in a certificate", untrusted=named) from None
        try:
            await secret.shake_hands()
        except ssl.SSLCertVerificationError as error:
            raise TlsError(_printable(error.verify_message.removesuffix(".")), untrusted=True) from None
        except ssl.SSLError as error:
            raise TlsError(_printable((error.reason or "no reason is known").lower().replace("_", " "))) from None
        if fingerprint:
            found = secret.fingerprint()
            if not hmac.compare_digest(found, fingerprint):
                text = b"its fingerprint is " + found.hex().encode("ascii")
                raise TlsError(text, untrusted=True)
        secret.proven = named or bool(fingerprint)
        return secret

    def _proving(self) -> ssl.SSLContext:
        now = clock.monotonic()
        if self._named is None or now > self._read_at + RENEWED:
            self._named, self._read_at = ssl.create_default_context(), now
            self._named.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._named

    def _open(self) -> ssl.SSLContext:
        if self._anybody is None:
            self._anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._anybody.check_hostname = False
            self._anybody.verify_mode = ssl.CERT_NONE
            self._anybody.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._anybody


class TlsStream:
    """One connection, as system/net.Stream.  proven: whether the peer is the one that it should be."""

    def __init__(self, below: Stream, context: ssl.SSLContext, name: str) -> None:
        """name: for SNI, and to be proven if the context does that.  Errors: ValueError for what is no name."""
        self._below, self.within = below, below.within
        self._ended = self.proven = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    async def shake_hands(self) -> None:
        """Errors: ssl.SSLError, ConnectionLost."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._push()
                self._incoming.write(await self._below.receive())
                continue
            except ssl.SSLError:
                self._below.say(self._outgoing.read())  # the alert: its log will say why we have gone
                raise
            await self._push()
            return

    @property
    def facts(self) -> bytes:
        """Version, cipher, and whether the certificate was verified."""
        cipher = self._tls.cipher()
        verified = "certificate verified" if self.proven else "certificate not verified"
        return f"{self._tls.version()} {cipher[0] if cipher else '?'}, {verified}".encode("ascii", "replace")

    def fingerprint(self) -> bytes:
        """SHA-256 of the peer's certificate; empty if it has shown none."""
        certificate = self._tls.getpeercert(binary_form=True)
        return hashlib.sha256(certificate).digest() if certificate else b""

    async def _push(self) -> None:
        content = self._outgoing.read()
        if content:
            await self._below.send(content)

    async def receive(self) -> bytes:
        """What has come, at least one byte.  Errors: ConnectionLost."""
        while not (content := self.take()):
            if self._ended:
                raise ConnectionLost
            self._incoming.write(await self._below.receive())
        return content

    def take(self) -> bytes:
        """What has come by now, perhaps nothing."""
        self._incoming.write(self._below.take())
        pieces = []
        try:
            while piece := self._tls.read(PIECE):
                pieces.append(piece)
            self._ended = True
        except ssl.SSLWantReadError:
            self._below.say(self._outgoing.read())  # new keys, if it asked for them
        except ssl.SSLError:  # its farewell, or bytes that nobody can have meant
            self._ended = True
        return b"".join(pieces)

    def is_quiet(self) -> bool:
        """Whether the peer is there, as far as we know, and has said nothing that nobody has taken."""
        return not self.take() and not self._ended and self._below.is_quiet()

    async def send(self, content: bytes) -> None:
        """Give it to the kernel; comes back when there is room for more.  Errors: ConnectionLost."""
        while True:
            try:
                self._tls.write(content)
                break
            except ssl.SSLWantReadError:  # it shakes hands once more, as it may before TLS 1.3
                await self._push()
                self._incoming.write(await self._below.receive())
            except ssl.SSLError:
                raise ConnectionLost from None
        await self._push()

    def close(self, last: bytes = b"") -> None:
        """Say the last words and farewell, without waiting for anything, and be gone."""
        try:
            if last:
                self._tls.write(last)
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):  # it wants the other's farewell, for which we do not wait
            pass
        self._below.close(self._outgoing.read())


def _printable(text: str) -> bytes:
    """OpenSSL's words, which may hold a part of the peer's certificate."""
    return bytes(byte if 32 <= byte <= 126 else 0x3F for byte in text.encode("utf-8", "replace"))[:300]
