"""~/.forward: the file of other mail systems, found, checked and read, and what it leads to (aliases(5) of ours).

Paths are relative to the working directory, which is the user's home, and the process is the user. Used by
qmail-dotforward, and by whatever explains where an address goes.
"""

from qmailpy.disk import regular
from qmailpy.rules.aliasaddress import BadValueError
from qmailpy.rules.aliases import parse_list
from qmailpy.rules.expansion import Ends, Expansion, Ground
from qmailpy.skeletons.aliases import read_list
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.rules.aliasvalue import Value
    from qmailpy.rules.expansion import Tell


class Forward:
    """A file that says something.  name: as it was given; values: at least one."""

    __slots__ = ("name", "values")

    def __init__(self, name: bytes, values: "list[Value]") -> None:
        """As above."""
        self.name, self.values = name, values


def find(names: list[bytes], ext: bytes) -> Forward | None:
    """The first of these files that exists; None where there is none, or it says nothing.

    names: each is tried as name+ext first, where the address has an extension.  Errors: Die TEMP for one that cannot
    be read, that others can write, that is not the user's or root's, or that has a mistake in it.
    """
    for name in names:
        special = name + b"+" + ext.lower()
        for path in (special, name) if ext and b"/" not in ext else (name,):
            content = regular.read(path)
            if content is not None:
                if content.uid not in (0, identity.my_uid()):
                    raise Die(TEMP, b"Uh-oh: " + path + b" belongs to somebody else. (#4.7.0)")
                values = _values(path, content.text)
                return Forward(path, values) if values else None
    return None


def _values(path: bytes, text: bytes) -> "list[Value]":
    try:
        return parse_list(text)
    except BadValueError as bad:
        raise Die(TEMP, b"Unable to use " + path + b" " + bad.reason + b". (#4.3.5)") from None


def ends_of(found: Forward, own: frozenset[bytes], tell: "Tell | None" = None) -> Ends:
    """Where the file leads.  own: addresses in lower case that are the user's mailbox; tell: hears each step.

    Errors: Die.
    """
    ground = Ground(lambda _local, _domain: None, read_list, own, frozenset(), b"", tell, has_mailbox=True)
    return Expansion(ground).of_list(found.values)
