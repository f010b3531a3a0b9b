"""newaliases: sendmail -bi: compiles the files of aliases into users/aliases.cdb.

Without it a changed file is read for every message, which works, but takes longer, and tells its mistakes only in the
log.

Runs as: root, or the owner of an embedded home.  Descriptors: 2 a line for each mistake.
Exit codes (sysexits): 0 compiled; 64 usage; 65 a file has a mistake, the map is as it was; 66 there is no file; 75 one
could not be read, or the map not written.
Control files: aliasfile.
Trusts: whoever can write these files; others must not be able to.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.inject.faces import ALIASES, Call
from qmailpy.rules.options import UsageError
from qmailpy.skeletons import aliases
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, TEMP, Die

_USAGE, _DATA, _NO_INPUT, _TEMPORARY = 64, 65, 66, 75  # sysexits
_NAME = b"newaliases: "


def _read(home: Home) -> list[aliases.Source]:
    """All files.  Errors: Die with a sysexits code."""
    try:
        paths = aliases.paths(home)
        sources = [aliases.read_source(path) for path in paths]
    except Die as death:
        raise Die(TEMP, death.text, _TEMPORARY) from None
    if not sources:
        usual = b", ".join((home.at(b"alias", b"aliases"),) if home.embedded else aliases.USUAL)
        text = b"there is no file of aliases: neither control/aliasfile names one, nor is any of these there: "
        raise Die(TEMP, text + usual, _NO_INPUT)
    return sources


def _complain(sources: list[aliases.Source]) -> bool:
    """Say what is wrong with them; whether nothing is that keeps them from being compiled."""
    for source in sources:
        for problem in source.parsed.problems:
            kind = b"error: " if problem.is_error else b"warning: "
            descriptors.say(_NAME + kind + b"%s line %d: %s" % (source.path, problem.line, problem.text))
    return all(source.parsed.is_sound for source in sources)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        Call(argv[1:], ALIASES)  # sendmail's options are accepted; they change nothing
    except UsageError as error:
        descriptors.say(_NAME + error.text)
        return _USAGE
    posix.umask(0o033)
    sources = _read(home)
    path = aliases.map_path(home)
    if not _complain(sources):
        descriptors.say(_NAME + b"fatal: nothing is compiled, " + path + b" is as it was")
        return _DATA
    from qmailpy.disk import cdb

    try:
        cdb.write(path + b".tmp", path, aliases.records(sources))
    except Die as death:
        raise Die(TEMP, death.text, _TEMPORARY) from None
    return EXIT[OK]
