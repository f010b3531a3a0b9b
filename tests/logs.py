"""qmail-send's log, read as its grammar says (spec/04-send.md 8): a line that does not fit is a failed test.

A log comes from a file (qmail-start's descriptor 1) or from a syslog socket (splogger); both give Lines in order.
"""

import re
import time
from collections.abc import Callable, Sequence

GRAMMAR = {
    "new": r"new msg (?P<msg>\d+)",
    "info": r"info msg (?P<msg>\d+): bytes (?P<bytes>\d+) from <(?P<sender>.*)> qp (?P<qp>\d+) uid (?P<uid>\d+)",
    "starting": r"starting delivery (?P<delivery>\d+): msg (?P<msg>\d+) to (?P<channel>local|remote) (?P<recipient>.+)",
    "status": r"status: local (?P<local>\d+)/\d+ remote (?P<remote>\d+)/\d+(?P<exiting> exitasap)?",
    "delivery": r"delivery (?P<delivery>\d+): (?P<outcome>success|failure|deferral): (?P<report>.*)",
    "mangled": r"delivery (?P<delivery>\d+): report mangled, will defer",
    "bounce": r"bounce msg (?P<msg>\d+) qp (?P<qp>\d+)",
    "order": r"order for msg (?P<msg>\d+): "
    r"(?P<what>hold|release|delete|bounce|move( later| refused, it stays)?)(: (?P<words>.*))?",
    "unwanted": r"no bounce for msg (?P<msg>\d+) to (?P<recipient>.+): NOTIFY=[A-Z,]+",
    "report": r"(?P<what>success|delay) report msg (?P<msg>\d+) qp (?P<qp>\d+)",
    "budget": r"bounce budget of (?P<limit>\d+) in an hour used up: further "
    r"(bounces|reports) to <(?P<sender>.*)> are (collected|left out)",
    "held": r"held msg (?P<msg>\d+) to remote (?P<domain>.*): this domain is held",
    "busy": r"busy domain (?P<domain>.*): (?P<limit>\d+) deliveries at once, further mail waits",
    "triple": r"triple bounce: discarding bounce/(?P<msg>\d+)",
    "end": r"end msg (?P<msg>\d+)",
    "exiting": r"status: exiting",
    "alert": r"alert: (?P<words>.+)",
    "warning": r"warning: (?P<words>.+)",
    "trace": r"trace: (?P<words>.+)",
}
_COMPILED = {kind: re.compile(pattern) for kind, pattern in GRAMMAR.items()}
PATIENCE = 30.0  # seconds


class Line:
    """One line: its kind (a key of GRAMMAR, "?" when none fits), its text, its fields by name."""

    def __init__(self, text: str) -> None:
        self.text, self.kind, self.fields = text, "?", {}  # type: str, str, dict[str, str]
        for kind, pattern in _COMPILED.items():
            if found := pattern.fullmatch(text):
                self.kind, self.fields = kind, found.groupdict() or {}
                break

    def __getattr__(self, name: str) -> str:
        if name not in self.fields:
            raise AttributeError(f"the line {self.text!r} has no {name}")
        return self.fields[name]

    def __repr__(self) -> str:
        return self.text


class Log:
    """All lines so far from a source, which gives whole lines without their LF."""

    def __init__(self, source: Callable[[], Sequence[str]], alive: Callable[[], bool] = lambda: True) -> None:
        """alive: whether waiting still makes sense."""
        self._source, self._alive = source, alive

    @property
    def lines(self) -> list[Line]:
        return [Line(text) for text in self._source()]

    def count(self) -> int:
        """How many lines there are: a position for `after`."""
        return len(self._source())

    def wait(self, kind: str, after: int = 0, seconds: float = PATIENCE, **fields: str) -> Line:
        """The first line of this kind, with these fields, at or after this position; fails the test without one.

        A field's wanted value may end in "*": then it only begins so.
        """
        deadline = time.monotonic() + seconds
        while True:
            alive = self._alive()  # asked before reading, so that a dying system's last line is seen
            for line in self.lines[after:]:
                if line.kind == kind and all(_fits(line.fields.get(name), wanted) for name, wanted in fields.items()):
                    return line
            if time.monotonic() > deadline or not alive:
                state = "in vain" if alive else "and the system ended"
                raise AssertionError(f"waited {state} for {kind} {fields} in the log:\n{self.text()}")
            time.sleep(0.01)

    def ends(self, count: int, after: int = 0) -> None:
        """Wait until so many messages have ended."""
        deadline = time.monotonic() + PATIENCE
        while sum(line.kind == "end" for line in self.lines[after:]) < count:
            if time.monotonic() > deadline or not self._alive():
                raise AssertionError(f"waited in vain for {count} end msg in the log:\n{self.text()}")
            time.sleep(0.01)

    def of(self, msg: str, after: int = 0) -> list[Line]:
        """The lines about one message, deliveries included, in order, up to its end (a number comes back)."""
        deliveries: set[str] = set()
        found = []
        for line in self.lines[after:]:
            if line.fields.get("msg") == msg or line.fields.get("delivery") in deliveries:
                found.append(line)
                if line.kind == "starting":
                    deliveries.add(line.delivery)
                if line.kind == "end":
                    break
        return found

    def strangers(self) -> list[str]:
        """Lines that no rule of the grammar allows."""
        return [line.text for line in self.lines if line.kind == "?"]

    def text(self) -> str:
        return "\n".join(self._source())


def _fits(value: str | None, wanted: str) -> bool:
    if value is None:
        return False
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def in_order(log: Log, *wanted: str, after: int = 0) -> None:
    """Whether these patterns match lines in this order; other lines may stand between them."""
    texts = [line.text for line in log.lines[after:]]
    at = 0
    for pattern in wanted:
        while at < len(texts) and not re.fullmatch(pattern, texts[at]):
            at += 1
        assert at < len(texts), f"no line {pattern!r} in its place in the log:\n" + "\n".join(texts)
        at += 1
