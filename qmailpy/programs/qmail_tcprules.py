"""qmail-tcprules: makes the table of who may connect from a text, in the format of tcprules; and asks such a table.

    qmail-tcprules rules.cdb rules.tmp < rules
    qmail-tcprules -c rules.cdb [ip [host [info]]]

-c says what the table means for a connection; without an address, for the one in $TCPREMOTEIP, $TCPREMOTEHOST and
$TCPREMOTEINFO, as tcprulescheck.
Runs as: whoever owns the table.
Descriptors: 0 rules; 1 the answer to -c, as tcprulescheck gives it; 2 errors, warnings.
Exit codes: 0 the table is new, or was asked; 100 usage, or a line that is no rule; 111 anything else. Where it is not
0, the table is as it was, and the reason is said with the line's number.
Files: rules.tmp becomes rules.cdb by rename; both are in one directory (spec/10-neighbours.md c9).
Trusts: whoever writes the rules. A server that looks while this runs sees the old table or the new one, whole.
"""

from qmailpy.disk import cdb
from qmailpy.disk.home import Home
from qmailpy.rules import tcprules
from qmailpy.rules.options import UsageError, parse
from qmailpy.system import descriptors, lines, process
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_RULES = 0  # descriptor
_WARNINGS = 20  # of one run: who mistakes one line mistakes a thousand
_USAGE = b"usage: qmail-tcprules rules.cdb rules.tmp < rules, or qmail-tcprules -c rules.cdb [ip [host [info]]]"
_FROM_ENVIRONMENT = (b"TCPREMOTEIP", b"TCPREMOTEHOST", b"TCPREMOTEINFO")


def _records() -> "Iterator[tuple[bytes, bytes]]":
    """The records of the table.  Errors: Die with the line's number and the reason."""
    doubts = number = 0
    try:
        for line, _ in lines.read_lines(_RULES, tcprules.LINE_LIMIT):
            number += 1
            yield from tcprules.records(line)
            if doubts < _WARNINGS and (doubt := tcprules.doubt(line)):
                doubts += 1
                descriptors.say(b"qmail-tcprules: warning: line %d: %s" % (number, doubt))
    except tcprules.BadRuleError as error:
        raise Die(PERM, b"line %d: %s; the old rules stay" % (number, error.reason)) from None
    except OSError as error:
        raise Die(TEMP, b"unable to read the rules: " + words(error)) from None


def _answer(path: bytes, ip: bytes, host: bytes | None, info: bytes | None) -> bytes:
    """What the table at this path means for a connection.  Errors: OSError."""
    with cdb.Cdb(path) as table:
        for key in tcprules.keys(ip, host, info):
            record = table.get(key)
            if record is None:
                continue
            said = [b"rule " + key + b":"]
            variables: dict[bytes, bytes] = {}
            if not tcprules.apply(record, variables):
                return b"\n".join([*said, b"deny connection", b""])
            said += [b"set environment variable %s=%s" % one for one in variables.items()]
            return b"\n".join([*said, b"allow connection", b""])
    return b"default:\nallow connection\n"


def _check(arguments: list[bytes]) -> int:
    """What -c does.  Errors: Die."""
    if not 1 <= len(arguments) <= 1 + len(_FROM_ENVIRONMENT):
        raise Die(PERM, _USAGE)
    path, *connection = arguments
    if not connection:
        environment = process.environment()
        connection = [environment.get(name, b"") for name in _FROM_ENVIRONMENT]
    ip, host, info = [*connection, b"", b""][:3]
    try:
        said = _answer(path, ip, host or None, info or None)
    except OSError as error:
        raise Die(TEMP, b"unable to read " + path + b": " + words(error)) from None
    descriptors.write_all(descriptors.OUTPUT, said)
    return EXIT[OK]


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - its files are named on its command line
    """See the head of this file."""
    try:
        options, arguments = parse(argv[1:], b"c")
    except UsageError as error:
        raise Die(PERM, error.text + b"\n" + _USAGE) from None
    if options:
        return _check(arguments)
    if len(arguments) != len((b"rules.cdb", b"rules.tmp")):
        raise Die(PERM, _USAGE)
    cdb.write(arguments[1], arguments[0], _records())
    return EXIT[OK]
