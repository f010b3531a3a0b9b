"""Recipients in homes that qmaild cannot enter: taken unseen, until root has made a table of their .qmail files."""

import os
import pwd
import stat
from collections.abc import Iterator

import pytest

from qmailpy.rules.existing import KNOWN, UNCLEAR, UNKNOWN
from tests.places import Place, add_user, classic
from tests.policy_support import existing
from tests.support import DOMAIN, give, write

pytestmark = pytest.mark.root

OLD = 1_000_000_000  # seconds: a home that nobody has touched for long


@pytest.fixture
def place() -> Iterator[Place]:
    place = classic({})
    yield place
    place.close()


def ask(place: Place, *names: str) -> list[bytes]:
    """As the server does, who is qmaild."""
    account = pwd.getpwnam("qmaild")
    names_at = [f"{name}@{DOMAIN}".encode() for name in names]
    return existing(place.home, names_at, account.pw_uid, account.pw_gid)


def settle(folder: str) -> None:
    os.utime(folder, (OLD, OLD))


def test_a_private_home_is_taken_unseen_and_a_table_closes_the_gap(place: Place) -> None:
    place.user_file(".qmail-list-default", "./Mailbox\n")
    place.user_file(".qmail-secret", "./Mailbox\n")
    place.alias_file(".qmail-help", "&joe\n")
    who = ("joe", "joe-list-x", "joe-secret", "joe-missing", "missing", "help")
    assert ask(place, *who) == [KNOWN, KNOWN, KNOWN, UNKNOWN, UNKNOWN, KNOWN]
    os.chmod(place.user_home, 0o700)
    assert ask(place, *who) == [KNOWN, UNCLEAR, UNCLEAR, UNCLEAR, UNKNOWN, KNOWN]

    settle(place.user_home)
    done = place.run("qmail-recipients", uid=0)
    assert (done.code, done.output, done.errors) == (0, b"", b"")
    assert ask(place, *who) == [KNOWN, KNOWN, KNOWN, UNKNOWN, UNKNOWN, KNOWN]

    # what is in private homes is for qmaild only
    found = os.stat(f"{place.home}/users/recipients.cdb")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, pwd.getpwnam("qmaild").pw_gid, 0o640)
    assert sorted(os.listdir(f"{place.home}/users")) == ["recipients.cdb"]

    # a new file counts at once, though nobody has run anything; and so does one that is gone
    place.user_file(".qmail-missing", "./Mailbox\n")
    assert ask(place, *who) == [KNOWN, UNCLEAR, UNCLEAR, UNCLEAR, UNKNOWN, KNOWN]
    os.unlink(f"{place.user_home}/.qmail-secret")
    settle(place.user_home)
    assert place.run("qmail-recipients", uid=0).code == 0
    assert ask(place, "joe-secret", "joe-missing") == [UNKNOWN, KNOWN]

    # a home that changes just now is left out: a second change could leave the same time
    os.utime(place.user_home)
    done = place.run("qmail-recipients", uid=0)
    assert done.code == 0
    assert b"/home/joe cannot be listed just now" in done.errors
    assert ask(place, "joe-x") == [UNCLEAR]


def test_homes_of_assignments_count_and_nobody_is_led_elsewhere(place: Place) -> None:
    add_user("eve", 1999)
    write("/home/eve/.qmail-x", "./Mailbox\n")
    write("/run/box/.qmail-y", "./Mailbox\n")
    write("/run/box/not-qmail", "")
    give("/run/box", 4242, 4242)
    give("/home/eve", 1999, 1999)
    for folder in ("/run/box", "/home/eve"):
        os.chmod(folder, 0o700)
        settle(folder)
    write(
        f"{place.home}/users/assign",
        "+box-:box:4242:4242:/run/box:-::\n+root-:root:0:0:/root:-::\n+etc-:etc:4243:4243:/run/box:-::\n.\n",
    )
    assert place.run("qmail-newu", uid=0).code == 0
    assert place.run("qmail-recipients", uid=0).code == 0
    assert ask(place, "box-y", "box-x", "eve-x", "eve-y", "root-x") == [KNOWN, UNKNOWN, KNOWN, UNKNOWN, UNCLEAR]
