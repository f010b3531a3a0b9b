"""Which dialogues are to be shown line by line: the words of control/transcript.

example.org     mail for this domain
.example.org    mail for every domain that ends so
192.0.2.1       mail that goes to the host with this address, in digits; brackets may stand around it
mx.example.net  mail that goes to this exchanger or relay
"""

from qmailpy.rules import literal


def wanted(words: list[bytes]) -> frozenset[bytes]:
    """The words as is_wanted() takes them."""
    return frozenset(_canonical(word) for word in words)


def _canonical(word: bytes) -> bytes:
    bare = word.strip(b"[]")
    return literal.ipv4(bare) or literal.ipv6(bare) or word.lower()


def is_wanted(words: frozenset[bytes], host: bytes, ip: bytes, name: bytes) -> bool:
    """host: the domain of the recipients; ip, name: of the server that it goes to, canonical."""
    host = host.lower()
    if ip in words or name.lower() in words or host in words:
        return True
    at = host.find(b".")
    while at >= 0:
        if host[at:] in words:
            return True
        at = host.find(b".", at + 1)
    return False
