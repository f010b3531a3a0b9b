"""Masquerading: the address that the world sees in the place of one that only this machine knows.

Two files, read by inject/settings. control/generic says which address stands for which; control/masquerade, in the
forms of dma's MASQUERADE, what replaces the user or the host of what is left. A line of either may begin with the
word envelope or header and a blank: then it is for that one only. Recipients in the envelope never change, or local
mail would leave the machine. Works on addresses as the envelope holds them. Source: spec/10-neighbours.md c1, c5.
"""

from qmailpy.rules.complete import Domains
from qmailpy.rules.rfc822 import ParseError

ENVELOPE, HEADER = b"envelope", b"header"
_BLANKS = b" \t"
_NOT_IN_HOST = bytes(range(33)) + b'@:<>(),;"\\'


class MasqueradeError(Exception):
    """A line that cannot be followed as it is meant.  text: what is wrong, with the line."""

    def __init__(self, text: bytes) -> None:
        """text: without LF."""
        super().__init__(text)
        self.text = text


class _Side:
    """The rules of the envelope, or those of the header."""

    __slots__ = ("addresses", "host", "hosts", "user")

    def __init__(self) -> None:
        """Nothing changes."""
        self.addresses: dict[bytes, bytes] = {}  # a whole address, in lower case: the public one
        self.hosts: dict[bytes, bytes] = {}  # a host: an address, or @host
        self.user = self.host = b""  # what replaces every user, every host

    def generic(self, address: bytes) -> bytes:
        """By control/generic; empty where it says nothing."""
        user, _, host = address.rpartition(b"@")
        public = self.addresses.get(address.lower()) or self.hosts.get(host.lower(), b"")
        return user + public if public.startswith(b"@") else public

    def replaced(self, address: bytes) -> bytes:
        """By control/masquerade."""
        user, _, host = address.rpartition(b"@")
        return (self.user or user) + b"@" + (self.host or host)


class Masquerade:
    """What both files say.  Addresses are completed ones, without quotes; what is empty or ends in @[] stays."""

    __slots__ = ("_domains", "_host", "_sides")

    def __init__(self, generic: list[bytes], forms: list[bytes], domains: Domains) -> None:
        """generic, forms: the lines of control/generic and control/masquerade.  Errors: MasqueradeError."""
        self._domains = domains
        self._host = domains.envelope(b"x").rpartition(b"@")[2].lower()  # what completes an address
        self._sides = {ENVELOPE: _Side(), HEADER: _Side()}
        for line in generic:
            for side, rule in self._scoped(line):
                self._add_generic(side, rule, line)
        for line in forms:
            for side, rule in self._scoped(line):
                _add_form(side, rule, line)

    def envelope(self, address: bytes) -> bytes:
        """The envelope sender that others see."""
        if not _is_one(address):
            return address
        side = self._sides[ENVELOPE]
        return side.generic(address) or side.replaced(address)

    def header(self, address: bytes, *, of_sender: bool) -> bytes:
        """An address of a header field as others see it.

        of_sender: the field says who sends. Only those are replaced by control/masquerade, and only if they are of
        this machine: of the host that completes an address, or of one below the host that replaces it.
        """
        if not _is_one(address):
            return address
        side = self._sides[HEADER]
        public = side.generic(address)
        if public or not of_sender or not self._is_ours(side, address.rpartition(b"@")[2].lower()):
            return public or address
        return side.replaced(address)

    def _is_ours(self, side: _Side, host: bytes) -> bool:
        below = b"." + side.host.lower()
        return host == self._host or (len(below) > 1 and host.endswith(below))

    def _scoped(self, line: bytes) -> list[tuple[_Side, bytes]]:
        words = line.split(None, 1)
        if len(words) == 2 and words[0].lower() in self._sides:
            return [(self._sides[words[0].lower()], words[1].strip(_BLANKS))]
        return [(side, line.strip(_BLANKS)) for side in self._sides.values()]

    def _add_generic(self, side: _Side, rule: bytes, line: bytes) -> None:
        local, colon, public = (part.strip(_BLANKS) for part in rule.partition(b":"))
        if not (colon and local.strip(b"@") and public.strip(b"@")) or _has_blank(local + public):
            raise MasqueradeError(b"not local:public: " + line)
        if public.startswith(b"@"):
            _check_host(public[1:], line)
        else:
            public = self._completed(public, line)
        if local.startswith(b"@"):
            _check_host(local[1:], line)
            side.hosts[local[1:].lower()] = public
        else:
            side.addresses[self._completed(local, line).lower()] = public

    def _completed(self, address: bytes, line: bytes) -> bytes:
        try:
            return self._domains.envelope(address)
        except ParseError:
            raise MasqueradeError(b"not an address: " + line) from None


def _add_form(side: _Side, rule: bytes, line: bytes) -> None:
    user, at, host = rule.rpartition(b"@")
    if not (user or host) or _has_blank(rule):
        raise MasqueradeError(b"none of host, user@, @host, user@host: " + line)
    if host or not at:
        _check_host(host, line)
    side.user, side.host = user, host


def _check_host(host: bytes, line: bytes) -> None:
    if not host or host.translate(None, _NOT_IN_HOST) != host:
        raise MasqueradeError(b"not a host: " + line)


def _has_blank(text: bytes) -> bool:
    return b" " in text or b"\t" in text or b"\0" in text


def _is_one(address: bytes) -> bool:
    return b"@" in address and not address.endswith(b"@[]")
