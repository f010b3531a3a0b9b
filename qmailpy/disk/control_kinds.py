"""What kind of file each control file is, and what in one is not read as its writer meant it.

Nothing here is an error: programs read such a file as the grammar says (disk/control). qmail-showctl and check tell.
"""

from qmailpy.disk import control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LINE, NUMBER, LIST, MAP = range(4)

KINDS = {
    b"aliasfile": LIST,
    b"authplain": NUMBER,
    b"authprogram": LINE,
    b"badhelo": LIST,
    b"badmailfrom": LIST,
    b"badrcptto": LIST,
    b"bouncebudget": NUMBER,
    b"bouncecontent": LINE,
    b"bounceformat": LINE,
    b"bouncefrom": LINE,
    b"bouncehost": LINE,
    b"callout": NUMBER,
    b"classicgreeting": NUMBER,
    b"concurrencydomain": MAP,
    b"concurrencylocal": NUMBER,
    b"concurrencyremote": NUMBER,
    b"connectionsaddress": NUMBER,
    b"connectionsnetwork": NUMBER,
    b"databytes": NUMBER,
    b"defaultdomain": LINE,
    b"defaulthost": LINE,
    b"delaywarning": NUMBER,
    b"dnsbl": LIST,
    b"doublebouncehost": LINE,
    b"doublebounceto": LINE,
    b"envnoathost": LINE,
    b"generic": LIST,
    b"helohost": LINE,
    b"holddomains": LIST,
    b"idhost": LINE,
    b"listenworkers": NUMBER,
    b"localiphost": LINE,
    b"locals": LIST,
    b"localtime": NUMBER,
    b"mailspool": LINE,
    b"masquerade": LIST,
    b"me": LINE,
    b"morercpthosts": LIST,
    b"outgoingfamily": NUMBER,
    b"outgoingip": LIST,
    b"percenthack": LIST,
    b"plusdomain": LINE,
    b"qmqpservers": LIST,
    b"queuebytes": NUMBER,
    b"queuelifetime": NUMBER,
    b"queuereserve": NUMBER,
    b"queuereservefiles": NUMBER,
    b"rcpthosts": LIST,
    b"recipientcheck": NUMBER,
    b"recipients": LIST,
    b"senderroutes": MAP,
    b"smtpchunking": NUMBER,
    b"smtpdelay": NUMBER,
    b"smtpdsn": NUMBER,
    b"smtperrors": NUMBER,
    b"smtpgreeting": LINE,
    b"smtpplugins": LIST,
    b"smtpproxies": LIST,
    b"smtprate": NUMBER,
    b"smtprecipients": NUMBER,
    b"smtproutes": MAP,
    b"smtpstatus": NUMBER,
    b"smtputf8": NUMBER,
    b"smtpxclients": LIST,
    b"submissionsenders": MAP,
    b"timeoutconnect": NUMBER,
    b"timeoutremote": NUMBER,
    b"timeoutsmtpd": NUMBER,
    b"trace": NUMBER,
    b"transcript": LIST,
    b"userconcurrency": NUMBER,
    b"usermemory": NUMBER,
    b"userprocesses": NUMBER,
    b"userseconds": NUMBER,
    b"virtualdomains": MAP,
}


def doubts(kind: int, text: bytes) -> "Iterator[bytes]":
    """Sentences about a file's content, without a full stop; none for a file that says what it seems to say.

    kind: of KINDS.  Each kind of trouble is told once, with its first line's number.
    """
    if kind in (LINE, NUMBER):
        first, _, rest = text.partition(b"\n")
        yield from _first_line(kind, first, rest)
    else:
        yield from _list(kind, text.split(b"\n"))


def _first_line(kind: int, line: bytes, rest: bytes) -> "Iterator[bytes]":
    value = control.first_line(line)
    if not value and rest.strip():
        yield b"only line 1 counts, and it is empty"
    elif kind == NUMBER:
        number = control.number(line)
        if number is None:
            yield b"line 1 does not begin with a digit: the file counts as missing"
        elif not value.isdigit():
            yield b"only the digits at the beginning of line 1 count: %d" % number
    elif value.startswith(b"#"):
        yield b"line 1 begins with #, and that is the value: a file of one line has its comments below it"
    elif value.startswith((b" ", b"\t")):
        yield b"line 1 begins with a blank, which is part of the value"
    elif value.endswith(b"\r"):
        yield b"line 1 ends with CR, which is part of the value"


def _list(kind: int, lines: list[bytes]) -> "Iterator[bytes]":
    told = set()
    for number, line in enumerate(lines, 1):
        for entry in control.entries(line):
            for is_so, words in (
                (entry.startswith((b" ", b"\t")), b"begins with a blank, which is part of the entry"),
                (entry.endswith(b"\r"), b"ends with CR, which is part of the entry"),
                (kind == MAP and b":" not in entry, b"has no colon and is ignored"),
            ):
                if is_so and words not in told:
                    told.add(words)
                    yield b"line %d " % number + words


def claimed_twice(names: list[bytes], virtual: list[bytes]) -> list[bytes]:
    """Domains in locals that virtualdomains has as well, where they mean nothing.

    names, virtual: the entries of both files; result: lower-cased, in locals' order.
    """
    keys = control.mapping(virtual)
    return [name.lower() for name in names if name.lower() in keys]
