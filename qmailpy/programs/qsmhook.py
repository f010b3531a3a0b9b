"""qsmhook: gives a message to a program that sendmail knows as a mailer, from a .qmail file; preline is younger.

    qsmhook [-DFMmnsPl] [-x prefix] program [argument...]

In each word %g becomes the sender, %h the host, %u the local part (without the prefix of -x, in any letter case), %% a
percent sign. Before the message come the From_ line unless -n, Return-Path with -P, Delivered-To with -l; the other
letters are sendmail's, and change nothing.
Runs as: the user.
Descriptors: 0 the message; 2 one line if it fails.
Exit codes: the program's; 100 it is not there, usage, a variable not set; 111 anything that may be better later.
Environment: DTLINE RPLINE UFLINE LOCAL HOST SENDER.  Control files: none.  Trusts: its environment; no shell sees it.
"""

from qmailpy.disk.home import Home
from qmailpy.local import feeding
from qmailpy.local.surroundings import required
from qmailpy.rules.environment import DTLINE, RPLINE, UFLINE
from qmailpy.rules.options import UsageError, parse
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, PERM

_USAGE = b"qsmhook: usage: qsmhook [ -DFMmnsPl ] [ -x prefix ] program [ arg ... ]"


def _word(word: bytes, values: dict[bytes, bytes]) -> bytes:
    """A word with its escapes replaced.  An unknown one, or a lone % at the end, is nothing."""
    first, *pieces = word.split(b"%")
    done = [first]
    while pieces:
        piece = pieces.pop(0)
        if piece:
            done.append(values.get(piece[:1], b"") + piece[1:])
        elif pieces:  # two in a row
            done.append(b"%" + pieces.pop(0))
    return b"".join(done)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    lines = {b"n": required(UFLINE), b"P": required(RPLINE), b"l": required(DTLINE)}
    local, host, sender = required(b"LOCAL"), required(b"HOST"), required(b"SENDER")
    try:
        options, words = parse(argv[1:], b"DFlMmnPsx:")
    except UsageError as error:
        descriptors.say(b"qsmhook: " + error.text + b"\n" + _USAGE)
        return EXIT[PERM]
    if not words:
        descriptors.say(_USAGE)
        return EXIT[PERM]
    letters = {letter for letter, _ in options}
    for letter, prefix in options:
        if letter == b"x" and local.lower().startswith(prefix.lower()):
            local = local[len(prefix) :]
    values = {b"g": sender, b"h": host, b"u": local}
    head = b"".join(line for letter, line in lines.items() if (letter in letters) is not (letter == b"n"))
    return feeding.feed(feeding.becoming([_word(word, values) for word in words], b"qsmhook"), head)
