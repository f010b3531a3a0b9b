"""config: control files for this machine, from its names in the DNS.

Usage: config
Runs as: root.  Descriptors: 1 text, 2 "hard error" or "soft error".  Exit codes: 0; 100 not in DNS, or usage;
111 nobody could say, or a file that cannot be written.
Control files: writes me, defaultdomain, plusdomain, locals, rcpthosts; nothing without DNS.
Output: spec/08 8.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.install import naming
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, PERM, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SET_UP_YOURSELF = b"You will have to set up control/me yourself."


class Lookups:
    """What config asks about this machine; a test gives it others than the machine's own."""

    __slots__ = ("addresses", "full_name", "host_name", "name_of", "own_addresses")

    def __init__(  # noqa: D107 - five questions, named
        self,
        host_name: "Callable[[], str]",
        full_name: "Callable[[str], str]",
        addresses: "Callable[[str], list[str]]",
        own_addresses: "Callable[[], list[str]]",
        name_of: "Callable[[str], str | None]",
    ) -> None:
        self.host_name, self.full_name, self.addresses = host_name, full_name, addresses
        self.own_addresses, self.name_of = own_addresses, name_of


def say(text: bytes) -> None:
    """One line on descriptor 1.  What is under way is done to its end, whoever has stopped reading."""
    descriptors.say(text, 1)


def configure(home: Home, lookups: Lookups) -> int:
    """Ask, then say and write each file.  Result: exit code."""
    host = lookups.host_name()
    if not host:
        say(b"Sorry, I couldn't find your hostname.")
        say(SET_UP_YOURSELF)
        return EXIT[PERM]
    say(b"Your hostname is " + host.encode("ascii", "replace") + b".")
    try:
        name = naming.require_name(lookups.full_name(host).encode("ascii", "replace"))
    except Die as death:
        descriptors.say(death.text)
        say(b"Sorry, I couldn't find your host's canonical name in DNS.")
        say(SET_UP_YOURSELF)
        return death.code
    say(b"Your host's fully qualified name in DNS is " + name + b".")
    for file, value in naming.steps(name):
        say(b"Putting " + value + b" into control/" + file.encode() + b"...")
        naming.put(home, file, value + b"\n")
    find_locals(home, lookups, name.decode())
    return 0


def find_locals(home: Home, lookups: Lookups, name: str) -> None:
    """Fill locals with the names of all our addresses, and rcpthosts from it."""
    say(b" ")
    say(b"Checking local IP addresses:")
    naming.put(home, "locals", b"")
    for address in sorted(set(own_and_known(lookups, name))):
        found = lookups.name_of(address)
        if found:
            local = found.encode("ascii", "replace")
            say(address.encode() + b": Adding " + local + b" to control/locals...")
            naming.append(home, "locals", local)
        else:
            say(address.encode() + b": PTR lookup failed. I assume this address has no DNS name.")
    where = home.control(b"locals")
    say(b" ")
    say(b"If there are any other domain names that point to you,")
    say(b"you will have to add them to " + where + b".")
    say(b"You don't have to worry about aliases, i.e., domains with CNAME records.")
    say(b" ")
    say(b"Copying " + where + b" to " + home.control(b"rcpthosts") + b"...")
    naming.put(home, "rcpthosts", control.read(where) or b"")
    say(b"Now qmail will refuse to accept SMTP messages except to those hosts.")
    say(b"Make sure to change rcpthosts if you add hosts to locals or virtualdomains!")


def own_and_known(lookups: Lookups, name: str) -> list[str]:
    """The addresses that the DNS gives for our name, and those that our interfaces have."""
    try:
        known = lookups.addresses(name)
    except Die:
        known = []
    return known + lookups.own_addresses()


def main(argv: list[bytes], home: Home) -> int:
    """Ask the machine's own resolver."""
    if len(argv) > 1:  # it writes over control files: not where somebody has asked for --help
        raise Die(PERM, b"usage: config")
    from qmailpy.system import names

    return configure(
        home,
        Lookups(names.host_name, names.full_name, names.addresses, names.own_addresses, names.name_of),
    )
