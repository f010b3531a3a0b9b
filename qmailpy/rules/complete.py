"""Completion: what is added to an address that a person wrote short, so that it means the same everywhere.

joe becomes joe@defaulthost, joe@shop joe@shop.defaultdomain, joe@shop+ joe@shop.plusdomain; source routes go.
Works on the tokens of rules/rfc822.py. Source: spec/07-inject.md 5 (the numbered rules).
"""

from qmailpy.rules.quote import quote2
from qmailpy.rules.rfc822 import ATOM, LITERAL, SPECIALS, lex, text_of


class Domains:
    """The three domains that complete an address."""

    __slots__ = ("_domain", "_local", "_plus")

    def __init__(self, host: bytes, domain: bytes, plus: bytes) -> None:
        """host: defaulthost; domain: defaultdomain; plus: plusdomain.  Errors: ParseError."""
        self._domain = lex(domain)
        self._plus = lex(plus)
        self._local = self._qualified([b"@", *lex(host)])  # what an address without an @ gets

    def complete(self, address: list[bytes]) -> list[bytes]:
        """The tokens of one address, completed; the empty one, and one that ends in @[], stay as they are."""
        if len(address) == 1 and address[0] not in SPECIALS:
            return [address[0], *self._local]
        if not address or address[-2:] == [b"@", LITERAL]:
            return address
        address = _without_route(address)
        for trailing in (b".", b"@"):
            if address and address[-1] == trailing:
                address = address[:-1]
        if not address:
            return address
        if b"@" not in address:
            return [*address, *self._local]
        return self._qualified(address)

    def _qualified(self, address: list[bytes]) -> list[bytes]:
        """An address that has its @."""
        last = address[-1]
        if last[:1] == ATOM and last.endswith(b"+"):
            address = [*address[:-1], last[:-1], b".", *self._plus]
        if not _has_full_domain(address):
            address = [*address, b".", *self._domain]
        return address

    def envelope(self, address: bytes) -> bytes:
        """An address that did not come from a header (an argument, a variable): quoted, then completed.

        Result: as the envelope holds it.  Errors: ParseError.
        """
        return text_of(self.complete(lex(quote2(address))))


def _without_route(address: list[bytes]) -> list[bytes]:
    if address[0] != b"@":
        return address
    return address[address.index(b":") + 1 :] if b":" in address else []


def _has_full_domain(address: list[bytes]) -> bool:
    for token in reversed(address):
        if token == b"." or token[:1] == LITERAL:
            return True
        if token == b"@":
            return False
    return True  # no domain, nothing to qualify
