"""What a server offers in its answer to EHLO (RFC 5321 4.1.1.1).

Keywords and their parameters in capitals. Used by wire/smtp; what a message uses of it: wire/smtp_errand.
"""


class Offers:
    """The extensions of one server, as of its last EHLO; none after HELO."""

    __slots__ = ("_words",)

    def __init__(self, text: bytes = b"") -> None:
        """text: of the reply, each line with its code; the first line has only a name."""
        self._words: dict[bytes, list[bytes]] = {}
        for line in text.split(b"\n")[1:]:
            words = line[4:].upper().replace(b"AUTH=", b"AUTH ", 1).split()
            if words:
                self._words.setdefault(words[0], []).extend(words[1:])

    def __contains__(self, keyword: bytes) -> bool:
        """Whether it was offered."""
        return keyword in self._words

    def parameters(self, keyword: bytes) -> list[bytes]:
        """What stands behind it; empty where it was not offered."""
        return self._words.get(keyword, [])


class Standing:
    """What a connection has come to, and the next message on it need not ask again."""

    __slots__ = ("offers", "safe", "security")

    def __init__(self, offers: Offers, security: bytes, *, safe: bool) -> None:
        """offers: of its last EHLO; security: TLS in words; safe: whether the server has proven who it is."""
        self.offers, self.security, self.safe = offers, security, safe
