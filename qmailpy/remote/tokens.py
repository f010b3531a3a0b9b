"""Tokens that stand for passwords (XOAUTH2): asked of the administrator's program, and kept for a while.

What stands for the password in control/smtpauth is a command; the first line that it prints is the token. It runs as
qmailr, without a shell, and has PATIENCE. A token is used again for AWHILE; if a server does not take one, all are
asked for anew.
"""

import asyncio

from qmailpy.system import clock, process
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire.sasl import Credentials

PATIENCE = 30.0  # seconds that the program has
AWHILE = 300.0  # seconds; tokens are good for an hour
LIMIT = 16384  # bytes that it may print


class Tokens:
    """Those of one process."""

    def __init__(self) -> None:
        """None yet."""
        self._known: dict[tuple[bytes, bytes], tuple[float, bytes]] = {}
        self._asking = asyncio.Lock()

    async def of(self, login: Credentials) -> Credentials:
        """The same user with a token for a password.  Errors: Die TEMP, with a clause."""
        key = (login.user, login.password)
        async with self._asking:  # a thousand deliveries must not start as many programs
            since, token = self._known.get(key, (0.0, b""))
            if not token or clock.monotonic() - since > AWHILE:
                token = await asyncio.to_thread(_ask, login.password.split())
                self._known[key] = (clock.monotonic(), token)
        return Credentials(login.user, token)

    def forget(self) -> None:
        """One was not taken: all are asked for anew."""
        self._known.clear()


def _ask(command: list[bytes]) -> bytes:
    try:
        code, said = process.output_of(command, PATIENCE, LIMIT)
    except OSError as error:
        raise Die(TEMP, b"the program for its token cannot be run: " + words(error)) from None
    token = said.partition(b"\n")[0].strip()
    if code:
        raise Die(TEMP, b"the program for its token failed with exit code %d" % code)
    if not token or any(byte < 33 or byte > 126 for byte in token):
        raise Die(TEMP, b"the program for its token printed none")
    return token
