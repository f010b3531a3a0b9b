"""Whose an address is on a real machine: users/cdb, accounts from any source of names, alias for the rest.

The whole system, started as root, resident and executed.
"""

import os
import signal
import stat
from collections.abc import Iterator

import pytest

from tests.places import FORCED, Place, add_user, classic, make_maildir
from tests.support import give, read, wait_for, wait_for_files, write

pytestmark = pytest.mark.root

UNKNOWN = 4242  # a uid that is no account's
EXTRA = "/var/lib/extrausers/passwd"


@pytest.fixture(params=[{}, FORCED], ids=["resident", "exec"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    place = classic(request.param)
    yield place
    place.close()


def deliver(place: Place, recipient: str, messages: int = 1) -> str:
    """Send, and wait for the end of so many messages.  Result: the report of the first delivery."""
    after = place.log.count()
    place.send(recipient)
    place.log.ends(messages, after=after)
    return place.log.wait("delivery", after=after).report


def assign(place: Place, text: str) -> None:
    write(f"{place.home}/users/assign", text)
    assert place.run("qmail-newu", uid=0).code == 0


def test_an_assignment_needs_no_account_and_may_have_its_home_anywhere(place: Place) -> None:
    make_maildir("/run/boxes/joe/Maildir")
    give("/run/boxes", UNKNOWN, UNKNOWN + 1)
    write("/run/boxes/joe/.qmail-work-default", '|echo "$(id -u) $(id -g) $(id -G) $USER $HOME $EXT $DEFAULT"\n')
    place.start()
    assign(
        place,
        f"=joe:box:{UNKNOWN}:{UNKNOWN + 1}:/run/boxes/joe:::\n"
        f"+joe-:box:{UNKNOWN}:{UNKNOWN + 1}:/run/boxes/joe:-:work-:\n.\n",
    )
    assert deliver(place, "joe") == "did_1+0+0/"
    (path,) = wait_for_files("/run/boxes/joe/Maildir/new")
    found = os.stat(path)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (UNKNOWN, UNKNOWN + 1, 0o600)
    report = deliver(place, "Joe-Some.Thing")
    assert report == (f"{UNKNOWN}_{UNKNOWN + 1}_{UNKNOWN + 1}_box_/run/boxes/joe_work-Some.Thing_Some.Thing/did_0+0+1/")

    # a change counts at once; what the table does not have any more is the account's again
    assign(place, ".\n")
    assert deliver(place, "joe") == "did_1+0+0/"
    assert len(place.mail()) == 1
    place.stop()


def test_what_nobody_has_is_alias_and_root_is_nobody(place: Place) -> None:
    place.alias_file(".qmail-root", f"&{place.address}\n")
    place.alias_file(".qmail-default", '|echo "$USER $EXT $(id -un)"\n')
    place.start()
    assert deliver(place, "root", 2).startswith("did_0+1+0/")
    assert deliver(place, "root-Mail") == "alias_root-Mail_alias/did_0+0+1/"
    assert deliver(place, "nobody-here") == "alias_nobody-here_alias/did_0+0+1/"
    os.chown(place.user_home, 0, 0)  # not his own: as if he were not there
    assert deliver(place, "joe") == "alias_joe_alias/did_0+0+1/"
    os.rename(place.user_home, "/home/elsewhere")
    after = place.log.count()
    assert place.run("sendmail", "joe-x", stdin=b"Subject: lost\n\n", uid=UNKNOWN).code == 0
    assert place.log.wait("delivery", after=after).report == "alias_joe-x_alias/did_0+0+1/"
    os.rename("/home/elsewhere", place.user_home)
    assign(place, "=root:root:0:0:/root:::\n.\n")
    after = place.log.count()
    place.send("root")
    report = place.log.wait("delivery", after=after)
    assert (report.outcome, report.report) == ("deferral", "Not_allowed_to_perform_deliveries_as_root./")
    place.stop()


def test_a_table_that_only_root_can_read_defers(place: Place) -> None:
    """It is read by qmailp; 0600 is a slip of an administrator's, and no reason to bounce his users' mail."""
    assign(place, f"=box:joe:{place.uid}:{place.uid}:{place.user_home}:::\n.\n")
    os.chmod(f"{place.home}/users/cdb", 0o600)
    place.start()
    place.send("box")
    line = place.log.wait("delivery")
    assert (line.outcome, line.report) == ("deferral", "Trouble_reading_users/cdb_in_qmail-lspawn./")
    os.chmod(f"{place.home}/users/cdb", 0o644)
    deliver_now(place)
    assert len(place.mail()) == 1
    place.stop()


def deliver_now(place: Place) -> None:
    """ALRM until what waits is delivered: a message whose deferral was just logged may not be back in its place yet."""
    after = place.log.count()

    def ended() -> bool:
        assert place.daemons is not None
        place.daemons.send_signal(signal.SIGALRM)
        return any(line.kind == "end" for line in place.log.lines[after:])

    wait_for(ended, "the delivery of what waits")


def test_the_accounts_of_the_machine_as_a_table(place: Place) -> None:
    """What qmail-pw2u makes of passwd gives the same deliveries as the accounts themselves."""
    add_user("ann", 1818)
    place.alias_file(".qmail-default", '|echo "$USER $EXT"\n')
    place.user_file(".qmail-default", '|echo "$USER $EXT"\n')
    place.start()
    recipients = ("joe-X", "help", "root", "nobody-x")
    before = [deliver(place, recipient) for recipient in recipients]
    done = place.run("qmail-pw2u", stdin=read("/etc/passwd"), uid=0)
    assert (done.code, done.errors) == (0, b"")
    assert b"\n=ann:ann:1818:1818:/home/ann:::\n" in done.output
    assert b"=root:" not in done.output
    assign(place, done.output.decode())
    os.unlink("/etc/nsswitch.conf")  # nobody is asked any more
    write("/etc/nsswitch.conf", "passwd: no-such-source\n")
    assert [deliver(place, recipient) for recipient in recipients] == before
    place.stop()


def test_a_stranger_is_told_what_he_may_not_read(place: Place) -> None:
    """qmail-explain needs no privilege; of what is closed to who asks it says so, and guesses nothing."""
    os.chmod(place.user_home, 0o700)
    place.user_file(".qmail-x", "&ann@far.example\n")
    done = place.run("qmail-explain", "-d", "./Maildir/", "joe", uid=UNKNOWN)
    assert (done.code, done.errors) == (111, b"")
    text = b"unknown: Unable to switch to /home/joe: access denied. (#4.3.0) Ask again as root, or as joe.\n"
    assert done.output.endswith(text)
    os.chmod(place.user_home, 0o755)
    os.chmod(f"{place.user_home}/.qmail-x", 0o600)
    done = place.run("qmail-explain", "joe-x", uid=UNKNOWN)
    assert done.code == 111
    assert b"    file: .qmail-x: unreadable\n    unknown: Unable to open .qmail-x: access denied." in done.output
    for uid in (0, place.uid):
        done = place.run("qmail-explain", "--no-dns", "joe-x", uid=uid)
        assert done.code == 0
        assert b"    to (line 1): ann@far.example\n      remote: far.example\n" in done.output


# accounts that are not in /etc/passwd


@pytest.fixture
def extra(place: Place) -> Place:
    """A second source of accounts, after the files, as a directory server would be."""
    if not any(os.path.exists(f"{folder}/libnss_extrausers.so.2") for folder in ("/usr/lib", "/lib")):
        pytest.skip("needs libnss_extrausers.so.2 (Debian: libnss-extrausers)")
    write("/etc/nsswitch.conf", "passwd: files extrausers\ngroup: files extrausers\n")
    os.makedirs("/home/eve")
    make_maildir("/home/eve/Maildir")
    give("/home/eve", UNKNOWN, UNKNOWN)
    write(EXTRA, f"eve:x:{UNKNOWN}:{UNKNOWN}:Eve:/home/eve:/bin/sh\nnobodys:x:0:0::/root:/bin/sh\n")
    place.alias_file(".qmail-default", '|echo "$USER $EXT"\n')
    return place


def test_an_account_from_any_source_simply_works(extra: Place) -> None:
    with open("/etc/passwd", "rb") as file:
        assert b"\neve:" not in file.read()
    extra.start()
    assert deliver(extra, "eve") == "did_1+0+0/"
    (path,) = wait_for_files("/home/eve/Maildir/new")
    assert os.stat(path).st_uid == UNKNOWN
    assert deliver(extra, "joe") == "did_1+0+0/"
    assert deliver(extra, "stranger-X") == "alias_stranger-X/did_0+0+1/"
    assert deliver(extra, "nobodys") == "alias_nobodys/did_0+0+1/"
    extra.stop()


def test_a_source_that_fails_makes_nobody_a_stranger(extra: Place) -> None:
    """Not "no mailbox here by that name", and not alias: whose the address is cannot be said now."""
    os.rename(EXTRA, EXTRA + ".away")
    extra.start()
    extra.send("eve")
    line = extra.log.wait("delivery")
    assert (line.outcome, line.report) == ("deferral", "Temporary_failure_in_qmail-lspawn./")
    assert deliver(extra, "joe") == "did_1+0+0/", "a source before it has him"

    # by hand it says where to look
    done = extra.run("qmail-getpw", "eve")
    assert (done.code, done.output) == (118, b"")
    assert done.errors.startswith(b"qmail-getpw: fatal: unable to look up an account, see passwd in /etc/nsswitch.conf")

    os.rename(EXTRA + ".away", EXTRA)
    deliver_now(extra)
    wait_for_files("/home/eve/Maildir/new")
    wait_for(extra.queue_is_empty, "an empty queue")
    extra.stop()
