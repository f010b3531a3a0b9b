"""qmail-send's control files: read once; HUP rereads locals and virtualdomains (spec/04 1)."""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import bounce, logline
from qmailpy.rules.rewrite import Domains
from qmailpy.skeletons import domains
from qmailpy.verdict import Die

LIFETIME = 604800  # seconds: a week
CONCURRENCY = (("concurrencylocal", 10), ("concurrencyremote", 20))  # indexed by channel


class Controls:
    """What the control files say."""

    __slots__ = ("_home", "_me", "domains", "lifetime", "limits", "us")

    def __init__(self, home: Home) -> None:
        """Errors: Die TEMP where one cannot be read, or there is neither locals nor me."""
        self._home = home
        self._me = control.line(home, "me")
        self.lifetime = control.integer(home, "queuelifetime", LIFETIME)
        self.limits = [control.integer(home, name, default) for name, default in CONCURRENCY]
        double_to = self._line("doublebounceto", b"postmaster")
        self.us = bounce.Sender(
            self._line("bouncefrom", b"MAILER-DAEMON"),
            self._line_or_me("bouncehost"),
            b"%s@%s" % (double_to, self._line_or_me("doublebouncehost")),
            uses_local_time=control.integer(home, "localtime", 0) > 0,
        )
        self.domains = domains.read(home, self._me)

    def reread(self) -> bytes:
        """Locals and virtualdomains as they are now.

        Result: empty, or the alert of what could not be read; then all stays as it was.
        """
        try:
            posix.stat(self._home.at(b"control"))
        except OSError:  # files that cannot be found would count as absent
            return logline.REREAD_HOME
        try:
            names = domains.local_names(self._home, self._me)
        except Die:
            return logline.REREAD_LOCALS
        try:
            virtual = control.colon_map(self._home, "virtualdomains") or {}
        except Die:
            return logline.REREAD_VIRTUAL
        old = self.domains
        self.domains = Domains(old.envnoathost, names, list(old.percenthack), virtual)
        return b""

    def _line(self, name: str, default: bytes) -> bytes:
        own = control.line(self._home, name)
        return default if own is None else own

    def _line_or_me(self, name: str) -> bytes:
        return self._line(name, name.encode() if self._me is None else self._me)
