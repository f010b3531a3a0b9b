"""One line for each client that says who it is, in a grammar that fail2ban can read (man/qmail-log.5).

    PROGRAM: accepted IP login=<LOGIN> method=METHOD port=PORT
    PROGRAM: refused IP rule=RULE login=<LOGIN> method=METHOD port=PORT

Nothing that a client says can end the line, add a field or close the brackets. Never the password.
"""

from qmailpy.wire.authd import Question

PASSWORD, NETWORK, LOGIN, TROUBLE = b"password", b"too-many-from-network", b"too-many-for-login", b"trouble"
_SAFE = bytes(byte if 33 <= byte <= 126 and byte not in b"<>" else ord("?") for byte in range(256))
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def line(program: bytes, question: Question, method: bytes, rule: bytes | None) -> bytes:
    """The line, without LF.  method: as it is shown; rule: None for who is let in."""
    outcome = b"accepted" if rule is None else b"refused"
    why = b"" if rule is None else b"rule=" + rule + b" "
    client, port = question.remote or b"unknown", question.port or b"unknown"
    login = question.login.translate(_SAFE)
    return b"%s: %s %s %slogin=<%s> method=%s port=%s" % (program, outcome, client, why, login, method, port)


def printable(text: bytes) -> bytes:
    """Somebody's words, for a log."""
    return text.translate(_PRINTABLE)
