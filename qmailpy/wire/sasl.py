"""Logging in to a server: the client's side of SASL, challenge in, response out, no I/O.

PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-256 (RFC 5802, 7677). choose() takes the strongest that the
server offers and that can carry these credentials; the caller sees to it that nobody else hears them. XOAUTH2, whose
secret is a token and no password, is taken only where it is asked for.
masked() keeps a server's words from repeating a secret. Used by wire/smtp.
"""

import binascii
import hashlib
import hmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ITERATIONS = range(4096, 250_001)  # of SCRAM: RFC 7677 4 below; above, a server could stop all our conversations
CHALLENGE_LIMIT = 4096  # bytes in base64
_WINDOW = 6  # bytes of a secret that are one too many
HIDDEN = b"(its words repeat a part of the login and are not shown)\n"


class SaslError(Exception):
    """The server's challenge makes no sense, or it could not prove that it knows us.  text: a clause."""

    def __init__(self, text: bytes) -> None:
        """text: our own words."""
        super().__init__(text)
        self.text = text


class Credentials:
    """Who we are.  user, password: bytes, UTF-8 where not ASCII, without NUL, CR and LF."""

    __slots__ = ("password", "user")

    def __init__(self, user: bytes, password: bytes) -> None:
        """Both have a byte at least."""
        self.user, self.password = user, password

    def __repr__(self) -> str:
        """For a test that fails, and nobody else: without the password."""
        return f"Credentials({self.user!r})"


class Plain:
    """All in one word."""

    name = b"PLAIN"

    def __init__(self, credentials: Credentials, _nonce: bytes) -> None:
        """nonce: not needed."""
        self._word: bytes | None = b"\0%s\0%s" % (credentials.user, credentials.password)

    def first(self) -> bytes | None:
        """What can be said before any challenge; None: nothing."""
        return self._word

    def say_first(self) -> bytes:
        """And it is said."""
        return self.respond(b"")

    def respond(self, _challenge: bytes) -> bytes:
        """To a server that does not take it with the command."""
        word, self._word = self._word, None
        if word is None:
            raise SaslError(b"it asks again")
        return word

    def done(self) -> bool:
        """Whether the server may say yes now."""
        return True


class Login:
    """Two questions, whose words nobody has ever agreed upon: the name first, then the password."""

    name = b"LOGIN"

    def __init__(self, credentials: Credentials, _nonce: bytes) -> None:
        """nonce: not needed."""
        self._words = [credentials.user, credentials.password]

    def first(self) -> bytes | None:
        """Not every server takes the name with the command."""
        return None

    def say_first(self) -> bytes:
        """There is none."""
        return b""

    def respond(self, _challenge: bytes) -> bytes:
        """The next of the two."""
        if not self._words:
            raise SaslError(b"it asks again")
        return self._words.pop(0)

    def done(self) -> bool:
        """Whether both were said."""
        return not self._words


class CramMd5:
    """The password itself is not sent."""

    name = b"CRAM-MD5"

    def __init__(self, credentials: Credentials, _nonce: bytes) -> None:
        """nonce: the server's is enough."""
        self._credentials: Credentials | None = credentials

    def first(self) -> bytes | None:
        """The server begins."""
        return None

    def say_first(self) -> bytes:
        """There is none."""
        return b""

    def respond(self, challenge: bytes) -> bytes:
        """Name and digest."""
        credentials, self._credentials = self._credentials, None
        if credentials is None or not challenge:
            raise SaslError(b"it asks again" if credentials is None else b"its challenge is empty")
        digest = hmac.new(credentials.password, challenge, "md5").hexdigest()
        return credentials.user + b" " + digest.encode("ascii")

    def done(self) -> bool:
        """Whether the digest was sent."""
        return self._credentials is None


class ScramSha256:
    """Neither side learns the password from the other, and the server must prove that it knows it."""

    name = b"SCRAM-SHA-256"

    def __init__(self, credentials: Credentials, nonce: bytes) -> None:
        """nonce: printable, without comma, never used before."""
        self._credentials, self._nonce = credentials, nonce
        user = credentials.user.replace(b"=", b"=3D").replace(b",", b"=2C")
        self._bare = b"n=%s,r=%s" % (user, nonce)
        self._proof_of_server: bytes | None = None
        self._begun = self._proven = False

    def first(self) -> bytes | None:
        """No channel binding."""
        return b"n,," + self._bare

    def say_first(self) -> bytes:
        """And it is said."""
        self._begun = True
        return b"n,," + self._bare

    def respond(self, challenge: bytes) -> bytes:
        """What was not said first; the proof; then nothing, if the server's own proof is right."""
        if not self._begun:
            return self.say_first()
        if self._proof_of_server is None:
            return self._prove(challenge)
        if self._proven:
            raise SaslError(b"it asks again")
        if not hmac.compare_digest(challenge.partition(b",")[0], b"v=" + self._proof_of_server):
            raise SaslError(b"it does not know the password itself")
        self._proven = True
        return b""

    def _prove(self, challenge: bytes) -> bytes:
        nonce, salt, count = _first_of_server(challenge, self._nonce)
        without_proof = b"c=biws,r=" + nonce  # biws: our header, no channel binding
        signed = b",".join((self._bare, challenge, without_proof))
        salted = hashlib.pbkdf2_hmac("sha256", self._credentials.password, salt, count)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._proof_of_server = encoded(hmac.digest(server_key, signed, "sha256"))
        return without_proof + b",p=" + encoded(proof)

    def done(self) -> bool:
        """Whether the server has proven itself."""
        return self._proven


