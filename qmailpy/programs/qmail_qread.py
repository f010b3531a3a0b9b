"""qmail-qread: lists the messages in the queue and where each recipient stands.

qmail-qread [ --json ]
--json, -j: one JSON object a line for each message (skeletons/queue_words).

Runs as: root or qmails; anybody in an embedded home.
Descriptors: 1 the list, and what is wrong with a message; 2 one line where the queue cannot be read.
Exit codes: 0; 111 the queue cannot be read.
Control files: none.  Trusts: what is in the queue, except that it is shown in printable bytes.

A message that is only in todo/ is not shown: qmail-send has not looked at it yet (spec/08-control.md 7).
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue import entries, listing
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.skeletons import json_words, mail_list
from qmailpy.skeletons.queue_words import as_json
from qmailpy.system import descriptors
from qmailpy.verdict import OK, TEMP, Die, words

_PIECE = 65536  # bytes that are written at one stroke


def _show(paths: Paths) -> None:
    """Errors: Trouble, OutputError."""
    waiting = b""
    for message in listing.messages(paths):
        waiting += mail_list.describe(message)
        if len(waiting) >= _PIECE:
            descriptors.write_all(1, waiting)
            waiting = b""
    descriptors.write_all(1, waiting)


def _show_json(paths: Paths) -> None:
    """Errors: Trouble, OutputError."""
    for message in listing.messages(paths):
        json_words.write(as_json(entries.of_message(paths, message)))


def _hint(error: OSError | None) -> bytes:
    return b" (only root and qmails may read the queue)" if isinstance(error, PermissionError) else b""


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    show = _show_json if json_words.is_wanted(argv) else _show
    paths = Paths(home)
    try:
        posix.chdir(paths.root)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir: " + words(error) + _hint(error)) from None
    try:
        show(paths)
    except Trouble as trouble:
        text = b"unable to %s %s: %s" % (trouble.what.encode(), trouble.name, words(trouble.error))
        raise Die(TEMP, text + _hint(trouble.error)) from None
    return OK
