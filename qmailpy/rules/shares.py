"""How much of the remote channel a domain may have: control files concurrencydomain and holddomains.

concurrencydomain is a map: `slow.example:5` for this domain, `.slow.example:5` for each one below it, `*:20` (or an
empty key) for each of all others; 0 holds it. holddomains is a list of domains, as in rules/patterns. Pure.
"""

from qmailpy.rules.patterns import NOT, STAR, Patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_DIGITS = 9


class Shares:
    """Both files.  doubts: sentences about lines that make no sense, without a full stop."""

    __slots__ = ("_all", "_below", "_domains", "_held", "doubts")

    def __init__(self, lines: "Iterable[bytes]" = (), held: "Iterable[bytes]" = ()) -> None:
        """lines: of concurrencydomain; held: of holddomains; what makes no sense is left out."""
        self.doubts: list[bytes] = []
        self._domains: dict[bytes, int] = {}
        for line in lines:
            domain, colon, value = line.partition(b":")
            value = value.strip()
            if colon and value.isdigit() and len(value) <= _MOST_DIGITS:
                self._domains[domain.lower()] = int(value)
            else:
                self._doubt(b"control/concurrencydomain has a line that is not a domain, a colon and a number")
        last = self._domains.pop(b"", None)
        self._all = self._domains.pop(STAR, last)
        self._below = any(domain.startswith(b".") for domain in self._domains)
        entries = list(held)
        if any(b"@" in entry or b" " in entry for entry in entries):
            self._doubt(b"control/holddomains has a line that is no domain")
        if entries and all(entry.startswith(NOT) for entry in entries):
            self._doubt(b"control/holddomains has exceptions only, and nothing that they are from")
        self._held = Patterns(entries)

    def _doubt(self, text: bytes) -> None:
        if text not in self.doubts:
            self.doubts.append(text)

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self._domains or self._held or self._all is not None)

    def limit(self, domain: bytes) -> int | None:
        """Deliveries at once; 0: it is held; None: no rule is about it.  domain: in lower case."""
        if self._held.has_name(domain):
            return 0
        found = self._domains.get(domain)
        if found is None and self._below:
            dot = domain.find(b".", 1)
            while found is None and dot > 0:
                found = self._domains.get(domain[dot:])
                dot = domain.find(b".", dot + 1)
        return self._all if found is None else found
