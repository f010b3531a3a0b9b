r"""The line of the log for every refusal: one line, one grammar, whatever the client sent (man/qmail-log.5).

    qmail-smtpd: refused 192.0.2.7 rule=rcpthosts helo=mail.example from=<a@b.example> to=<c@d.example> reply="553 ..."

All six parts are always there and in this order; what is not known is a lone dash. Programs read it (fail2ban), so an
address or a name can neither end its part nor look like another one: in helo, from and to everything outside 33..126
and the signs < > " \ is _, in helo also =; in the reply, which has blanks, everything outside 32..126 and the signs
" and \ is _.  Pure.
"""

LONGEST = 300  # bytes of each part; what is longer ends in ...
UNKNOWN = b"-"
_PART = bytes(byte if 33 <= byte <= 126 and byte not in b'<>"\\' else ord("_") for byte in range(256))
_NAME = _PART.replace(b"=", b"_")
_TEXT = bytes(byte if 32 <= byte <= 126 and byte not in b'"\\' else ord("_") for byte in range(256))
_ADDRESS = b"0123456789abcdefABCDEF.:"


class Client:
    """Who it was, as far as is known: each of these bytes as they came, or None."""

    __slots__ = ("helo", "recipient", "remote", "sender")

    def __init__(
        self,
        remote: bytes | None,
        helo: bytes | None = None,
        sender: bytes | None = None,
        recipient: bytes | None = None,
    ) -> None:
        """remote: the address in digits ($TCPREMOTEIP); sender: empty for a bounce, which is known."""
        self.remote, self.helo, self.sender, self.recipient = remote, helo, sender, recipient


def line(program: bytes, client: Client, rule: bytes, reply: bytes) -> bytes:
    """program: as qmail-smtpd; rule: a word; reply: of any lines, or empty for a connection that is just closed."""
    return b'%s: refused %s rule=%s helo=%s from=%s to=%s reply="%s"' % (
        program,
        _remote(client.remote),
        _short(rule.translate(_NAME)) or UNKNOWN,
        _short((client.helo or b"").translate(_NAME)) or UNKNOWN,
        _address(client.sender),
        _address(client.recipient),
        _short(reply.translate(_TEXT)),
    )


def _remote(address: bytes | None) -> bytes:
    """Digits and what stands between them, or a dash: who bans by this word must not be told a name."""
    if not address or len(address) > 45 or address.strip(_ADDRESS):
        return UNKNOWN
    return address


def _address(address: bytes | None) -> bytes:
    return UNKNOWN if address is None else b"<%s>" % _short(address.translate(_PART))


def _short(text: bytes) -> bytes:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + b"..."
