"""qmail-recipients: makes users/recipients.cdb, for what qmaild cannot see for itself.

qmail-recipients

Runs as: root, or the owner of an embedded home.  Descriptors: 2 errors, warnings.
Exit codes: 0 the table is new; 111 it is as it was, and the reason is said.
Files: reads control/recipients, users/assign and the accounts; lists the .qmail files of every home that qmaild cannot
enter, in a child that has become the home's owner; writes users/recipients.tmp and renames it to users/recipients.cdb,
readable for group nofiles only.
Trusts: whoever may write to control/ and users/. A home's owner decides what is said about his home, and nothing else.
"""

import posix

from qmailpy.disk import cdb, control
from qmailpy.disk.home import Home
from qmailpy.rules import existing
from qmailpy.skeletons import private_homes, recipient_table
from qmailpy.skeletons.ownership import become_owner
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Record = tuple[bytes, bytes]

SOURCE, SOURCE_PATH = "recipients", b"control/recipients"
_WARNINGS = 20  # of one run: who mistakes one line mistakes a thousand


def _warn(text: bytes) -> None:
    descriptors.say(b"qmail-recipients: warning: " + text)


def _addresses(text: bytes) -> "Iterator[Record]":
    """Of control/recipients; a line that is none is said, and its domain stays as the others make it."""
    domains: set[bytes] = set()
    doubts = 0
    for number, line in enumerate(text.split(b"\n"), 1):
        for entry in control.entries(line):
            try:
                key, value = existing.record(entry)
            except existing.BadEntry as error:
                doubts += 1
                if doubts <= _WARNINGS:
                    _warn(b"%s: line %d: %s" % (SOURCE_PATH, number, error.reason))
                continue
            yield key, value
            domain = key.rpartition(existing.AT)[2]
            if domain not in domains:
                domains.add(domain)
                yield existing.domain_key(domain), b""


def _homes(home: Home) -> "Iterator[Record]":
    """Of each private home when it last changed, and its .qmail files."""
    if home.embedded:  # who asks is who owns them
        return
    for folder, uid, gid in private_homes.found(home):
        listing = private_homes.listed(folder, uid, gid)
        if listing is None:
            _warn(b"%s cannot be listed just now: mail for its extensions is taken unseen" % folder)
            continue
        yield recipient_table.home_record(folder, listing.changed)
        for name in listing.names:
            yield recipient_table.file_record(folder, name)


def main(_argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    posix.umask(0o037)  # names in private homes are not everybody's
    become_owner(home)
    text = control.read(home.control(SOURCE.encode())) or b""
    table = recipient_table.path_of(home)
    records = [*_addresses(text), *_homes(home)]
    cdb.write(table.removesuffix(b"cdb") + b"tmp", table, records, group=home.roles.gid["nofiles"])
    return EXIT[OK]
