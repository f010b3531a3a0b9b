"""How much memory a session needs here: the number that boot/ gives to softlimit, so that it is not somebody's guess.

The classic two million bytes of 1998 do not even start a C program today, and what Python maps differs from machine to
machine. So the interpreter that will hold the sessions loads, once, all that one of them may load, and says how far its
address space went.
"""

import os

from qmailpy.install import commands

WRITTEN = b"150000000"  # how the checkout's boot/ spells the number; it stays where nothing can be measured
PATIENCE = 60.0  # seconds; without compiled modules on a slow machine it takes one
_ROOM = 64 << 20  # bytes for what a client sends: 200,000 recipients, each with its wishes
_TIMES = 2  # what is loaded, once more: plugins and checkpassword programs run under the same limit
_STEP = 10_000_000  # bytes; a number that a reader can remember, and that stays when a module grows

# TLS, DNS and the questions of a session; a checkout's lib/current is laid out as an installed library
_LOAD = b"""
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from importlib import import_module
from os import listdir
from qmailpy.skeletons import questions
names = {place for place, _ in questions.PLACES.values()}
for package in ("qmailpy.receive.smtp", "qmailpy.receive.policy"):
    for name in listdir(import_module(package).__path__[0]):
        if name.endswith(".py") and name != "__init__.py":
            names.add(package + "." + name[:-3])
names |= {"qmailpy.programs.qmail_smtpd", "qmailpy.receive.auth", "qmailpy.system.tls_server", "qmailpy.system.dns"}
for name in sorted(names):
    import_module(name)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmPeak:")][0])
"""


def peak(interpreter: bytes, library: bytes) -> int | None:
    """Bytes of address space that a session's programs take before its client has said anything.

    library: a directory with qmailpy and its dependencies.  None: it cannot be measured (no /proc, say).
    """
    ending, said = commands.output_of([interpreter, b"-ISXutf8", b"-c", _LOAD, library], PATIENCE)
    last = said.strip().rpartition(b"\n")[2]
    if ending.code or ending.signal or not last.isdigit() or len(last) > len(WRITTEN):
        return None
    return int(last) << 10


def enough(measured: int) -> int:
    """Bytes that a session may have, if it takes so many to begin with; a round number."""
    return -(-(measured * _TIMES + _ROOM) // _STEP) * _STEP


def limit(interpreter: bytes, checkout: bytes) -> bytes:
    """The number for boot/, in digits."""
    measured = peak(interpreter, os.path.realpath(checkout + b"/lib/current"))
    return WRITTEN if measured is None else b"%d" % enough(measured)
