"""config-fast: control files for a host's full name, without asking the DNS.

Usage: config-fast FQDN
Runs as: root (or the owner of an embedded home).  Descriptors: 1 text.  Exit codes: 0; 100 usage or no host name;
111 a file that cannot be written.  Control files: writes me, defaultdomain, plusdomain; adds to locals, rcpthosts.
Output: spec/08 8.
"""

from qmailpy.disk.home import Home
from qmailpy.install import naming
from qmailpy.system import descriptors
from qmailpy.verdict import PERM, Die


def say(text: bytes) -> None:
    """One line on descriptor 1.  What is under way is done to its end, whoever has stopped reading."""
    descriptors.say(text, 1)


def main(argv: list[bytes], home: Home) -> int:
    """Say and write each file."""
    if len(argv) != 2:
        raise Die(PERM, b"usage: config-fast your.full.host.name")
    name = naming.require_name(argv[1])
    say(b"Your fully qualified host name is " + name + b".")
    for file, value in naming.steps(name):
        say(b"Putting " + value + b" into control/" + file.encode() + b"...")
        naming.put(home, file, value + b"\n")
    for file in naming.LISTS:
        say(b"Putting " + name + b" into control/" + file.encode() + b"...")
        naming.append(home, file, name)
    say(b"Now qmail will refuse to accept SMTP messages except to " + name + b".")
    say(b"Make sure to change rcpthosts if you add hosts to locals or virtualdomains!")
    return 0
