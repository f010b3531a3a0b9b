"""newaliases: sendmail -bi.  Aliases are .qmail files in alias/, which need no compiling.

Runs as: the caller.  Descriptors: 2 one line.
Exit codes: 69 (sysexits): there is nothing here that it could rebuild.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.verdict import PERM, Die

_UNAVAILABLE = 69  # sysexits


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no notice of arguments
    """See the head of this file."""
    text = b"there is no aliases file to rebuild: an alias is a file .qmail-NAME in " + home.at(b"alias")
    raise Die(PERM, text, _UNAVAILABLE)
