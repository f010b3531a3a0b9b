"""TLS for connections that others make to us: certificates, and one connection as bytes in, bytes out.

What Python's own ssl takes for safe, whatever the distribution has made of it: no less than TLS 1.2, keys that are made
anew for each connection; no renegotiation, no compression, our own order of ciphers.
The bytes lie in memory: nobody waits here, an idle connection holds no large buffers, and nothing that came in clear
can be taken for something that came by TLS. The certificate is chosen by the name that the client asks for. Used by
receive/, through skeletons/dialog.
"""

import posix
import ssl

from qmailpy.system import certificate, client_hello, clock
from qmailpy.system.tls_trouble import TlsFailed
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SMTP, POP3 = ("smtp", "esmtp"), ("pop3",)  # what clients call these inside TLS, if they say anything
_ANY = b"_."  # how the name of a file begins whose certificate is for any first label
_ENDING, _KEY_ENDING = b".pem", b".key"
_CIPHERS = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"  # of TLS 1.2
_PIECE = 4096  # bytes that lie between OpenSSL and us at a time: its memory for them stays when they are gone
_LONGEST = 16384  # bytes of a record
_NO_SUCH_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"  # a fatal alert in clear: no_application_protocol (RFC 7301 3.2)
_SHOWN = 100  # characters of what a client says


class Contexts:
    """The certificates of a service.

    default: path of a file with a chain and its key, for clients that ask for no name of ours; folder: where there are
    such files for names, as mail.example.org.pem, or _.example.org.pem for any name with one label more, in lower case.
    """

    def __init__(
        self,
        default: bytes,
        folder: bytes,
        *,
        key: bytes | None = None,
        protocols: tuple[str, ...] = SMTP,
        note: "Callable[[bytes], None] | None" = None,
    ) -> None:
        """key: path of the default's key, if it has a file of its own; protocols: SMTP or POP3; note: is told, in
        sentences, what is doubtful.  Errors: Die TEMP where the default cannot be used.
        """
        self._protocols, self._note = protocols, note
        self._folder, self._names = folder, _names_in(folder)
        self._named: dict[bytes, ssl.SSLContext] = {}
        self._default = self._load(default, key or default)

    def load_all(self) -> None:
        """Read the certificates for names now, and not when they are first asked for: as long as we may."""
        for name in sorted(self._names):
            self._of(name)

    def secret(self) -> "Secret":
        """For a new connection."""
        return Secret(self)

    def find(self, name: bytes) -> ssl.SSLContext:
        """For a client that asks for this name.  name: any bytes."""
        name = name.lower().removesuffix(b".")
        for candidate in (name, _ANY + name.partition(b".")[2]):
            if candidate in self._names and (context := self._of(candidate)) is not None:
                return context
        return self._default

    def refusal(self, protocols: tuple[bytes, ...]) -> bytes | None:
        """Why a client that means to speak one of these is not for us; None: it may be."""
        if not protocols or any(protocol.decode("latin-1") in self._protocols for protocol in protocols):
            return None
        return b"the client wants to speak %s, which is not spoken here" % _printable(b" or ".join(protocols))

    def _of(self, name: bytes) -> ssl.SSLContext | None:
        """For a name that has a file; None, and noted once, where that cannot be used."""
        context = self._named.get(name)
        if context is None:
            path = b"%s/%s" % (self._folder, name)
            key = path + _KEY_ENDING
            try:
                context = self._load(path + _ENDING, key if _is_there(key) else path + _ENDING)
            except Die as death:
                self._doubt(death.text + b": the default certificate is shown in its place")
                self._names.discard(name)
                return None
            self._named[name] = context
        return context

    def _load(self, path: bytes, key: bytes) -> ssl.SSLContext:
        content = certificate.read(path)
        fault = certificate.fault(content, content if key == path else certificate.read(key))
        if fault is not None:
            raise Die(TEMP, b"unable to use %s: %s" % (path if b"certificate" in fault else key, fault))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(list(self._protocols))
        context.set_ciphers(_CIPHERS)
        try:
            context.load_cert_chain(path, key, password=b"")  # or OpenSSL would ask a terminal for one
        except ssl.SSLError as error:
            raise Die(TEMP, b"unable to use %s: %s" % (path, _words(error, "it is no PEM"))) from None
        except OSError:
            raise Die(TEMP, b"unable to read %s or %s" % (path, key)) from None
        end = certificate.end(content)
        if end is not None and end < clock.utc_digits(clock.now()):
            day = b"-".join((end[:4], end[4:6], end[6:8]))
            self._doubt(b"the certificate in %s has expired on %s: most clients will go away" % (path, day))
        return context

    def _doubt(self, sentence: bytes) -> None:
        if self._note is not None:
            self._note(sentence)


