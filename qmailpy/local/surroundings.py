"""What qmail-local puts into the environment (spec/05-local.md 2), for programs that a .qmail file names."""

from qmailpy.system import process
from qmailpy.verdict import PERM, Die


def required(name: bytes, verdict: int = PERM) -> bytes:
    """The value of this variable, which may be empty.  Errors: Die where it is not set."""
    value = process.environment().get(name)
    if value is None:
        raise Die(verdict, name + b" not set")
    return value
