"""Wishes about notifications: from sendmail's -N, -R and -V, by one variable, through qmail-inject into the envelope.

The variable is QMAILDSN, words as in ESMTP: NOTIFY=NEVER RET=HDRS ENVID=xtext; NOTIFY goes for every recipient. Another
qmail-inject than ours does not look at it. Loaded only where there are wishes. Source: RFC 3461.
"""

from qmailpy.rules.options import UsageError
from qmailpy.verdict import PERM, Die
from qmailpy.wire import xtext
from qmailpy.wire.parameters import MessageParameters, ParameterError, Parameters, RecipientParameters

_KEYWORDS = {b"N": b"NOTIFY", b"R": b"RET", b"V": b"ENVID"}
_NONE = {b"N": b"OFF", b"R": b"OFF"}  # msmtp's word for no wish
_ALSO = {b"HEADERS": b"HDRS"}  # likewise
_RULES = {
    b"N": b"it must be never, or some of success,failure,delay with commas between them",
    b"R": b"it must be full or hdrs",
    b"V": b"it must be 1 to 100 printable characters of ASCII",
}


def word(letter: bytes, value: bytes) -> bytes:
    """What the variable says for an option of sendmail's, empty for nothing.  Errors: UsageError.

    letter: N, R or V; value: as on the command line.
    """
    spoken = xtext.encode(value) if letter == b"V" else value.upper()
    if spoken == _NONE.get(letter):
        return b""
    spoken = _KEYWORDS[letter] + b"=" + _ALSO.get(spoken, spoken)
    try:
        read(spoken, 0)
    except ParameterError:
        raise UsageError(b"-%s %s: %s" % (letter, value, _RULES[letter])) from None
    return spoken


def read(text: bytes, recipients: int) -> Parameters:
    """What the variable says, for so many recipients.  Errors: ParameterError."""
    of_message, of_each = MessageParameters(), RecipientParameters()
    for spoken in text.split():
        keyword, equals, value = spoken.partition(b"=")
        known = [taker.take(keyword, value if equals else None) for taker in (of_message, of_each)]
        if not any(known):
            raise ParameterError(b"unknown parameter")
    return Parameters(of_message, [of_each] * recipients)


def of_variable(name: bytes, text: bytes, recipients: int) -> Parameters:
    """As read().  name: of the variable.  Errors: Die PERM."""
    try:
        return read(text, recipients)
    except ParameterError as error:
        raise Die(PERM, name + b" cannot be read: " + error.text) from None


def dropped(text: bytes) -> bytes:
    """What is said where another program than our own queue gets the message.  text: of the variable."""
    return (
        b"warning: " + b" ".join(text.split()) + b" is not passed on: here mail goes to a program that cannot be told"
    )
