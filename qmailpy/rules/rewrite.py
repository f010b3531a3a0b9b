"""Where a recipient goes: the local or the remote channel, and as what address (spec/04 3).

Used by qmail-send for every recipient of every message, and by whoever explains or checks an address. No DNS, no
users: a domain is compared with four control files and that is all.
"""

from qmailpy.wire.delivery import LOCAL, REMOTE


class Domains:
    """What the control files envnoathost, locals, percenthack and virtualdomains say.

    Domains in any letter case; virtual: pattern -> value, the pattern lower-cased, an empty value exempts.
    """

    __slots__ = ("envnoathost", "locals", "percenthack", "virtual")

    def __init__(
        self, envnoathost: bytes, locals_: list[bytes], percenthack: list[bytes], virtual: dict[bytes, bytes]
    ) -> None:
        """virtual: as disk/control makes it of a colon map."""
        self.envnoathost = envnoathost
        self.locals = frozenset(each.lower() for each in locals_)
        self.percenthack = frozenset(each.lower() for each in percenthack)
        self.virtual = virtual


def route(recipient: bytes, domains: Domains) -> tuple[int, bytes]:
    """The channel of a recipient, and the address that is stored for it.

    recipient: any bytes without NUL; the result always has an @.  Errors: none.  Source: spec/04 3.
    """
    recipient = completed(recipient, domains)
    domain = recipient[recipient.rindex(b"@") + 1 :].lower()
    if domain in domains.locals:  # locals always beats virtualdomains
        return LOCAL, recipient
    if domains.virtual:
        value = virtual_value(recipient, domains.virtual)
        if value:
            return LOCAL, value + b"-" + recipient
    return REMOTE, recipient


def rule(recipient: bytes, domains: Domains) -> bytes:
    """Which control file decides where route() sends a recipient, and by which of its lines: none where none does."""
    recipient = completed(recipient, domains)
    domain = recipient[recipient.rindex(b"@") + 1 :].lower()
    if domain in domains.locals:
        return b"locals:" + domain
    key = virtual_key(recipient, domains.virtual) if domains.virtual else None
    return b"none" if key is None else b"virtualdomains:" + key


def completed(recipient: bytes, domains: Domains) -> bytes:
    """With a host, and without a percent hack: what is compared with locals and virtualdomains."""
    if b"@" not in recipient:
        recipient += b"@" + domains.envnoathost
    if domains.percenthack:
        recipient = _unhack(recipient, domains.percenthack)
    return recipient


def _unhack(recipient: bytes, percenthack: frozenset[bytes]) -> bytes:
    """user%there@here with here in percenthack means user@there, again and again."""
    box, _, domain = recipient.rpartition(b"@")
    while domain.lower() in percenthack:
        left, percent, right = box.rpartition(b"%")
        if not percent:
            break
        box, domain = left, right
    return box + b"@" + domain


def virtual_value(address: bytes, virtual: dict[bytes, bytes]) -> bytes | None:
    """The value of the first key that fits an address: all of it, its domain, .suffixes, then the empty key.

    None where nothing fits; an empty value means: exempt, look no further.
    """
    key = virtual_key(address, virtual)
    return None if key is None else virtual[key]


def virtual_key(address: bytes, virtual: dict[bytes, bytes]) -> bytes | None:
    """The key that decides for an address; None where nothing fits."""
    whole = address.lower()
    return whole if virtual.get(whole) is not None else _domain_key(whole[whole.rindex(b"@") + 1 :], virtual)


def domain_value(domain: bytes, virtual: dict[bytes, bytes]) -> bytes | None:
    """As virtual_value, for a domain in lower case."""
    key = _domain_key(domain, virtual)
    return None if key is None else virtual[key]


def _domain_key(domain: bytes, virtual: dict[bytes, bytes]) -> bytes | None:
    while True:
        if virtual.get(domain) is not None:
            return domain
        if not domain:
            return None
        dot = domain.find(b".", 1)
        domain = domain[dot:] if dot > 0 else b""
