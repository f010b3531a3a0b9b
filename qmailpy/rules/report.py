"""What qmail-remote reports, and how qmail-rspawn reads it (spec/03-pipes.md 7, spec/06 1).

Report: items, each a letter, a text, NUL. First one for each recipient that the server answered (r accepted, h refused
for good, s refused for now), then one for the message (K, Z, D). The sentences are an interface: logs are searched for
them. Both ends are here: the functions above reduce() write, it reads.
"""

from qmailpy.verdict import LETTER, PERM, TEMP
from qmailpy.wire import smtp
from qmailpy.wire.smtp_errand import UNSAYABLE, is_yes
from qmailpy.wire.smtp_reply import Reply

USAGE = b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0"
NO_HOME = b"ZUnable to switch to home directory. (#4.3.0)\n\0"
NO_CONTROLS = b"ZUnable to read control files. (#4.3.0)\n\0"
BAD_HELOHOST = b"ZThe name in control/helohost (or me) has bytes that no name has. (#4.3.5)\n\0"
NO_RESOURCES = b"ZSystem resources temporarily unavailable. (#4.3.0)\n\0"
NO_MEMORY = b"ZOut of memory. (#4.3.0)\n\0"
UNREADABLE = b"ZUnable to read message. (#4.3.0)\n\0"
NO_ANSWER_YET = b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n\0"
NO_EXCHANGER = b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n\0"
LOOP = (
    b"DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
    b"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n\0"
)
NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"
BAD_SENDER = b"DSorry, this sender address cannot be said in SMTP. (#5.1.7)\n\0"
BAD_RECIPIENT = b"hSorry, this recipient address cannot be said in SMTP. (#5.1.3)\n\0"
NOBODY_LEFT = b"DGiving up.\n\0"  # no recipient has an address that can be said
CRASHED = b"Zqmail-remote crashed.\n\0"

# steps that have nothing to do with the message: whatever goes wrong there, it is not its fault
BEFORE_MAIL = (smtp.GREETING, smtp.EHLO, smtp.HELO, smtp.STARTTLS, smtp.TLS, smtp.AUTH)
_ABOUT_US = (530, 534, 535, 538)  # log in first, or otherwise: our configuration is wrong, not the mail
_NO_SUCH_HOST = b"Sorry, I couldn't find any host named "
RELAY_AWAY = b"Mail waits for the relay "
PASSED_ON = b"It was asked to notify the sender itself.\n"
_ASCII_RECIPIENT = b"it takes no address beyond ASCII (SMTPUTF8), and this is one"

_LOGIN_REFUSED = b" but my login in control/smtpauth was refused; mail waits until one of us mends it"
# step that failed -> sentence with the server's address; True: for now even if the reply says for good
_FAILED = {
    smtp.GREETING: (b"Connected to %s but greeting failed", True),
    smtp.EHLO: (b"Connected to %s but my name was rejected", True),
    smtp.HELO: (b"Connected to %s but my name was rejected", True),
    smtp.STARTTLS: (b"Connected to %s but it refused TLS, which its route asks for", True),
    smtp.AUTH: (b"Connected to %s" + _LOGIN_REFUSED, True),
    smtp.MAIL: (b"Connected to %s but sender was rejected", False),
    smtp.DATA: (b"%s failed on DATA command", False),
    smtp.CHUNK: (b"%s failed on BDAT command", False),
    smtp.DOT: (b"%s failed after I sent the message", False),
}


def printable(name: bytes) -> bytes:
    """A host name for a sentence: bytes that are not printable ASCII become '?'."""
    return bytes(byte if 33 <= byte <= 126 else 0x3F for byte in name)


def no_such_host(name: bytes) -> bytes:
    """The DNS says that there is no such name."""
    return b"D" + _NO_SUCH_HOST + printable(name) + b". (#5.1.2)\n\0"


def no_such_relay(name: bytes) -> bytes:
    """A relay named in control/smtproutes does not exist.  C bounces; nobody's mail should die of a slip in a file."""
    return b"Z" + _NO_SUCH_HOST + printable(name) + b", my relay in control/smtproutes. (#4.4.4)\n\0"


def bad_source(ip: bytes) -> bytes:
    """The address that connections shall come from is none of this machine's, now."""
    said = b"ZSorry, mail shall leave from %s (control/outgoingip, source=), which is no address of this machine." % ip
    return said + b" (#4.3.5)\n\0"


