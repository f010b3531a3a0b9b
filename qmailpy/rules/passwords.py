"""Entries of users/passwords: what is kept of a password, and whether a client has proven that it knows it.

A line is login:password or login:password:home:uid:gid, lines that begin with # are comments, and the login * is
everybody who has no line. What stands for the password:

    {SCRAM-SHA-256}iterations,salt,stored,server    salt and keys in base64 (RFC 5803 has the same parts)
    $scrypt$ln=16,r=8,p=1$salt$hash                 base64 without its padding
    $pbkdf2-sha256$iterations$salt$hash             base64 without its padding, . for +
    {PLAIN}secret, {PLAIN.b64}secret                the password itself, which CRAM-MD5 and APOP need
    {accounts}                                      the password of the account of this name, on this machine
    $...                                            anything else of this form is crypt(3)'s

Upper and lower case of a login are the same. Used by qmail-checkpassword and qmail-passwd. Pure.
"""

import binascii
import hashlib
import hmac

from qmailpy.wire import sasl_server as sasl

LARGEST_ID = 0xFFFFFFFE  # uid, gid
ITERATIONS = 120_000  # of SCRAM: 40 ms here; the client must compute as long
FEWEST, MOST = 1, 10_000_000  # iterations that are believed
_DEAREST = 128 << 20  # bytes of memory for one scrypt
SALT = 16  # bytes
_COST, _BLOCK = 15, 8  # of scrypt: 32 MB, 100 ms
APOP = b"APOP"  # POP3's: no mechanism, but it needs the same
EVERYBODY = b"*"
ACCOUNTS = b"{accounts}"
_SCRAM, _PLAIN, _PLAIN64 = b"{SCRAM-SHA-256}", b"{PLAIN}", b"{PLAIN.b64}"
_SCRYPT, _PBKDF2 = b"$scrypt$", b"$pbkdf2-sha256$"
_KEY = b"# key: "
_DIGITS = b"0123456789"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Crypt = Callable[[bytes, bytes], bytes | None]  # crypt(3): what the password becomes by the way of that hash


class BadEntry(Exception):
    """A line makes no sense.  text: a clause that repeats nothing of it."""

    def __init__(self, text: bytes) -> None:
        """text: our own words."""
        super().__init__(text)
        self.text = text


class Entry:
    """One login.  kept: what stands for its password; home, owner: of who reads its mail by POP3, if they are told."""

    __slots__ = ("home", "kept", "login", "owner")

    def __init__(self, login: bytes, kept: bytes, home: bytes = b"", owner: tuple[int, int] | None = None) -> None:
        """owner: uid and gid."""
        self.login, self.kept, self.home, self.owner = login, kept, home, owner

    @property
    def is_of_account(self) -> bool:
        """Whether the account's own password counts."""
        return self.kept == ACCOUNTS

    def encode(self) -> bytes:
        """Its line."""
        rest = b":%s:%d:%d" % (self.home, *self.owner) if self.owner is not None else b""
        return b"%s:%s%s" % (self.login, self.kept, rest)


def number(word: bytes, largest: int) -> int | None:
    """Decimal digits of a bounded number; None where they are not."""
    if not word or word.strip(_DIGITS) or len(word) > len(str(largest)):
        return None
    value = int(word)
    return value if value <= largest else None


def entry(line: bytes) -> Entry | None:
    """What a line says; None for a comment or nothing.  Errors: BadEntry."""
    line = line.rstrip(b" \t\r")
    if not line or line.startswith(b"#"):
        return None
    parts = line.split(b":")
    if len(parts) not in (2, 5) or not parts[0] or not parts[1]:
        raise BadEntry(b"it is not login:password or login:password:home:uid:gid")
    if len(parts) == 2:
        return Entry(parts[0], parts[1])
    uid, gid = (number(word, LARGEST_ID) for word in parts[3:])
    if uid is None or gid is None or not parts[2].startswith(b"/"):
        raise BadEntry(b"its home is no path from /, or its uid or gid is no number")
    return Entry(parts[0], parts[1], parts[2], (uid, gid))


def entries(text: bytes) -> "Iterator[tuple[int, Entry | BadEntry]]":
    """Each entry of a file with the number of its line, or what is wrong with that."""
    for at, line in enumerate(text.split(b"\n"), 1):
        try:
            found = entry(line)
        except BadEntry as bad:
            yield at, bad
        else:
            if found is not None:
                yield at, found


