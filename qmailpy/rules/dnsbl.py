r"""Lists of bad addresses in the DNS: control/dnsbl, and what is asked for an address.

    zone                                everybody who is listed there is refused
    zone text                           with this text; % in it is the client's address
    zone 451 text                       with this code instead of 553
    zone=127.0.0.2,127.0.0.4-7 text     only if an answer is one of these: an address, a range in its last number, or
                                        a beginning that ends with a dot
    !zone                               who is listed there is not asked about in the lines after this one

Without = every answer in 127.0.0.0/8 counts but those in 127.255.255.0/24, with which lists say that they do not like
to be asked. Any other answer is one that a domain's seller gives, and means nothing. Without a text the zone's own (its
TXT record) is told. The first line that fits decides.  Used by skeletons/dnsbl. Pure.
"""

from qmailpy.rules import literal

SPARE = b"!"
CODE = b"553"
_DIGITS = b"0123456789"
_USUAL, _COMPLAINT = b"127.", b"127.255.255."
LONGEST_TEXT = 400  # bytes that are told
_SAFE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


class BadZone(Exception):
    """The line says what cannot be done.  reason: a clause."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


class Zone:
    """One line.  spares: it begins with the sign for that; code, text: of the reply, text empty: the zone's own."""

    __slots__ = ("_answers", "code", "name", "spares", "text")

    def __init__(self, line: bytes) -> None:
        """Errors: BadZone."""
        self.spares = line.startswith(SPARE)
        words, _, text = line.removeprefix(SPARE).partition(b" ")
        self.name, filtered, answers = words.partition(b"=")
        if not self.name.strip(b".") or b"%" in self.name:
            raise BadZone(b"it has no name of a zone")
        self._answers = [_answer(each) for each in answers.split(b",")] if filtered else None
        self.code, self.text = _code_and_text(text.strip())

    def counts(self, answer: bytes) -> bool:
        """Whether an answer (an IPv4 address, canonical) means that the address is listed."""
        if self._answers is None:
            return answer.startswith(_USUAL) and not answer.startswith(_COMPLAINT)
        front, _, last = answer.rpartition(b".")
        return any(
            answer.startswith(begin) if high < 0 else front == begin and low <= int(last) <= high
            for begin, low, high in self._answers
        )

    def reply(self, address: bytes, own: bytes = b"") -> bytes:
        """Code and text for the client.  own: what the zone's TXT record says, perhaps nothing."""
        text = self.text.replace(b"%", address) or own or b"sorry, %s is listed in %s" % (address, self.name)
        told = text.translate(_SAFE)[:LONGEST_TEXT].rstrip()
        if not told.endswith(b")"):
            told += b" (#%s.7.1)" % self.code[:1]
        return self.code + b" " + told


def _code_and_text(text: bytes) -> tuple[bytes, bytes]:
    code, _, rest = text.partition(b" ")
    if len(code) == 3 and not code.strip(_DIGITS) and code[:1] in b"45":
        return code, rest.strip()
    return CODE, text


def _answer(text: bytes) -> tuple[bytes, int, int]:
    """What a pattern of answers begins with, and the range of its last number; -1 for a beginning."""
    if text.endswith(b".") and literal.ipv4(text + b"0" + b".0" * (3 - text.count(b"."))):
        return text, 0, -1
    low, dash, high = text.partition(b"-")
    address = literal.ipv4(low)
    if address is None or (dash and (not high or high.strip(_DIGITS) or len(high) > 3)):
        raise BadZone(b"an answer is an address, as 127.0.0.2 or 127.0.0.2-11 or 127.0.0.")
    front, _, last = address.rpartition(b".")
    return front, int(last), int(high) if dash else int(last)


def question(address: bytes, zone: bytes) -> bytes:
    """The name that is asked for: the address backwards, and the zone.

    address: canonical (rules/literal); of IPv6 each hexadecimal digit is a label.  Source: RFC 5782.
    """
    packed = literal.pack(address)
    parts = (
        [b"%d" % byte for byte in packed] if len(packed) == 4 else [b"%c" % digit for digit in packed.hex().encode()]
    )
    return b".".join([*reversed(parts), zone.strip(b".")])
