"""The Received line of a message that came by the network (spec/06 5): who brought it, how, to whom, and when.

For SMTP, QMTP and QMQP. What clients and name servers say stands in it with nothing but harmless bytes.
"""

from qmailpy.rules.date import date822

_SAFE = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@%+/=:-[]"
_SHOWN = bytes(byte if byte in _SAFE else ord("?") for byte in range(256))
_CIPHER = bytes(byte if byte in _SAFE + b"_" else ord("?") for byte in range(256))
_UNKNOWN = b"unknown"


def arrived(
    environment: dict[bytes, bytes], protocol: bytes, when: int, helo: bytes | None = None, tls: bytes = b""
) -> bytes:
    """The line, folded once, with its LF.

    environment: of the connection, by tcpserver's names; protocol: SMTP, ESMTPS, QMTP, ...; when: seconds since the
    epoch; helo: what the client calls itself; tls: protocol and cipher, as "TLSv1.3 TLS_AES_256_GCM_SHA384".
    """
    host = environment.get(b"TCPREMOTEHOST", _UNKNOWN)
    line = b"Received: from " + host.translate(_SHOWN)
    if helo is not None and helo.lower() != host.lower():
        line += b" (HELO " + helo.translate(_SHOWN) + b")"
    person = environment.get(b"TCPREMOTEINFO")
    at = b"" if person is None else person.translate(_SHOWN) + b"@"
    line += b" (" + at + environment.get(b"TCPREMOTEIP", _UNKNOWN).translate(_SHOWN) + b")\n  by "
    local = environment.get(b"TCPLOCALHOST", environment.get(b"TCPLOCALIP", _UNKNOWN))
    line += local.translate(_SHOWN) + b" with " + protocol
    if tls:
        line += b" (" + b" ".join(word.translate(_CIPHER) for word in tls.split()) + b")"
    return line + b"; " + date822(when)


def smtp_name(*, tls: bool, login: bool, utf8: bool) -> bytes:
    """How SMTP is called in the line (RFC 3848, 6531): plain SMTP, as always, where nothing newer was used."""
    if not (tls or login or utf8):
        return b"SMTP"
    return (b"UTF8SMTP" if utf8 else b"ESMTP") + b"S" * tls + b"A" * login