def find(text: bytes, login: bytes) -> Entry | None:
    """The first entry of this login; else everybody's; None where there is neither.

    Lines of others are not looked at.  Errors: BadEntry, for its own line.
    """
    for wanted in (login, EVERYBODY):
        head = wanted.lower() + b":"
        for line in text.split(b"\n"):
            if line[: len(head)].lower() == head and (found := entry(line)) is not None and b":" not in wanted:
                if found.login == EVERYBODY and not found.is_of_account:
                    raise BadEntry(b"the login * stands for everybody, and may only have {accounts}")
                return found
    return None


def verify(kept: bytes, password: bytes, crypt: "Crypt") -> bool:
    """Whether this is the password.  kept: not ACCOUNTS.  Errors: BadEntry."""
    secret = plain(kept)
    if secret is not None:
        return hmac.compare_digest(secret, password)
    if (scram := scram_of(kept)) is not None:
        salt, iterations, stored, _ = scram
        return hmac.compare_digest(sasl.scram_keys(password, salt, iterations)[0], stored)
    if kept.startswith(_SCRYPT):
        return _verify_scrypt(kept, password)
    if kept.startswith(_PBKDF2):
        return _verify_pbkdf2(kept, password)
    if not kept.startswith(b"$"):
        raise BadEntry(b"what stands for its password is of no kind that I know")
    found = crypt(password, kept)
    if found is None:
        raise BadEntry(b"crypt(3) of this machine does not know that kind of password")
    return hmac.compare_digest(found, kept)


