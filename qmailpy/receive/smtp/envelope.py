"""MAIL and RCPT: whom a message is from and for, and what is wished of it (spec/06 5; RFC 5321 3.3)."""

from qmailpy.receive.refusal import Refusal
from qmailpy.wire.smtp_server import LONGEST_ADDRESS, number, parameters, path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.session import Session
    from qmailpy.receive.smtp.transaction import Transaction
    from qmailpy.wire.parameters import MessageParameters, RecipientParameters

_SYNTAX = b"555 syntax error (#5.5.4)"
_FULL = b"452 out of disk space: try again later (#4.3.1)"
_TOO_BIG = b"552 sorry, that message size exceeds my databytes limit (#5.3.4)"


async def mail(session: "Session", argument: bytes) -> None:
    """MAIL: it begins anew, whatever was before."""
    session.count()
    address, behind = path(argument)
    address = session.localized(address)
    if len(address) > LONGEST_ADDRESS:
        session.complain(_SYNTAX)
        return
    words = list(parameters(behind))
    size, wishes, fault = _mail_words(session, words) if words else (0, None, b"")
    if fault:
        session.complain(fault)
        return
    await session.reset()
    refusal = session.unauthenticated() or await session.policy.sender(address, words)
    if session.policy.replaced is not None:
        address = session.policy.replaced
    refusal = refusal or _refuse_size(session, size) or _refuse_name(session, address)
    if refusal is not None:
        session.refuse(refusal)
        session.policy.reset()
        return
    session.transaction.begin(address, size, wishes)
    session.say(b"250 ok")


def _refuse_size(session: "Session", size: int) -> Refusal | None:
    if session.databytes and size > session.databytes:
        return Refusal(_TOO_BIG, b"databytes")
    if not session.controls.has_room(size):
        return Refusal(_FULL, b"disk")
    return None


def _refuse_name(session: "Session", address: bytes) -> Refusal | None:
    if session.login is None or not session.submission:
        return None
    from qmailpy.receive.smtp.submission import refuse_name

    return refuse_name(session.controls, session.login, address)


def _mail_words(
    session: "Session", words: list[tuple[bytes, bytes | None]]
) -> "tuple[int, MessageParameters | None, bytes]":
    """Size, wishes, and a reply if one of them cannot be.  What nobody knows is ignored, as always."""
    size: int | None = 0
    wishes: list[tuple[bytes, bytes | None]] = []
    for keyword, value in words:
        if keyword == b"SIZE":
            size = number(value)
            if size is None:
                return 0, None, b"501 SIZE must be a number of bytes (#5.5.4)"
        elif keyword == b"REQUIRETLS":
            return 0, None, b"555 REQUIRETLS is not offered here: nobody could promise it beyond this host (#5.5.4)"
        elif keyword == b"BODY" or keyword in session.controls.wishes:
            wishes.append((keyword, value))
    if not wishes:
        return size or 0, None, b""
    from qmailpy.wire.parameters import MessageParameters

    message = MessageParameters()
    return size or 0, message, _take(message, wishes)


def _take(wishing: "MessageParameters | RecipientParameters", wishes: list[tuple[bytes, bytes | None]]) -> bytes:
    """The reply if one of them cannot be."""
    from qmailpy.wire.parameters import ParameterError

    try:
        for keyword, value in wishes:
            wishing.take(keyword, value)
    except ParameterError as error:
        return b"501 " + error.text + b" (#5.5.4)"
    return b""


async def rcpt(session: "Session", argument: bytes) -> None:
    """RCPT."""
    transaction = session.transaction
    if transaction.sender is None:
        session.complain(b"503 MAIL first (#5.5.1)")
        return
    if transaction.body is not None:
        session.complain(b"503 the message has begun (#5.5.1)")
        return
    address, behind = path(argument)
    address = session.localized(address)
    if len(address) > LONGEST_ADDRESS:
        session.complain(_SYNTAX)
        return
    each, fault = _each_words(behind) if behind and session.controls.dsn else (None, b"")
    if fault:
        session.complain(fault)
        return
    controls = session.controls
    if not (transaction.has_room(controls.recipients, address) and controls.may_hold(transaction.weight)):
        _refuse_more(session, transaction, address)
        return
    refusal = await session.policy.recipient(address)
    if refusal is not None:
        session.refuse(refusal, address)
        session.count()  # or one client could fill the log, or try every name that there may be
        return
    replaced = session.policy.replaced
    address = address if replaced is None else replaced
    before = transaction.weight
    transaction.add(address, each, len(behind))
    controls.held += transaction.weight - before
    session.say(b"250 ok")


def _refuse_more(session: "Session", transaction: "Transaction", address: bytes) -> None:
    """Noted once: a client may send hundreds together before it reads an answer, and comes again with the rest."""
    refusal = Refusal(b"452 too many recipients (#4.5.3)", b"recipients")
    if transaction.is_full:
        session.say(refusal.reply)
    else:
        session.refuse(refusal, address)
    transaction.is_full = True


def _each_words(behind: bytes) -> "tuple[RecipientParameters | None, bytes]":
    wishes = [(keyword, value) for keyword, value in parameters(behind) if keyword in (b"NOTIFY", b"ORCPT")]
    if not wishes:
        return None, b""
    from qmailpy.wire.parameters import RecipientParameters

    each = RecipientParameters()
    return each, _take(each, wishes)
