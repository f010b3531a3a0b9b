"""Letting a client log in: the server's side of SASL, no I/O; the client's is wire/sasl.

PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-256 (RFC 5802, 7677, without channel binding). A mechanism
knows no passwords: it says what the client is to be told, or what somebody who knows them must verify, one step after
the other. Nobody acts for somebody else, and both halves of a login are bounded. Used by receive/auth.
"""

import binascii
import hashlib
import hmac

from qmailpy.wire import sasl

LONGEST_LOGIN = 255  # bytes
LONGEST_PASSWORD = 1020  # bytes: 255 characters (RFC 4616 2)
LONGEST_SIGNED = 4096  # bytes of what a client signs
_LONGEST_NONCE = 256  # bytes of the client's
_DIGEST = 32  # hexadecimal digits of an MD5
_PROOF = 32  # bytes of a SHA-256
_HEX = b"0123456789abcdef"
_NO_BINDING = (b"n", b"y")  # the client cannot, or thinks that we cannot: we offer no mechanism that does

# what is verified
PASSWORD, CRAM_MD5, APOP = b"password", b"cram-md5", b"apop"
SCRAM_FIRST, SCRAM_FINAL = b"scram-first", b"scram-final"


class Malformed(Exception):
    """The client does not keep to the mechanism."""


class Say:
    """The client is told this, and answers."""

    __slots__ = ("challenge",)

    def __init__(self, challenge: bytes) -> None:
        """challenge: not yet in base64."""
        self.challenge = challenge


class Verify:
    """Somebody who knows the passwords is asked.

    method, and what secret and challenge are then: PASSWORD (the password, nothing), CRAM_MD5 and APOP (the digest, and
    what was digested), SCRAM_FIRST (nothing, nothing: salt and iterations are wanted), SCRAM_FINAL (the proof in
    hexadecimal, what was signed: our own signature is wanted).
    """

    __slots__ = ("challenge", "login", "method", "secret")

    def __init__(self, method: bytes, login: bytes, secret: bytes = b"", challenge: bytes = b"") -> None:
        """Errors: Malformed for a login that nobody can have."""
        if not 0 < len(login) <= LONGEST_LOGIN or len(secret) > LONGEST_PASSWORD or len(challenge) > LONGEST_SIGNED:
            raise Malformed
        if b"\0" in login + secret + challenge:
            raise Malformed
        self.method, self.login, self.secret, self.challenge = method, login, secret, challenge


class Plain:
    """All in one word."""

    name = b"PLAIN"
    conceals = False  # whether a listener learns nothing that lets him log in

    def __init__(self, _nonce: bytes) -> None:
        """nonce: not needed."""

    def begin(self, initial: bytes | None) -> "Say | Verify":
        """The command has come, perhaps with the client's first word.  Errors: Malformed, of all methods here."""
        return Say(b"") if initial is None else self.hear(initial)

    def hear(self, word: bytes) -> "Say | Verify":
        """The client has answered a Say."""
        parts = word.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]) or not parts[2]:
            raise Malformed
        return Verify(PASSWORD, parts[1], parts[2])

    def told(self, _data: bytes) -> "Say | None":
        """A Verify was answered with yes, and this; None: the client is who it says."""
        return None


class Login:
    """Two questions."""

    name = b"LOGIN"
    conceals = False

    def __init__(self, _nonce: bytes) -> None:
        """nonce: not needed."""
        self._login: bytes | None = None

    def begin(self, initial: bytes | None) -> "Say | Verify":
        """Some clients say the name with the command."""
        return Say(b"Username:") if initial is None else self.hear(initial)

    def hear(self, word: bytes) -> "Say | Verify":
        """The name, then the password."""
        if not word or b"\0" in word:
            raise Malformed
        if self._login is not None:
            return Verify(PASSWORD, self._login, word)
        self._login = word
        return Say(b"Password:")

    def told(self, _data: bytes) -> "Say | None":
        """That was all."""
        return None


class CramMd5:
    """The client digests our challenge with its password."""

    name = b"CRAM-MD5"
    conceals = True

    def __init__(self, nonce: bytes) -> None:
        """nonce: has the form of a Message-ID, and was never said before."""
        self._challenge = nonce

    def begin(self, initial: bytes | None) -> "Say | Verify":
        """It is the server that begins."""
        if initial is not None:
            raise Malformed
        return Say(self._challenge)

    def hear(self, word: bytes) -> "Say | Verify":
        """Name, blank, digest; a name may have blanks."""
        login, _, digest = word.rpartition(b" ")
        digest = digest.lower()
        if len(digest) != _DIGEST or digest.strip(_HEX):
            raise Malformed
        return Verify(CRAM_MD5, login, digest, self._challenge)

    def told(self, _data: bytes) -> "Say | None":
        """That was all."""
        return None


