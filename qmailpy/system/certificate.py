"""A certificate's file, as far as its administrator must be told about it: what is missing in it, and when it ends.

TLS itself is system/tls_server's; this only turns OpenSSL's silence into sentences.
"""

import binascii
import errno
import posix

from qmailpy.system import descriptors, identity
from qmailpy.verdict import TEMP, Die, words

LIMIT = 1 << 20  # bytes of a chain and its key
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_KEY, _LOCKED = b" PRIVATE KEY-----", b"ENCRYPTED"
_SEQUENCE, _VERSION, _UTC, _GENERAL = 0x30, 0xA0, 0x17, 0x18  # DER's tags
_CENTURY = 50  # a year of two digits below is in the 21st (RFC 5280 4.1.2.5.1)


def read(path: bytes) -> bytes:
    """The file.  Errors: Die TEMP."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            return descriptors.read_whole(descriptor, LIMIT)
        finally:
            posix.close(descriptor)
    except OSError as error:
        who = b" by uid %d" % identity.my_uid() if error.errno == errno.EACCES else b""
        raise Die(TEMP, b"unable to read " + path + who + b": " + words(error)) from None


def fault(chain: bytes, key: bytes) -> bytes | None:
    """What is missing, as a clause; None: nothing that can be seen.  chain, key: content of their files, often one."""
    if _BEGIN not in chain:
        return b"there is no certificate in it"
    if _KEY not in key:
        return b"there is no private key in it"
    before, _, _ = key.partition(_KEY)
    if _LOCKED in before.rpartition(b"-----BEGIN")[2] or b"Proc-Type: 4,ENCRYPTED" in key:
        return b"its key is locked by a pass phrase, and nobody is here to type it"
    return None


def end(chain: bytes) -> bytes | None:
    """The last moment of the first certificate, as 20300102030405 in UTC; None where that cannot be made out."""
    try:
        der = binascii.a2b_base64(chain.partition(_BEGIN)[2].partition(_END)[0])
        _, inside, _ = _element(der, 0)  # the certificate
        _, inside, _ = _element(inside, 0)  # what is signed
        at = 0
        tag, _, behind = _element(inside, at)
        if tag == _VERSION:
            at = behind
        for _ in range(3):  # serial, algorithm, issuer
            _, _, at = _element(inside, at)
        tag, validity, _ = _element(inside, at)
        _, _, at = _element(validity, 0)
        kind, moment, _ = _element(validity, at)
    except (binascii.Error, IndexError):
        return None
    if kind == _UTC and moment[:2].isdigit():
        moment = (b"20" if int(moment[:2]) < _CENTURY else b"19") + moment
    elif kind != _GENERAL:
        return None
    moment = moment.removesuffix(b"Z")
    return moment if tag == _SEQUENCE and len(moment) == len(b"YYYYMMDDhhmmss") and moment.isdigit() else None


def _element(content: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and end of what stands there.  Errors: IndexError."""
    tag, length = content[at], content[at + 1]
    at += 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(content[at : at + size], "big")
        at += size
    if at + length > len(content):
        raise IndexError
    return tag, content[at : at + length], at + length
