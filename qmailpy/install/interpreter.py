"""The interpreter line of the launchers: the cheapest that works for everybody who runs them.

/usr/bin/python3 where it is new enough and of the same kind as the interpreter that our compiled dependency
(setproctitle) was built for; else the interpreter that the virtual environment was made from. -I: nothing from the
caller's environment or directory; -S: no site-packages, which cost 2 to 20 ms; -X utf8: no look at the locale.
"""

import os
import stat
import sys

from qmailpy.install import commands
from qmailpy.verdict import TEMP, Die

SYSTEM = b"/usr/bin/python3"
OPTIONS = b"-ISXutf8"
LEAST = (3, 11)
LONGEST = 127  # bytes of a #! line that every kernel takes
PATIENCE = 20.0  # seconds an interpreter may take to say what it is

_ASK = b"import sys; print(sys.implementation.cache_tag, sys.platform, sys.version_info[0], sys.version_info[1])"


def kind_of(path: bytes) -> str | None:
    """What an interpreter says it is, "cpython-311 linux 3 11"; None where it does not run."""
    ending, said = commands.output_of([path, OPTIONS, b"-c", _ASK], PATIENCE)
    if ending.code or ending.signal:
        return None
    return said.decode("ascii", "replace").strip()


def our_kind() -> str:
    """The same of the interpreter that runs this."""
    return f"{sys.implementation.cache_tag} {sys.platform} {sys.version_info[0]} {sys.version_info[1]}"


def base() -> bytes:
    """The interpreter that our virtual environment was made from, or our own where there is none."""
    return os.fsencode(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))


def choose() -> bytes:
    """The first line of every launcher, without its LF.  Errors: Die TEMP where no interpreter can serve."""
    if sys.version_info < LEAST:  # pragma: no cover - the Makefile chose a newer one
        raise Die(TEMP, b"Python 3.11 or newer is needed; say make PYTHON=/path/to/python3")
    path = SYSTEM if os.access(SYSTEM, os.X_OK) and kind_of(SYSTEM) == our_kind() else base()
    line = b"#!" + path + b" " + OPTIONS
    if len(line) > LONGEST or b" " in path:
        raise Die(TEMP, b"the interpreter's path is too long or has a blank in it: " + path)
    return line


def of_line(line: bytes) -> bytes | None:
    """The interpreter's path in a launcher's first line; None where that is no such line."""
    if not line.startswith(b"#!/") or not line.endswith(b" " + OPTIONS):
        return None
    return line[2 : -len(OPTIONS) - 1]


def closed_at(path: bytes) -> bytes | None:
    """What keeps other users from running this program: it, or a directory above it; None where nothing does."""
    real = os.path.realpath(path)
    parts = real.split(b"/")
    for depth in range(1, len(parts) + 1):
        place = b"/".join(parts[:depth]) or b"/"
        try:
            if not os.stat(place).st_mode & stat.S_IXOTH:
                return place
        except OSError:
            return place
    return None
