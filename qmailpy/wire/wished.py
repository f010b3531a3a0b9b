"""The envelope parameters of one delivery on one line: what qmail-send hands on to qmail-remote by qmail-rspawn.

The words of the message and of its recipient (wire/parameters) in one text, which has neither NUL nor LF: on the wide
wire (wire/delivery), in the request to the worker, and in $QMAILWISHED for a qmail-remote that is executed. They are
wishes: a text that makes no sense is none.
"""

from qmailpy.wire.parameters import MessageParameters, ParameterError, Parameters, RecipientParameters

LONGEST = 2000  # bytes; ENVID and ORCPT have less than 1,000 together


def encode(wished: Parameters) -> bytes:
    """wished: of one recipient."""
    of_recipient = wished.recipients[0].encode() if wished.recipients and wished.recipients[0] is not None else b""
    return b" ".join(text for text in (wished.message.encode(), of_recipient) if text)


def decode(text: bytes, recipients: int = 1) -> Parameters | None:
    """What encode() was given; None where there is nothing that we understand.  recipients: so many wish the same."""
    if not text or len(text) > LONGEST:
        return None
    message, recipient = MessageParameters(), RecipientParameters()
    try:
        for word in text.split(b" "):
            keyword, equals, value = word.partition(b"=")
            said = value if equals else None
            if not message.take(keyword, said) and not recipient.take(keyword, said):
                return None
    except ParameterError:
        return None
    return Parameters(message, [recipient] * recipients)
