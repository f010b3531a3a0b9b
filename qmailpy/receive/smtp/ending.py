"""How a session ends from within a command."""

DONE, LOST = 0, 1  # exit codes of a session: the client has said QUIT; anything else


class End(Exception):
    """The session is over; what was said goes out.  code: the exit code."""

    def __init__(self, code: int) -> None:
        """As above."""
        super().__init__(code)
        self.code = code
