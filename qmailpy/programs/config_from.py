"""config-from: makes control files of another mail system's configuration, and says what became of each key.

Usage: config-from [-n] [--force] dma|nullmailer|ssmtp|msmtp|esmtp|nbsmtp|postfix [path]
-n: only say what would be written. --force: write control files that are there and say otherwise, too. path: the file,
or the directory; without it the usual one, of which ~ is $HOME.
Runs as: root (or the owner of an embedded home).
Descriptors: 1 the report.
Exit codes: 0 all that could be carried is in control/; 100 usage, no such configuration, or a control file says
otherwise and stays; 111 a file cannot be read or written.
Control files: writes what a plan has: me, locals, rcpthosts, smtproutes, smtpauth, masquerade, generic ...
Trusts: the administrator. A secret is in no line that is printed.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.install import naming
from qmailpy.install.importing import dma, esmtp, msmtp, nbsmtp, nullmailer, postfix, ssmtp
from qmailpy.install.importing.plan import Plan
from qmailpy.install.importing.writing import Writer
from qmailpy.rules import options
from qmailpy.skeletons.ownership import become_owner
from qmailpy.system import descriptors, names, process
from qmailpy.verdict import EXIT, OK, PERM, Die

KINDS = {
    b"dma": (dma.USUAL, dma.translate),
    b"nullmailer": (nullmailer.USUAL, nullmailer.translate),
    b"ssmtp": (ssmtp.USUAL, ssmtp.translate),
    b"msmtp": (msmtp.USUAL, msmtp.translate),
    b"esmtp": (esmtp.USUAL, esmtp.translate),
    b"nbsmtp": (nbsmtp.USUAL, nbsmtp.translate),
    b"postfix": (postfix.USUAL, postfix.translate),
}
USAGE = b"usage: config-from [ -n ] [ --force ] " + b"|".join(KINDS) + b" [ path ]"
_OTHERS_READ = 0o004
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def say(text: bytes) -> None:
    """One line on descriptor 1; bytes outside 32..126 are shown as '?'."""
    descriptors.say(text.translate(_PRINTABLE), 1)


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _where(kind: bytes, named: list[bytes]) -> bytes:
    """The file or directory to read.  Errors: Die PERM."""
    if named:
        candidates = [named[0] if named[0].startswith(b"/") else posix.getcwdb() + b"/" + named[0]]
    else:
        own = process.environment().get(b"HOME", b"")
        candidates = [own + path[1:] if path.startswith(b"~") else path for path in KINDS[kind][0]]
    for path in candidates:
        if _exists(path):
            return path
    raise Die(PERM, b"there is no " + b", ".join(candidates))


def _host(home: Home) -> bytes:
    """What this machine is called: control/me, else the kernel's word.  Errors: Die PERM where it is no host name."""
    return naming.require_name(control.line(home, "me") or names.host_name().encode("ascii", "replace"))


def _complete(plan: Plan) -> None:
    """What config-fast writes besides, as it follows from the name."""
    me = plan.controls["me"][0]
    for file, value in naming.steps(me):
        plan.controls.setdefault(file, [value])


def _tell(plan: Plan) -> None:
    for said in plan.said:
        say(said.place + b", " + said.key + b": " + said.kind + b" " + said.text)
    for path in dict.fromkeys(plan.secrets):
        try:
            is_open = bool(posix.stat(path).st_mode & _OTHERS_READ)
        except OSError:
            continue
        if is_open:
            say(b"warning: everybody can read " + path + b", and knows the password in it: change it")


def _long(found: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for letter, value in found if letter == b"-"]


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        found, arguments = options.parse(argv[1:], b"n-;")
    except options.UsageError as error:
        raise Die(PERM, error.text + b"\n" + USAGE) from None
    if not 1 <= len(arguments) <= 2 or arguments[0] not in KINDS or set(_long(found)) - {b"force"}:
        raise Die(PERM, USAGE)
    kind = arguments[0]
    where = _where(kind, arguments[1:])
    plan = KINDS[kind][1](control.read, where, _host(home))
    _complete(plan)
    _tell(plan)
    become_owner(home)  # what root writes into an embedded home is its owner's
    writer = Writer(home, force=b"force" in _long(found), dry=(b"n", b"") in found)
    for line in writer.write(plan):
        say(line)
    return EXIT[PERM] if writer.has_conflict else OK