def equal(one: bytes, other: bytes) -> bool:
    """Whether they are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


def plain(kept: bytes) -> bytes | None:
    """The password itself, where it is kept.  Errors: BadEntry."""
    if kept.startswith(_PLAIN):
        return kept.removeprefix(_PLAIN)
    return _unpadded(kept.removeprefix(_PLAIN64)) if kept.startswith(_PLAIN64) else None


def scram_of(kept: bytes) -> tuple[bytes, int, bytes, bytes] | None:
    """Salt, iterations, StoredKey and ServerKey; None for another kind.  Errors: BadEntry."""
    if not kept.startswith(_SCRAM):
        return None
    parts = kept.removeprefix(_SCRAM).split(b",")
    iterations = number(parts[0], MOST)
    if len(parts) != 4 or not iterations:
        raise BadEntry(b"it is no SCRAM-SHA-256 password")
    salt, stored, server = (_unpadded(part) for part in parts[1:])
    if len(stored) != 32 or len(server) != 32:
        raise BadEntry(b"it is no SCRAM-SHA-256 password")
    return salt, iterations, stored, server


def _verify_scrypt(kept: bytes, password: bytes) -> bool:
    parts = kept.split(b"$")
    words = parts[2].split(b",") if len(parts) == 5 else []
    values = [number(word[len(name) :], 1 << 20) for word, name in zip(words, (b"ln=", b"r=", b"p="), strict=False)]
    if len(values) != 3 or [word.partition(b"=")[0] for word in words] != [b"ln", b"r", b"p"] or not all(values):
        raise BadEntry(b"it is no scrypt password")
    cost, block, lanes = (value or 0 for value in values)
    if cost > 24 or (128 << cost) * block + 128 * block * lanes > _DEAREST:
        raise BadEntry(b"its scrypt password needs more than 128 MB of memory")
    expected = _unpadded(parts[4])
    if not 16 <= len(expected) <= 64:
        raise BadEntry(b"it is no scrypt password")
    return hmac.compare_digest(_scrypt(password, _unpadded(parts[3]), (cost, block, lanes), len(expected)), expected)


def _scrypt(password: bytes, salt: bytes, cost: tuple[int, int, int], size: int) -> bytes:
    try:
        return hashlib.scrypt(
            password, salt=salt, n=1 << cost[0], r=cost[1], p=cost[2], maxmem=2 * _DEAREST, dklen=size
        )
    except ValueError:
        raise BadEntry(b"it is no scrypt password") from None


def _verify_pbkdf2(kept: bytes, password: bytes) -> bool:
    parts = kept.split(b"$")
    iterations = number(parts[2], MOST)
    if len(parts) != 5 or not iterations:
        raise BadEntry(b"it is no pbkdf2-sha256 password")
    salt, expected = _unpadded(parts[3].replace(b".", b"+")), _unpadded(parts[4].replace(b".", b"+"))
    if not 16 <= len(expected) <= 64:
        raise BadEntry(b"it is no pbkdf2-sha256 password")
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha256", password, salt, iterations, len(expected)), expected)


def _unpadded(word: bytes) -> bytes:
    try:
        return binascii.a2b_base64(word.rstrip(b"=") + b"=" * (-len(word.rstrip(b"=")) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        raise BadEntry(b"its password is damaged: a part of it is no base64") from None


def _encoded(word: bytes) -> bytes:
    return binascii.b2a_base64(word, newline=False)


def changed(text: bytes | None, login: bytes, new: Entry | None, key: bytes) -> bytes | None:
    """A file's content with another entry for this login, or (None) without one; all other lines as they are.

    text: None where there is no file; key: random, for a new one.  A new entry without a home keeps the old one's.
    Result: None where there is nothing to remove.
    """
    lines = [key_line(key)] if text is None else text.split(b"\n")
    at = len(lines)
    kept: list[bytes] = []
    for line in lines:
        if line.partition(b":")[0].lower() == login.lower() and b":" in line:
            at = min(at, len(kept))
            new = _at_home(new, line)
        elif line:
            kept.append(line)
    if new is None and at == len(lines):
        return None
    if new is not None:
        kept.insert(at, new.encode())
    return b"".join(line + b"\n" for line in kept)


def _at_home(new: Entry | None, line: bytes) -> Entry | None:
    try:
        old = entry(line)
    except BadEntry:
        return new
    if new is None or old is None or new.owner is not None:
        return new
    return Entry(new.login, new.kept, old.home, old.owner)


# making what is kept


def keep_scram(password: bytes, salt: bytes, iterations: int = ITERATIONS) -> bytes:
    """For PLAIN, LOGIN and SCRAM-SHA-256.  salt: random."""
    stored, server = sasl.scram_keys(password, salt, iterations)
    return _SCRAM + b",".join((b"%d" % iterations, _encoded(salt), _encoded(stored), _encoded(server)))


def keep_scrypt(password: bytes, salt: bytes) -> bytes:
    """For PLAIN and LOGIN only; the dearest to guess for who has stolen the file."""
    found = _scrypt(password, salt, (_COST, _BLOCK, 1), 32)
    parts = (b"%sln=%d,r=%d,p=1" % (_SCRYPT, _COST, _BLOCK), *(_encoded(word).rstrip(b"=") for word in (salt, found)))
    return b"$".join(parts)


def keep_plain(password: bytes) -> bytes:
    """For every mechanism; base64 only hides it from who looks over a shoulder."""
    return _PLAIN64 + _encoded(password)


def key_line(key: bytes) -> bytes:
    """The comment that keeps the key for invented(): qmail-passwd begins a file with it.  key: random."""
    return _KEY + key.hex().encode("ascii")


def key_of(text: bytes) -> bytes:
    """That key; of a file that has none, something that only its readers know."""
    for line in text.split(b"\n"):
        if line.startswith(_KEY):
            return line
    return hashlib.sha256(text).digest()


def invented(login: bytes, key: bytes) -> tuple[bytes, int]:
    """Salt and iterations for a login that does not exist: the same each time, as a real one's.  key: secret."""
    return hmac.digest(key, login.lower(), "sha256")[:SALT], ITERATIONS


# what a store can do


def mechanisms(text: bytes) -> tuple[bytes, ...]:
    """The mechanisms that every login of this file can use: a client takes the strongest that is offered, no other."""
    kept = [found.kept for _, found in entries(text) if isinstance(found, Entry)]
    every = [sasl.Plain.name, sasl.Login.name]
    clear = [word.startswith((_PLAIN, _PLAIN64)) for word in kept]
    if kept and all(clear):
        every = [sasl.CramMd5.name, *every, APOP]
    if kept and all(word.startswith((_SCRAM, _PLAIN, _PLAIN64)) for word in kept):
        every.insert(0, sasl.ScramSha256.name)
    return tuple(every)