def _first_of_server(challenge: bytes, ours: bytes) -> tuple[bytes, bytes, int]:
    """(nonce, salt, iterations).  Errors: SaslError."""
    parts = challenge.split(b",")
    if len(parts) < 3 or [part[:2] for part in parts[:3]] != [b"r=", b"s=", b"i="]:
        raise SaslError(b"its challenge makes no sense")
    nonce, salt, digits = (part[2:] for part in parts[:3])
    if not nonce.startswith(ours) or len(nonce) == len(ours):
        raise SaslError(b"its challenge makes no sense")
    count = int(digits) if digits.isdigit() and len(digits) < 8 else 0
    if count not in ITERATIONS:
        raise SaslError(b"it asks for an unusual number of iterations")
    return nonce, decoded(salt), count


class XOAuth2:
    """A token in the password's place. To a token that it does not take the server says why, and hears nothing."""

    name = b"XOAUTH2"

    def __init__(self, credentials: Credentials, _nonce: bytes) -> None:
        """nonce: not needed; the password is the token."""
        self._words = [b"user=%s\1auth=Bearer %s\1\1" % (credentials.user, credentials.password), b""]

    def first(self) -> bytes | None:
        """All there is to say."""
        return self._words[0]

    def say_first(self) -> bytes:
        """And it is said."""
        return self._words.pop(0)

    def respond(self, _challenge: bytes) -> bytes:
        """The token, where it was not sent with the command; else nothing, after which the server says no."""
        if not self._words:
            raise SaslError(b"it asks again")
        return self._words.pop(0)

    def done(self) -> bool:
        """Whether the token was said."""
        return len(self._words) < 2


STRONGEST_FIRST = (ScramSha256, CramMd5, Plain, Login)
BY_NAME = {mechanism.name.lower(): mechanism for mechanism in (*STRONGEST_FIRST, XOAuth2)}
if TYPE_CHECKING:
    Mechanism = ScramSha256 | CramMd5 | Plain | Login | XOAuth2


def choose(
    offered: "Iterable[bytes]", credentials: Credentials, nonce: bytes, wanted: bytes = b""
) -> "Mechanism | None":
    """The strongest mechanism that is offered and applies; None where there is none.

    offered: names in capitals; wanted: no other than this one, in lower case. SCRAM prepares a password that is not
    ASCII in a way that we do not (RFC 4013).
    """
    names = set(offered)
    if wanted:
        named = BY_NAME[wanted]
        return named(credentials, nonce) if named.name in names else None
    ascii_only = credentials.user.isascii() and credentials.password.isascii()
    for mechanism in STRONGEST_FIRST:
        if mechanism.name in names and (ascii_only or mechanism is not ScramSha256):
            return mechanism(credentials, nonce)
    return None


def encoded(word: bytes) -> bytes:
    """In base64, on one line."""
    return binascii.b2a_base64(word, newline=False)


def decoded(word: bytes) -> bytes:
    """From base64.  Errors: SaslError."""
    word = word.strip()
    if len(word) > CHALLENGE_LIMIT:
        raise SaslError(b"its challenge is too long")
    try:
        return binascii.a2b_base64(word, strict_mode=True) if word else b""
    except binascii.Error:
        raise SaslError(b"its challenge makes no sense") from None


class Mask:
    """What was said in secret, in every form in which a server may repeat it."""

    __slots__ = ("_forms",)

    def __init__(self, credentials: Credentials) -> None:
        """The password plain, in hex, and in base64 wherever in a word it stands; what is sent comes by add()."""
        password = credentials.password
        self._forms: list[bytes] = []
        self.add(password)
        self.add(password.hex().encode("ascii"))
        for before, shared in ((0, 0), (1, 2), (2, 3)):  # bytes before it; characters that those have a part in
            word = encoded(bytes(before) + password)[shared:]
            self.add(word.rstrip(b"=")[:-1] or word)

    def add(self, word: bytes) -> None:
        """A word that must not be repeated either.  word: with a byte at least."""
        self._forms.append(word.lower())

    def masked(self, text: bytes) -> bytes:
        """A reply's text; only its first code, and that there was something to hide, where it repeats a secret.

        Six bytes in a row are repetition enough: a server may cut off a line.
        """
        lower = text.lower()
        for form in self._forms:
            size = min(_WINDOW, len(form))
            if any(form[at : at + size] in lower for at in range(len(form) - size + 1)):
                return text[:3] + b" " + HIDDEN
        return text
