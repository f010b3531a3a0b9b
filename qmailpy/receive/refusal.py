"""A no, as it is said to the client and as it stands in the log.

Made by sessions, by policy and by authentication. An SMTP session says and logs it in one place, receive/smtp/session;
other protocols say it in their own way.
"""


class Refusal:
    """reply: code, space, text, as b'553 sorry, ... (#5.7.1)', without CR LF; closes: the connection ends with it.

    rule: a word for the log, as b'rcpthosts' or b'dnsbl:ZONE'.
    """

    __slots__ = ("closes", "reply", "rule")

    def __init__(self, reply: bytes, rule: bytes, *, closes: bool = False) -> None:
        """As above."""
        self.reply, self.rule, self.closes = reply, rule, closes
