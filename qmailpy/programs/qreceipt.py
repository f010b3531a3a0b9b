"""qreceipt: answers a sender who has asked to be told of the delivery, from a .qmail file.

    qreceipt deliveryaddress

The header's Notice-Requested-Upon-Delivery-To must hold this very address. A bounce gets no answer.
Runs as: the user.
Descriptors: 0 the message; 2 one line if it fails.
Exit codes: 0 answered, or nobody wants to know; 100 usage, no SENDER, a field that cannot be parsed, refused for good;
111 try later.
Control files: none.  Trusts: nobody; the notice goes to the envelope's sender, and bounces to nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.local import glance
from qmailpy.local.surroundings import required
from qmailpy.rules.quote import quote2
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words

_NOBODY = (b"", b"#@[]")  # senders of bounces


class Request:
    """What the header says: who wants to be told (addresses), and of which message (identity, a field)."""

    __slots__ = ("addresses", "identity")

    def __init__(self) -> None:
        """Nothing yet."""
        self.addresses: list[bytes] = []
        self.identity = b""

    def take(self, name: bytes, field: bytes) -> None:
        """One field.  Errors: Die PERM."""
        if name == b"message-id":
            self.identity = field
        elif name == b"notice-requested-upon-delivery-to":
            from qmailpy.rules.rfc822 import AddressList, ParseError, lex

            try:
                self.addresses += AddressList(lex(field.partition(b":")[2]), lambda address: address).addresses
            except ParseError:
                raise Die(PERM, b"unable to parse this: " + field.rstrip(b"\n")) from None


def _notice(sender: bytes, address: bytes, identity: bytes) -> bytes:
    to = quote2(sender).replace(b"\n", b"_")  # a sender writes no header lines of ours
    return (
        b"From: DELIVERY NOTICE SYSTEM <%s>\nTo: <%s>\nSubject: success notice\n\n"
        b"Hi! This is the qreceipt program. Your message was delivered to the\n"
        b"following address: %s. Thanks for asking.\n"
    ) % (to, to, address) + (b"Your " + identity if identity else b"")


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    if len(argv) == 1:
        descriptors.say(b"qreceipt: usage: qreceipt deliveryaddress")
        return EXIT[PERM]
    sender = required(b"SENDER")
    request = Request()
    try:
        glance.read_header(0, request.take)
    except OSError as error:
        raise Die(TEMP, b"read error: " + words(error)) from None
    if argv[1] not in request.addresses or sender in _NOBODY:
        return EXIT[OK]
    from qmailpy.skeletons.submit import Submission

    submission = Submission(home)
    submission.write(_notice(sender, argv[1], request.identity))
    result = submission.close(b"", [sender])
    if result.text:
        raise Die(PERM if result.text.startswith(b"D") else TEMP, result.text[1:])
    return EXIT[OK]
