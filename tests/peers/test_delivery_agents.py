"""procmail, maildrop and Dovecot deliver for us: from a .qmail through preline, and as the default delivery."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.mail_readers import configure_dovecot, dovecot
from tests.neighbours import needs
from tests.places import Place, classic
from tests.support import wait_for

pytestmark = pytest.mark.root

TEXT = "Subject: %s\n\nFrom here on.\n"
PROCMAILRC = """MAILDIR=$HOME
DEFAULT=$HOME/Maildir/
:0
* ^Subject: boxed
Mailbox
:0
* ^Subject: later
{
  EXITCODE=75
  :0
  /dev/null
}
:0
* ^Subject: never
{
  EXITCODE=77
  :0
  /dev/null
}
"""
MAILFILTER = """DEFAULT="$HOME/Maildir"
if (/^Subject: boxed/)
{
  to "$HOME/Mailbox"
}
if (/^Subject: later/)
{
  EXITCODE=75
  exit
}
if (/^Subject: never/)
{
  EXITCODE=77
  exit
}
"""
AGENTS = {
    "procmail": ("preline procmail -p -m $HOME/.procmailrc", ".procmailrc", PROCMAILRC),
    "procmail-plain": ("preline procmail", ".procmailrc", PROCMAILRC),
    "maildrop": ("preline maildrop", ".mailfilter", MAILFILTER),
}


@pytest.fixture
def place() -> Iterator[Place]:
    with contextlib.closing(classic({})) as place:
        yield place


def mails(place: Place) -> list[bytes]:
    """In the Maildir, without a From_ line that an agent may have left."""
    return [one[one.index(b"Return-Path:") :] for one in place.mail()]


def head(place: Place) -> bytes:
    """How a message begins that preline has had."""
    return b"Return-Path: <%s>\nDelivered-To: %s\nReceived: (qmail " % (place.address.encode(), place.address.encode())


@pytest.mark.parametrize("where", [".qmail", "default delivery"])
@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_delivers_sorts_defers_and_refuses(place: Place, agent: str, where: str) -> None:
    needs(agent.partition("-")[0])
    line, name, content = AGENTS[agent]
    os.chmod(place.user_file(name, content), 0o600)
    if where == ".qmail":
        place.user_file(".qmail", f"|{line}\n")
    place.start(f"|{line}" if where != ".qmail" else "./Nowhere/")

    place.send(place.user, TEXT % "plain", sender=place.address)
    place.log.ends(1)
    assert place.log.wait("delivery").report == "did_0+0+1/"
    (mail,) = mails(place)
    assert mail.startswith(head(place))
    assert b"\nSubject: plain\n" in mail
    assert mail.rstrip(b"\n").endswith(b"From here on.")

    place.send(place.user, TEXT % "boxed", sender=place.address)
    place.log.ends(2)
    with open(f"{place.user_home}/Mailbox", "rb") as file:
        boxed = file.read()
    assert boxed.startswith(b"From ")
    assert boxed.count(b"\n>From here on.\n") + boxed.count(b"\nFrom here on.\n") == 1

    after = place.log.count()
    place.send(place.user, TEXT % "later", sender=place.address)
    assert place.log.wait("delivery", after=after).outcome == "deferral"
    after = place.log.count()
    place.send(place.user, TEXT % "never", sender="")
    assert place.log.wait("delivery", after=after).outcome == "failure"
    assert len(place.mail()) == 1
    place.stop()


@pytest.mark.parametrize("where", [".qmail", "default delivery"])
def test_dovecots_agent_delivers(place: Place, where: str) -> None:
    if not os.path.exists("/usr/lib/dovecot/dovecot-lda"):
        pytest.skip("needs dovecot-lda (Debian: dovecot-core)")
    server = configure_dovecot("/run/agent", "maildir:~/Maildir")
    line = f'preline -f /usr/lib/dovecot/dovecot-lda -c {server.configuration} -f "$SENDER" -a "$RECIPIENT"'
    if where == ".qmail":
        place.user_file(".qmail", f"|{line}\n")
    os.chmod("/run/agent", 0o777)  # its log
    place.start(f"|{line}" if where != ".qmail" else "./Nowhere/")
    place.send(place.user, TEXT % "plain", sender=place.address)
    delivered = place.log.wait("delivery")
    assert (delivered.outcome, delivered.report) == ("success", "did_0+0+1/")
    (mail,) = place.mail()
    assert b"Delivered-To: %s\n" % place.address.encode() in mail
    assert b"\nSubject: plain\n\nFrom here on.\n" in mail
    os.rename(f"{place.user_home}/Maildir", f"{place.user_home}/elsewhere")
    os.chmod(place.user_home, 0o555)
    after = place.log.count()
    place.send(place.user, TEXT % "later", sender=place.address)
    assert place.log.wait("delivery", after=after).outcome == "deferral"
    place.stop()


@pytest.mark.parametrize("server_is", ["a socket", "a port"])
def test_mailboxes_live_in_dovecot_by_lmtp(place: Place, server_is: str) -> None:
    needs("dovecot")
    with dovecot("/run/cluster", "maildir:~/Maildir") as server:
        name = server.socket if server_is == "a socket" else "localhost:24"
        place.start(f'|qmail-lmtp {name} "$USER"')
        place.user_file(".qmail-gone", f"|qmail-lmtp {name}\n")
        text = "Subject: dots\n\n.\n..\n.x\nFrom here on.\n8-bit: \xe9\n"
        place.send(place.user, text, sender="far@away.example")
        assert place.log.wait("delivery").report == "did_0+0+1/"
        (mail,) = server.inbox(place.user)
        head, _, body = mail.partition(b"\n\n")
        assert body == text.encode().partition(b"\n\n")[2]
        assert b"Return-Path: <far@away.example>\n" in head
        assert head.count(b"Delivered-To: ") == 2  # Dovecot's and ours, by which a loop is known

        after = place.log.count()
        place.send(f"{place.user}-gone", sender="")
        refused = place.log.wait("delivery", after=after)
        assert refused.outcome == "failure"
        assert "550_5.1.1_<joe-gone@mx.example.org>_User_doesn't_exist" in refused.report

        os.rename(f"{place.user_home}/Maildir", f"{place.user_home}/elsewhere")
        os.chmod(place.user_home, 0o555)
        after = place.log.count()
        place.send(place.user)
        put_off = place.log.wait("delivery", after=after)
        assert (put_off.outcome, "put_off_joe:_451_" in put_off.report) == ("deferral", True)
    after = place.log.count()
    place.send(place.user)
    put_off = place.log.wait("delivery", after=after)
    assert put_off.outcome == "deferral"
    # a helper of a dovecot that has just ended may let one in, and hang up
    assert re.search("(Unable_to_connect|Connected)_to_LMTP_server_", put_off.report)
    place.stop()


def test_a_message_that_dovecot_sends_back_to_us_does_not_go_round(place: Place) -> None:
    """Forwarded by a filter behind LMTP it would come again; our Delivered-To line is in it."""
    needs("dovecot")
    with dovecot("/run/cluster", "maildir:~/Maildir") as server:
        place.start(f'|qmail-lmtp {server.socket} "$USER"')
        place.send(place.user)
        place.log.ends(1)
        (mail,) = wait_for(lambda: server.inbox(place.user), "the mail")
        done = subprocess.run(
            [place.program("sendmail"), "-f", "", place.address], input=mail, check=False, env=place.environment
        )
        assert done.returncode == 0
        looped = place.log.wait("delivery", after=0, outcome="failure")
        assert looped.report.startswith("This_message_is_looping:_it_already_has_my_Delivered-To_line._(#5.4.6)")
    place.stop()
