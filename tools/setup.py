"""Makes a home, verifies it, takes its programs away: the command line over qmailpy/install.

setup.py [--home DIR] [--check] [--force [NAME ...]]   the classic way, as root; DIR: /var/qmail
setup.py --embedded DIR [--uid N] [--name FQDN]        the embedded way: a home of one ordinary user, never of root
setup.py [--home DIR] --check | --uninstall [--force]  --force: although its programs are running
setup.py [--home DIR] --accounts linux|freebsd|netbsd  prints the commands that make the accounts
"""

import argparse
import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from qmailpy.disk.home import DEFAULT
from qmailpy.install import accounts, order, removal
from qmailpy.programs.table import PROGRAMS
from qmailpy.verdict import Die

CHECKOUT = os.fsencode(sys.path[0])
MODES = {program.name: program.mode for program in PROGRAMS.values()}


def say(line: str) -> None:
    """One line, at once: an administrator watches.  What is under way goes on to its end when he does not (head)."""
    with contextlib.suppress(OSError):
        print(line.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), flush=True)


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="setup", description="installs, verifies and removes qmailpy")
    parser.add_argument("--home", default=os.fsdecode(DEFAULT), help="the home of a classic installation")
    parser.add_argument("--embedded", metavar="DIR", help="make an embedded home")
    parser.add_argument("--uid", type=int, help="whose the embedded home is (root only)")
    parser.add_argument("--name", help="this host's full name, for a new embedded home")
    parser.add_argument("--check", action="store_true", help="verify (after the installation, with --setup)")
    parser.add_argument("--setup", action="store_true", help="install; what is done without --check and --uninstall")
    parser.add_argument("--uninstall", action="store_true", help="remove programs, never mail")
    parser.add_argument("--accounts", choices=sorted(accounts.SYSTEMS), help="print the commands for a system")
    parser.add_argument("--force", nargs="*", metavar="NAME", help="overwrite what was changed: all, or these programs")
    return parser.parse_args()


def main() -> int:
    """One of the orders."""
    wanted = read_arguments()
    home = os.fsencode(wanted.embedded or wanted.home)
    force = () if wanted.force is None else set(wanted.force) or None
    if wanted.accounts:
        print("\n".join(accounts.lines(wanted.accounts, home)))
        return 0
    if wanted.uninstall:
        removal.uninstall(home, say, force)
        return 0
    if wanted.embedded and not wanted.check:
        name = wanted.name.encode() if wanted.name else None
        order.embedded(CHECKOUT, home, MODES, say, uid=wanted.uid, name=name, force=force)
    elif wanted.setup or not wanted.check:
        order.setup(CHECKOUT, home, MODES, say, force)
    if wanted.check:
        return 0 if order.check(CHECKOUT, home, MODES, say) else 1
    return 0


if __name__ == "__main__":
    try:
        CODE = main()
    except Die as death:
        with contextlib.suppress(OSError):
            # where it is seen although descriptor 1 is a closed pipe
            os.write(2, b"setup: fatal: " + death.text + b"\n")
        CODE = death.code
    sys.exit(CODE)