class Secret:
    """One connection, as skeletons/dialog.Secret; there it is said what each method promises."""

    __slots__ = ("_contexts", "_hello", "_incoming", "_outgoing", "_sealed", "_tls", "facts", "name")

    def __init__(self, contexts: Contexts) -> None:
        """Nothing has come."""
        self._contexts: Contexts | None = contexts
        self._hello = b""  # until it is whole
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sealed: list[bytes] = []  # for the client
        self._tls: ssl.SSLObject | None = None
        self.facts = self.name = b""

    def shake(self, came: bytes) -> bool:
        """Whether hands are shaken.  Errors: TlsFailed."""
        if self._tls is None:
            self._hello += came
            came = self._hello
            self._tls = self._begin(came)
            if self._tls is None:
                return False
            self._hello, self._contexts = b"", None
        self._incoming.write(came)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, ValueError) as error:
            raise TlsFailed(_words(error)) from None
        cipher = self._tls.cipher()
        self.facts = f"{self._tls.version()} {cipher[0] if cipher else '?'}".encode("ascii", "replace")
        return True

    def _begin(self, came: bytes) -> ssl.SSLObject | None:
        """The connection, once the client's first word is whole."""
        assert self._contexts is not None
        hello = client_hello.read(came)
        if hello is None:
            return None
        refusal = self._contexts.refusal(hello.protocols)
        if refusal is not None:
            self._outgoing.write(_NO_SUCH_PROTOCOL)
            raise TlsFailed(refusal)
        self.name = _printable(hello.name)
        return self._contexts.find(hello.name).wrap_bio(self._incoming, self._outgoing, server_side=True)

    def open(self, came: bytes) -> bytes:
        """What it says in clear.  Errors: TlsFailed; EOFError after the farewell."""
        assert self._tls is not None
        clear = []
        view = memoryview(came)
        try:
            while True:
                self._incoming.write(view[:_PIECE])
                view = view[_PIECE:]
                try:
                    while piece := self._tls.read(_LONGEST):
                        clear.append(piece)
                except ssl.SSLWantReadError:
                    if view:
                        continue
                    return b"".join(clear)
                except ssl.SSLZeroReturnError:  # as the end of reading, if we have said farewell ourselves
                    break
                break  # the farewell: what may stand behind it was not said by the client
        except (ssl.SSLError, ValueError) as error:
            raise TlsFailed(_words(error)) from None
        if not clear:
            raise EOFError
        return b"".join(clear)

    def close(self, content: bytes) -> None:
        """Say this.  Errors: TlsFailed."""
        assert self._tls is not None
        view = memoryview(content)
        try:
            while view:
                view = view[self._tls.write(view[:_PIECE]) :]
                self._sealed.append(self._outgoing.read())
        except (ssl.SSLError, ValueError) as error:
            raise TlsFailed(_words(error)) from None

    def farewell(self) -> None:
        """Nothing more will come from us; whether the client says so too is not waited for."""
        try:
            if self._tls is not None:
                self._tls.unwrap()
        except (ssl.SSLError, ValueError):  # above all that it has not said so yet
            return

    def output(self) -> bytes:
        """For the client."""
        self._sealed.append(self._outgoing.read())
        content = b"".join(self._sealed)
        self._sealed.clear()
        return content


def _names_in(folder: bytes) -> set[bytes]:
    """The names that have a certificate there."""
    try:
        found = posix.listdir(folder)
    except OSError:
        return set()
    return {name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING)}


def _is_there(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


_MEANINGS = {
    "HTTP_REQUEST": b"the client speaks HTTP",
    "HTTPS_PROXY_REQUEST": b"the client speaks HTTP",
    "KEY_VALUES_MISMATCH": b"its private key is another certificate's",
    "NO_SHARED_CIPHER": b"the client knows no cipher that is safe",
    "UNSUPPORTED_PROTOCOL": b"the client knows no version of TLS that is safe",
    "WRONG_VERSION_NUMBER": b"the client does not speak TLS",
}


def _words(error: Exception, unknown: str = "it is no TLS") -> bytes:
    """OpenSSL's reason, as a clause.  unknown: where it gives none."""
    reason = getattr(error, "reason", None) or unknown
    words = reason.lower().replace("_", " ") if reason.isupper() else reason
    return _MEANINGS.get(reason) or _printable(words.encode("utf-8", "replace"))


def _printable(text: bytes) -> bytes:
    return bytes(byte if 32 <= byte <= 126 else 0x3F for byte in text[:_SHOWN])
