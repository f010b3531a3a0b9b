"""maildirwatch: shows the new messages of a Maildir on a terminal, anew every 30 seconds.

A window that changes its size is drawn at once.
Runs as: the caller, until somebody ends it.
Descriptors: 1 a VT100 or what behaves like one; 2 one line if it fails.
Exit codes: 111: it has ended because something failed.
Environment: MAILDIR.  Control files: none.  Trusts: nobody; nothing unprintable reaches the terminal.
"""

import posix

from qmailpy.disk import maildir_list
from qmailpy.disk.home import Home
from qmailpy.local import glance
from qmailpy.local.surroundings import required
from qmailpy.system import clock, descriptors, signals
from qmailpy.verdict import TEMP, Die, words

_PAUSE = 30  # seconds
_LENGTH = 158  # bytes of subject and body: two lines
_CLEAR, _BOLD, _PLAIN = b"\033[;H\033[;J", b"\033[1m", b"\033[0m"


def _summary(descriptor: int) -> bytes:
    """A message in three or four lines.  Errors: OSError."""
    fields = {b"return-path": b"?", b"delivered-to": b"?", b"from": b""}

    def take(name: bytes, field: bytes) -> None:
        if name in fields:
            fields[name] = (field if name == b"from" else glance.value(field)).rstrip(b"\n")

    text = glance.beginning(descriptor, _LENGTH, take)
    sender, recipient = (glance.shown(fields[name], b"?") for name in (b"return-path", b"delivered-to"))
    lines = b"FROM " + sender + b" TO <" + recipient + b">\n"
    if fields[b"from"]:
        lines += _BOLD + glance.shown(fields[b"from"], b"/") + _PLAIN + b"\n"
    return lines + glance.shown(text, b"/") + b"\n\n"


def _page(folder: bytes) -> bytes:
    """All that is new.  Errors: Die TEMP."""
    page = [_CLEAR]
    for mail in maildir_list.listing(folder, (b"new",), clock.now()):
        try:
            descriptor = posix.open(folder + mail.path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        except OSError:  # it has been read meanwhile
            continue
        try:
            page.append(_summary(descriptor))
        except OSError as error:
            raise Die(TEMP, b"trouble reading new message: " + words(error)) from None
        finally:
            posix.close(descriptor)
    return b"".join(page)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del argv, home
    signals.default(signals.SIGINT)  # not the interpreter's exception, which would look like a bug
    signals.block(signals.SIGWINCH)
    folder = required(b"MAILDIR", TEMP) + b"/"
    while True:
        maildir_list.clean(folder, clock.now())
        descriptors.write_all(descriptors.OUTPUT, _page(folder))
        signals.await_for(signals.SIGWINCH, _PAUSE)
