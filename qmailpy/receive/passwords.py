"""Checking a password: by users/passwords, or as the password of an account of this machine.

The only place that sees both a client's secret and what is kept of it. It takes as long for a login that nobody has.
Who uses it: qmail-checkpassword, as root, or as the owner of an embedded home.
"""

from qmailpy.disk import passwords as file
from qmailpy.disk.home import Home
from qmailpy.rules import passwords
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die
from qmailpy.wire import sasl_server as sasl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Method = Callable[["Store", bytes, bytes, bytes], "Proven | None"]


class Proven:
    """login: as it is written where it is kept; data: what the mechanism wants to know; entry: of users/passwords."""

    __slots__ = ("data", "entry", "login")

    def __init__(self, login: bytes, data: bytes = b"", entry: passwords.Entry | None = None) -> None:
        """entry: None for an account, or for a login that nobody has (SCRAM's first step says nothing of that)."""
        self.login, self.data, self.entry = login, data, entry


class Store:
    """The passwords as they are now."""

    def __init__(self, home: Home, remote: bytes = b"") -> None:
        """remote: the client's address, for PAM.  Errors: Die TEMP where they cannot be read."""
        self._text = file.read(home)
        self._home, self._remote = home, remote

    def mechanisms(self) -> tuple[bytes, ...]:
        """What every login can use; without users/passwords only root can check anything."""
        if self._text is None:
            return passwords.mechanisms(b"") if identity.is_root() else ()
        return passwords.mechanisms(self._text)

    def verify(self, method: bytes, login: bytes, secret: bytes, challenge: bytes) -> Proven | None:
        """Whether the client is who it says; None: it is not.  method: of wire/sasl_server.  Errors: Die TEMP."""
        if not login or b":" in login:
            return None
        try:
            return METHODS[method](self, login, secret, challenge)
        except passwords.BadEntry as bad:
            shown = bytes(byte if 33 <= byte <= 126 else 0x3F for byte in login)
            raise Die(TEMP, b"users/passwords: the entry of %s: %s" % (shown, bad.text)) from None

    def _entry(self, login: bytes) -> passwords.Entry | None:
        if self._text is None:
            return passwords.Entry(login, passwords.ACCOUNTS)
        return passwords.find(self._text, login)

    def _invented(self, login: bytes) -> tuple[bytes, int]:
        return passwords.invented(login, passwords.key_of(self._text or b""))

    def by_password(self, login: bytes, secret: bytes, _challenge: bytes) -> Proven | None:
        """PLAIN, LOGIN, PASS."""
        entry = self._entry(login)
        if entry is None:
            sasl.scram_keys(secret, *self._invented(login))  # as long as it takes for others
            return None
        if entry.is_of_account:
            return Proven(login) if self._is_password_of_account(login, secret) else None
        return Proven(entry.login, entry=entry) if passwords.verify(entry.kept, secret, _crypt) else None

    def by_cram(self, login: bytes, secret: bytes, challenge: bytes) -> Proven | None:
        """CRAM-MD5."""
        return self._by_digest(sasl.CRAM_MD5, login, secret, challenge)

    def by_apop(self, login: bytes, secret: bytes, challenge: bytes) -> Proven | None:
        """APOP."""
        return self._by_digest(sasl.APOP, login, secret, challenge)

    def _by_digest(self, method: bytes, login: bytes, digest: bytes, challenge: bytes) -> Proven | None:
        entry = self._entry(login)
        plain = None if entry is None else passwords.plain(entry.kept)
        expected = sasl.digests(method, plain or b"", challenge)
        if entry is None or plain is None or not passwords.equal(expected, digest):
            return None
        return Proven(entry.login, entry=entry)

    def scram_first(self, login: bytes, _secret: bytes, _challenge: bytes) -> Proven | None:
        """Salt and iterations, also for who does not exist."""
        entry = self._entry(login)
        kept = None if entry is None else passwords.scram_of(entry.kept)
        salt, iterations = self._invented(login) if kept is None else kept[:2]
        return Proven(login, sasl.salted(salt, iterations))

    def scram_final(self, login: bytes, secret: bytes, challenge: bytes) -> Proven | None:
        """The proof, for our signature."""
        entry = self._entry(login)
        if entry is None:
            return None
        kept, plain = passwords.scram_of(entry.kept), passwords.plain(entry.kept)
        if kept is not None:
            keys = kept[2:]
        elif plain is not None:
            keys = sasl.scram_keys(plain, *self._invented(login))
        else:
            return None
        try:
            proof = bytes.fromhex(secret.decode("ascii"))
        except (ValueError, UnicodeError):
            return None
        signature = sasl.scram_signature(*keys, proof, challenge)
        return None if signature is None else Proven(entry.login, signature, entry)

    def classic(self, login: bytes, secret: bytes, challenge: bytes) -> Proven | None:
        """As a program is called that is not told what the secret is: the password, or a digest of the challenge.

        POP3 puts its challenge third; the AUTH patches of SMTP put it second and the digest third.  Errors: Die TEMP.
        """
        found = self.verify(sasl.PASSWORD, login, secret, b"")
        tries = ((sasl.APOP, secret, challenge), (sasl.CRAM_MD5, challenge, secret), (sasl.CRAM_MD5, secret, challenge))
        for method, digest, said in tries:
            if found is None and said and len(digest) == 2 * 16:
                found = self.verify(method, login, digest.lower(), said)
        return found

    def _is_password_of_account(self, name: bytes, password: bytes) -> bool:
        """Never root's: who has that password should not send it to a mail server."""
        from qmailpy.system import accounts, pam

        if not all(33 <= byte <= 126 for byte in name):
            return False
        try:
            account = accounts.find_user(name)
            if account is None or account[1] == 0:
                return False
            return pam.verify(name, password, self._remote)
        except OSError:
            raise Die(TEMP, b"the accounts of this machine cannot be looked up") from None
        except pam.Trouble as trouble:
            raise Die(TEMP, trouble.text) from None


METHODS: "dict[bytes, Method]" = {
    sasl.PASSWORD: Store.by_password,
    sasl.CRAM_MD5: Store.by_cram,
    sasl.APOP: Store.by_apop,
    sasl.SCRAM_FIRST: Store.scram_first,
    sasl.SCRAM_FINAL: Store.scram_final,
}


def _crypt(password: bytes, kept: bytes) -> bytes | None:
    from qmailpy.system import pam  # ctypes costs 10 ms

    return pam.crypt(password, kept)