def other_family(family: int) -> bytes:
    """There are addresses, but control/outgoingfamily says 4 or 6, and they are of the other one."""
    return b"ZSorry, that host has no IPv%d address, and control/outgoingfamily allows no other. (#4.4.1)\n\0" % family


def no_mail_there(name: bytes) -> bytes:
    """The host's MX record says that it takes no mail (RFC 7505)."""
    return b"DSorry, %s has a null MX: it does not accept mail. (#5.1.10)\n\0" % printable(name)


def refused_by_route(text: bytes) -> bytes:
    """The administrator's own words in control/smtproutes, `error:text`."""
    return b"D" + (text or b"Sorry, the administrator of this system refuses mail to that host. (#5.7.1)") + b"\n\0"


def bad_route(host: bytes, reason: bytes) -> bytes:
    """A line of control/smtproutes that cannot be followed as it was meant.  reason: a clause."""
    return b"ZSorry, I can't use the route for %s in control/smtproutes: %s. (#4.3.5)\n\0" % (printable(host), reason)


def bad_login(name: bytes, reason: bytes) -> bytes:
    """A route names a login that cannot be used.  reason: a clause, nothing secret in it."""
    return b"ZSorry, I can't use the login %s in control/smtpauth: %s. (#4.3.5)\n\0" % (printable(name), reason)


def no_tls(address: bytes, name: bytes, reason: bytes, *, untrusted: bool) -> bytes:
    """TLS was asked for and cannot be had; or the server is not who it should be.  reason: a clause."""
    if untrusted:
        return b"ZConnected to %s but its certificate did not match %s: %s. (#4.7.5)\n\0" % (
            address,
            printable(name),
            reason,
        )
    return b"ZConnected to %s but TLS failed: %s. (#4.7.5)\n\0" % (address, reason)


def for_now(item: bytes) -> bytes:
    """A refusal as a deferral."""
    return b"Z" + item[1:] if item.startswith(b"D") else item


def waits_for_relay(item: bytes, relay: bytes, port: int) -> bytes:
    """A deferral's item, with a line that says so."""
    return _and_a_line(item.removesuffix(b"\0"), RELAY_AWAY + b"%s port %d.\n\0" % (printable(relay), port))


def waiting_for(text: bytes) -> bytes:
    """The relay, with its port, that a deferral's text says that mail waits for; empty where it says nothing."""
    _, found, rest = text.rpartition(b"\n" + RELAY_AWAY)
    return rest.partition(b"\n")[0] if found else b""


def is_passed_on(text: bytes) -> bool:
    """Whether a success's text says that the next host notifies the sender, who asked for that."""
    return text.endswith(b"\n" + PASSED_ON)


def is_login_refused(text: bytes) -> bool:
    """Whether this deferral says that the server did not take our login.  Only our own first line counts."""
    return text.partition(b"\n")[0].endswith(_LOGIN_REFUSED + b".")


def is_unreachable(text: bytes) -> bool:
    """Whether this deferral says that nobody was reached: to ask again costs nobody anything."""
    return text.startswith((NO_CONNECTION[1:-1], NO_ANSWER_YET[1:-1], _NO_SUCH_HOST))


def _letter(reply: Reply) -> bytes:
    return LETTER[PERM if reply.code >= 500 and reply.code not in _ABOUT_US else TEMP]


def _said(text: bytes) -> bytes:
    return b"Remote host said: " + text if text else b""


def _and_a_line(text: bytes, line: bytes) -> bytes:
    """A line of our own begins anew, also behind words that were cut: none of the server's lines can look like it."""
    return text + b"\n" * (not text.endswith(b"\n")) + line


def recipient_item(address: bytes, answer: Reply) -> bytes:
    """What the server says to one recipient.  address: the server's, in digits."""
    if is_yes(answer):
        return b"r\0"
    if answer is UNSAYABLE:
        return b"hConnected to %s but %s. (#5.6.7)\n\0" % (address, _ASCII_RECIPIENT)
    letter = b"h" if _letter(answer) == LETTER[PERM] else b"s"
    return b"%s%s does not like recipient.\n%s\0" % (letter, address, _said(answer.text))


