"""qmail-send's control files: read at the start, and all of them again on HUP (spec/04 1, PIC/decisions/bounces).

A HUP changes nothing where one of them cannot be read or makes no sense: the old ones stay, all of them. At the start
there are no old ones: a file that makes no sense counts as missing, aloud.
"""

import posix

from qmailpy.disk import control, control_kinds
from qmailpy.disk.home import Home
from qmailpy.rules import bounce, logline
from qmailpy.rules.rewrite import Domains
from qmailpy.rules.shares import Shares
from qmailpy.skeletons import domains
from qmailpy.verdict import TEMP, Die

LIFETIME = 604800  # seconds: a week
DELAY_WARNING = 14400  # seconds: four hours
BOUNCE_BUDGET = 100  # bounces to one sender in an hour
CONCURRENCY = (("concurrencylocal", 10), ("concurrencyremote", 20))  # indexed by channel
_FORMATS = {b"qsbmf": False, b"dsn": True}
_CONTENTS = {b"full": False, b"headers": True}
_QMAILS_OWN = (b"locals", b"virtualdomains")  # whose alerts are byte for byte qmail's


class _UnreadableError(Die):
    """alert: as a HUP tells of it."""

    def __init__(self, name: bytes, reason: bytes) -> None:
        super().__init__(TEMP, name)
        self.alert = logline.REREAD % name
        if name not in _QMAILS_OWN:
            self.alert += b": " + reason


class Controls:
    """What the control files say.

    lifetime, delay_warning: seconds; limits: of deliveries, by channel; us: who bounces come from; bounce_budget: 0 for
    none; shares: of domains; traces: whether the log says more; doubts: alerts about files that counted as missing at
    the start.
    """

    def __init__(self, home: Home) -> None:
        """Errors: Die TEMP where one cannot be read, or there is neither locals nor me."""
        self._home = home
        reading = _Reading(home)
        self._take(reading)
        self.doubts = [logline.START_NONSENSE % doubt for doubt in reading.doubts]

    def reread(self) -> tuple[bytes, bool]:
        """All files as they are now.

        Result: empty, or the alert of what is wrong, and then all stays as it was; whether to try again soon.
        """
        try:
            posix.stat(self._home.at(b"control"))
        except OSError:  # files that cannot be found would count as absent
            return logline.REREAD_HOME, True
        try:
            reading = _Reading(self._home)
        except _UnreadableError as error:
            return error.alert, True
        except Die:
            return logline.REREAD % b"locals", True  # there is neither locals nor me
        doubts = reading.doubts + reading.doubts_on_hup + reading.oddities()
        if doubts:
            return logline.REREAD_NONSENSE % doubts[0], False
        self._take(reading)
        return b"", False

    def _take(self, found: "_Reading") -> None:
        self.lifetime, self.limits, self.us, self.domains = found.lifetime, found.limits, found.us, found.domains
        self.traces = found.traces
        self.delay_warning, self.bounce_budget, self.shares = found.delay_warning, found.bounce_budget, found.shares


class _Reading:
    """All of them, once.  doubts: about files that make no sense; doubts_on_hup: such as qmail takes in silence."""

    def __init__(self, home: Home) -> None:
        """Errors: Die TEMP; of them _UnreadableError where it is about one file."""
        self._home = home
        self._texts: dict[bytes, bytes] = {}  # but those that are not there
        self.doubts: list[bytes] = []
        self.doubts_on_hup: list[bytes] = []
        me = self._text("me")
        self._me = None if me is None else control.first_line(me)
        self.lifetime = self._integer("queuelifetime", LIFETIME)
        self.delay_warning = self._integer("delaywarning", DELAY_WARNING)
        self.bounce_budget = self._integer("bouncebudget", BOUNCE_BUDGET)
        self.traces = self._integer("trace", 0) > 0
        self.limits = [self._integer(name, default) for name, default in CONCURRENCY]
        double_to = self._line("doublebounceto", b"postmaster")
        self.us = bounce.Sender(
            self._line("bouncefrom", b"MAILER-DAEMON"),
            self._line_or_me("bouncehost"),
            b"%s@%s" % (double_to, self._line_or_me("doublebouncehost")),
            uses_local_time=self._integer("localtime", 0) > 0,
            is_mime=self._word("bounceformat", _FORMATS, b"qsbmf"),
            headers_only=self._word("bouncecontent", _CONTENTS, b"full"),
        )
        self.shares = Shares(self._listing("concurrencydomain") or (), self._listing("holddomains") or ())
        self.doubts += self.shares.doubts
        names = self._listing("locals")
        self.domains = Domains(
            self._line_or_me("envnoathost"),
            domains.local_names(home, self._me) if names is None else names,
            self._listing("percenthack") or [],
            control.mapping(self._listing("virtualdomains") or []),
        )

    def oddities(self) -> list[bytes]:
        """What their writer did not mean: a line without its colon, an editor's CR or blank, a value below line 1."""
        found = [b"control/me is empty"] if self._me == b"" else []
        for name, text in self._texts.items():
            kind = control_kinds.KINDS[name]
            if kind != control_kinds.NUMBER:  # 50M is 50
                doubts = control_kinds.doubts(kind, text)
                found += [b"control/%s: %s" % (name, doubt.removesuffix(b" and is ignored")) for doubt in doubts]
        return found

    def _text(self, name: str) -> bytes | None:
        path = name.encode()
        try:
            text = control.read(self._home.control(path))
        except Die as death:
            raise _UnreadableError(path, death.text.rpartition(b": ")[2]) from None
        if text is not None:
            self._texts[path] = text
        return text

    def _listing(self, name: str) -> list[bytes] | None:
        text = self._text(name)
        return None if text is None else control.entries(text)

    def _integer(self, name: str, default: int) -> int:
        text = self._text(name)
        value = default if text is None else control.number(text)
        if value is None:
            self.doubts_on_hup.append(b"control/%s does not begin with a digit" % name.encode())
            return default
        return value

    def _word(self, name: str, words: dict[bytes, bool], default: bytes) -> bool:
        value = words.get(self._line(name, default).lower())
        if value is None:
            self.doubts.append(b"control/%s is neither %s" % (name.encode(), b" nor ".join(words)))
            return words[default]
        return value

    def _line(self, name: str, default: bytes) -> bytes:
        own = self._text(name)
        return default if own is None else control.first_line(own)

    def _line_or_me(self, name: str) -> bytes:
        return self._line(name, name.encode() if self._me is None else self._me)
