"""What can go wrong with TLS, for those who speak it without loading it: ssl costs a program's start 10 ms."""


class TlsFailed(Exception):
    """Hands could not be shaken, or what came afterwards is not TLS.  text: a clause for the log."""

    def __init__(self, text: bytes) -> None:
        """text: printable."""
        super().__init__(text)
        self.text = text