def message_item(address: bytes, client: smtp.Client) -> bytes:
    """How a dialogue that came to its end went for the message."""
    if client.nonsense is not None:
        return _nonsense(address, client, client.nonsense)
    reply = client.final
    if client.trouble and client.failed_at == smtp.MAIL:
        return b"DConnected to %s but %s. (#5.6.7)\n\0" % (address, client.trouble)
    if client.trouble:
        how = b"" if client.failed_at == smtp.STARTTLS else b"I cannot log in: "
        return b"ZConnected to %s but %s%s. (#4.7.4)\n\0" % (address, how, client.trouble)
    if client.failed_at == smtp.RCPT or reply is None:
        put_off = client.whole and any(_letter(one) == LETTER[TEMP] for one in client.answers if not is_yes(one))
        letter = LETTER[TEMP if put_off else PERM]
        return letter + b"Giving up on %s.\n\0" % address  # the server's reasons stand in the recipients' items
    if not client.failed_at:
        how = b"Sent by %s.\n" % client.security if client.security else b""
        how += PASSED_ON if client.passed_on else b""
        text = b"K%s accepted message.\n%s" % (address, _said(reply.text))
        return (_and_a_line(text, how) if how else text) + b"\0"
    sentence, always_temporary = _FAILED[client.failed_at]
    letter = LETTER[TEMP] if always_temporary else _letter(reply)
    return letter + sentence % address + b".\n" + _said(reply.text) + b"\0"


def turned_away(item: bytes, client: smtp.Client, *, final: bool) -> bytes:
    """The item of a server that would not speak with us.  final: whether a no for good may be one for the message."""
    if final and client.final is not None and client.nonsense is None and _letter(client.final) == LETTER[PERM]:
        return LETTER[PERM] + item[1:]
    return item


def _nonsense(address: bytes, client: smtp.Client, text: bytes) -> bytes:
    if client.failed_at in (smtp.GREETING, smtp.EHLO, smtp.HELO):
        return b"Z%s.\n%s\0" % (_FAILED[client.failed_at][0] % address, _said(text))
    return b"ZConnected to %s but its reply makes no sense. %s(#4.4.2)\n%s\0" % (
        address,
        _duplicate(client),
        _said(text),
    )


def connection_died(address: bytes, client: smtp.Client) -> bytes:
    """The connection was lost, or nothing came for too long."""
    return b"ZConnected to %s but connection died. %s(#4.4.2)\n\0" % (address, _duplicate(client))


def _duplicate(client: smtp.Client) -> bytes:
    return b"Possible duplicate! " if client.dot_sent else b""


# exit codes that say that qmail-remote never did its work: it could not be executed (111, 120, a shell's 126 and
# 127), or died of a bug or an interrupt (Python's 1, 2, 130). A bug must not bounce mail (spec/09 4 #25, spec/11 1.6).
_NEVER_RAN = frozenset((111, 120, 126, 127, 1, 2, 130))
_CRASHED_IN_SHELL = 128  # a wrapper script that lost its program to signal N exits 128 + N
_ORDER = {b"D": -1, b"Z": 0, b"K": 1}


def reduce(output: bytes, ending_code: int, signal: int) -> tuple[bytes, bytes]:
    """One letter and one text for qmail-send, from all that qmail-remote said about one recipient.

    output: its items; ending_code: exit code 0..255; signal: > 0 if it was killed.
    Result: K, Z or D, and the text without NUL.  Whatever the bytes are, there is a result.
    """
    if signal or (ending_code > _CRASHED_IN_SHELL and ending_code not in _NEVER_RAN):
        return b"Z", b"qmail-remote crashed.\n"
    if ending_code:
        return (b"Z" if ending_code in _NEVER_RAN else b"D"), b"Unable to run qmail-remote.\n"
    if not output:
        return b"Z", b"qmail-remote produced no output.\n"
    items = output.split(b"\0")[:-1]  # what has no NUL at its end is not an item
    result = next((item[:1] for item in items if item[:1] in _ORDER), b"D")
    letter = {b"s": b"Z", b"h": b"D"}.get(output[:1], result)
    text = _first_text(output, result, letter)
    return letter, text


def _first_text(output: bytes, result: bytes, letter: bytes) -> bytes:
    """The first item without its letter; with the message's item where that says why it is no better."""
    first, end, rest = output[1:].partition(b"\0")
    if not end:
        return b""
    if _ORDER[result] <= _ORDER[letter] and rest[:1] in _ORDER:
        return first + rest[1:].partition(b"\0")[0]
    return first