class ScramSha256:
    """Neither side learns the password from the other, and each proves to the other that it knows it."""

    name = b"SCRAM-SHA-256"
    conceals = True

    def __init__(self, nonce: bytes) -> None:
        """nonce: printable without comma, never said before."""
        self._nonce = nonce  # ours; then both
        self._head = self._bare = self._first = b""  # of the client's word, the rest of that; our word
        self._login = b""
        self._signed = False

    def begin(self, initial: bytes | None) -> "Say | Verify | None":
        """The client's first word may come with the command."""
        return Say(b"") if initial is None else self.hear(initial)

    def hear(self, word: bytes) -> "Say | Verify | None":
        """Who it is; the proof; nothing."""
        if self._signed:
            if word:
                raise Malformed
            return None
        return self._prove(word) if self._first else self._introduce(word)

    def _introduce(self, word: bytes) -> "Verify":
        binding, acting, bare = _parts(word, 2)
        name, nonce = _parts(bare, 1)
        nonce = nonce.partition(b",")[0]
        if binding not in _NO_BINDING or name[:2] != b"n=" or nonce[:2] != b"r=":
            raise Malformed
        self._login = _unescaped(name[2:])
        if acting and (acting[:2] != b"a=" or _unescaped(acting[2:]) != self._login):
            raise Malformed
        if not 2 < len(nonce) <= _LONGEST_NONCE or any(not 33 <= byte <= 126 for byte in nonce):
            raise Malformed
        self._head, self._bare, self._nonce = b"%s,%s," % (binding, acting), bare, nonce[2:] + self._nonce
        return Verify(SCRAM_FIRST, self._login)

    def _prove(self, word: bytes) -> "Verify":
        without_proof, comma, proof = word.rpartition(b",p=")
        expected = b"c=%s,r=%s" % (sasl.encoded(self._head), self._nonce)
        if not comma or not (without_proof + b",").startswith(expected + b","):
            raise Malformed
        signed = b",".join((self._bare, self._first, without_proof))
        return Verify(SCRAM_FINAL, self._login, decoded(proof).hex().encode("ascii"), signed)

    def told(self, data: bytes) -> "Say | None":
        """Salt and iterations, as salted() writes them; then our signature."""
        if not self._first:
            self._first = b"r=%s,%s" % (self._nonce, data)
            return Say(self._first)
        self._signed = True
        return Say(b"v=" + sasl.encoded(data))


def _parts(text: bytes, commas: int) -> list[bytes]:
    parts = text.split(b",", commas)
    if len(parts) != commas + 1:
        raise Malformed
    return parts


def _unescaped(name: bytes) -> bytes:
    """A name as SCRAM writes it: =2C is a comma, =3D an equals sign, and there is no other one."""
    pieces = name.split(b"=")
    if any(piece[:2] not in (b"2C", b"3D") for piece in pieces[1:]):
        raise Malformed
    return pieces[0] + b"".join((b"," if piece[:2] == b"2C" else b"=") + piece[2:] for piece in pieces[1:])


MECHANISMS = {each.name: each for each in (ScramSha256, CramMd5, Plain, Login)}


def decoded(word: bytes) -> bytes:
    """What a client says in base64.  Errors: Malformed."""
    try:
        return binascii.a2b_base64(word, strict_mode=True) if word else b""
    except (binascii.Error, ValueError):
        raise Malformed from None


# what is computed by whoever knows the passwords


def salted(salt: bytes, iterations: int) -> bytes:
    """The answer to SCRAM_FIRST."""
    return b"s=%s,i=%d" % (sasl.encoded(salt), iterations)


def scram_keys(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """What is kept of a password: StoredKey and ServerKey (RFC 5802 3)."""
    word = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    client = hmac.digest(word, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(word, b"Server Key", "sha256")


def scram_signature(stored: bytes, server: bytes, proof: bytes, signed: bytes) -> bytes | None:
    """Our own signature, the answer to SCRAM_FINAL; None for a proof that is none."""
    if len(proof) != _PROOF:
        return None
    signature = hmac.digest(stored, signed, "sha256")
    client = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    if not hmac.compare_digest(hashlib.sha256(client).digest(), stored):
        return None
    return hmac.digest(server, signed, "sha256")


def digests(method: bytes, password: bytes, challenge: bytes) -> bytes:
    """What the client must have said for CRAM_MD5 or APOP (RFC 1939 7)."""
    if method == CRAM_MD5:
        return hmac.new(password, challenge, "md5").hexdigest().encode("ascii")
    return hashlib.md5(challenge + password, usedforsecurity=False).hexdigest().encode("ascii")
