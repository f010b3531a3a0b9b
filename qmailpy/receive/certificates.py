"""The server's certificates: control/servercert.pem, and control/servercerts/NAME.pem for names that clients ask for.

Loaded only by who is about to speak TLS: ssl costs 10 ms.
"""

import posix

from qmailpy.disk.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.tls_server import Contexts, Secret

_DEFAULT, _KEY, _NAMED = b"servercert.pem", b"serverkey.pem", b"servercerts"


def are_there(home: Home) -> bool:
    """Whether TLS can be offered: there is a certificate, whatever may be wrong with it."""
    return _is_there(home.control(_DEFAULT))


def read(home: Home, note: "Callable[[bytes], None]", *, pop3: bool = False) -> "Contexts":
    """The certificates; they are found by name when somebody asks.  note: told what is doubtful, in sentences.

    Errors: Die TEMP where control/servercert.pem cannot be used.
    """
    from qmailpy.system import tls_server

    key = home.control(_KEY)
    return tls_server.Contexts(
        home.control(_DEFAULT),
        home.control(_NAMED),
        key=key if _is_there(key) else None,
        protocols=tls_server.POP3 if pop3 else tls_server.SMTP,
        note=lambda sentence: note(b"tls: warning: " + sentence),
    )


class Later:
    """The certificates of a process that holds one conversation: read when TLS really is spoken.

    In the place of Contexts.
    """

    __slots__ = ("_home", "_note", "_pop3")

    def __init__(self, home: Home, note: "Callable[[bytes], None]", *, pop3: bool = False) -> None:
        """As read()."""
        self._home, self._note, self._pop3 = home, note, pop3

    def secret(self) -> "Secret":
        """For the connection.  Errors: TlsFailed where the certificate cannot be used."""
        from qmailpy.system.tls_trouble import TlsFailed
        from qmailpy.verdict import Die

        try:
            return read(self._home, self._note, pop3=self._pop3).secret()
        except Die as death:
            raise TlsFailed(death.text) from None


def _is_there(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
