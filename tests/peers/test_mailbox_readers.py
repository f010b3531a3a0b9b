"""Dovecot, mutt, mailx and a shell at a terminal see what we delivered, whole, and what they do is no loss to us."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local_support import DTLINE, Joe, joe_in
from tests.mail_readers import Terminal, dovecot
from tests.neighbours import needs
from tests.places import Place, add_user, classic
from tests.support import read

MESSAGE = b"From: a@b.org\nTo: joe\nSubject: seen\nDate: Sat, 21 Nov 2026 10:00:00 +0000\n\nFrom here on.\n.\nend\n"
HEAD = b"Return-Path: <a@b.org>\n" + DTLINE


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    joe = joe_in(str(tmp_path))
    joe.maildir()
    return joe


def deliver(joe: Joe, line: str, message: bytes = MESSAGE) -> None:
    joe.put(".qmail", line + "\n")
    done = joe.run(joe.argv(), message)
    assert done.code == 0, done


# mutt


MUTTRC = """
set folder="{home}" spoolfile="{home}/{box}" mbox_type=Maildir move=no quit=yes wait_key=no confirmappend=no
set pipe_decode=no pipe_split=no sleep_time=0 mark_old=no editor=false sort=mailbox-order header_cache=""
set realname="" use_envelope_from=no tmpdir="{home}" send_charset="utf-8" record=""
"""


@pytest.mark.parametrize(("box", "line"), [("Maildir", "./Maildir/"), ("Mailbox", "./Mailbox")])
def test_mutt_sees_and_pipes_what_we_delivered(joe: Joe, box: str, line: str) -> None:
    needs("mutt")
    deliver(joe, line)
    deliver(joe, line, MESSAGE.replace(b"seen", b"second"))
    joe.put("muttrc", MUTTRC.format(home=joe.home, box=box))
    push = f"<pipe-message>cat > {joe.home}/first<enter><next-entry><pipe-message>cat > {joe.home}/two<enter><quit>"
    words = ["mutt", "-n", "-F", f"{joe.home}/muttrc", "-f", f"{joe.home}/{box}", "-e", f"push '{push}'"]
    with contextlib.closing(Terminal(words, {"HOME": joe.home, "LC_ALL": "C"}, cwd="/", **joe.identity)) as terminal:
        assert terminal.wait_for_exit() == 0, terminal.shown
    body = MESSAGE if box == "Maildir" else MESSAGE.replace(b"\nFrom here", b"\n>From here")
    got = sorted(read(f"{joe.home}/{name}").partition(b"Return-Path")[2] for name in ("first", "two"))
    assert got == sorted((HEAD + one).partition(b"Return-Path")[2] for one in (body, body.replace(b"seen", b"second")))


# a shell


@pytest.mark.parametrize("path", ["Maildir/new", "Maildir", "Mailbox"])
def test_a_shell_announces_new_mail(joe: Joe, path: str) -> None:
    needs("bash")
    line = "./Mailbox" if path == "Mailbox" else "./Maildir/"
    if path == "Mailbox":
        joe.put("Mailbox", "")
    environment = {"HOME": joe.home, "PS1": "ready> ", "MAILCHECK": "0", "MAILPATH": f"{joe.home}/{path}?Mail for joe."}
    words = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
    with contextlib.closing(Terminal(words, environment, cwd=joe.home, **joe.identity)) as terminal:
        terminal.wait_for(b"ready> ")
        terminal.type(b"echo one\n")
        terminal.wait_for(b"one\r\nready> ")
        assert b"Mail for joe." not in terminal.shown
        changes = f"{joe.home}/{'Mailbox' if path == 'Mailbox' else 'Maildir/new'}"
        before = int(os.stat(changes).st_mtime)
        deliver(joe, line)
        # the shell compares whole seconds; of a Maildir the newest message's, written before it was in new/
        while int(min(times(changes))) == before:
            deliver(joe, line)
        terminal.type(b"echo two\n")
        terminal.wait_for(b"Mail for joe.")
        terminal.type(b"exit\n")
        terminal.wait_for_exit()


def times(path: str) -> list[float]:
    """When this has changed; of a directory also when the newest file in it has."""
    files = [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else []
    newest = [max(os.stat(file).st_mtime for file in files)] if files else []
    return [os.stat(path).st_mtime, *newest]


# mailx


def mailx(words: list[str], commands: str, **options: Any) -> bytes:
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        ["bsd-mailx", *words], input=commands.encode(), capture_output=True, check=False, **options
    )
    return done.stdout + done.stderr


def test_mailx_reads_our_mbox(joe: Joe) -> None:
    needs("bsd-mailx")
    deliver(joe, "./Mailbox")
    deliver(joe, "./Mailbox", MESSAGE.replace(b"seen", b"second"))
    environment = {"HOME": joe.home, "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    shown = mailx(["-N", "-f", f"{joe.home}/Mailbox"], "P 2\nd 1\nq\n", env=environment, cwd="/", **joe.identity)
    assert b"Subject: second\n" in shown
    assert b"\n>From here on.\n.\nend\n" in shown
    assert b"Subject: seen" not in joe.file("Mailbox")
    deliver(joe, "./Mailbox", MESSAGE.replace(b"seen", b"third"))
    assert joe.file("Mailbox").count(b"\nSubject: ") == 2


# Dovecot, and boxes in /var/mail: in a machine of their own


@pytest.fixture
def place() -> Iterator[Place]:
    with contextlib.closing(classic({})) as place:
        os.chown("/var/mail", 0, 8)
        os.chmod("/var/mail", 0o2775)
        yield place


@pytest.mark.root
def test_dovecot_serves_what_we_delivered_to_a_maildir(tmp_path: Path) -> None:
    uid = add_user("joe")
    joe = Joe(str(tmp_path))
    joe.uid = joe.gid = uid
    joe.home = "/home/joe"
    joe.maildir()
    with dovecot("/run/readers", "maildir:~/Maildir") as server:
        deliver(joe, "./Maildir/")
        assert server.inbox("joe") == [HEAD + MESSAGE]
        deliver(joe, "./Maildir/", b"Subject: second\n\nbody\n")
        assert server.inbox("joe") == [HEAD + MESSAGE, HEAD + b"Subject: second\n\nbody\n"]
    assert os.listdir("/home/joe/Maildir/new") == []
    assert len(os.listdir("/home/joe/Maildir/cur")) == 2


@pytest.mark.root
@pytest.mark.parametrize("forced", ["", "1"])
def test_a_box_in_var_mail_is_made_filled_and_read(forced: str) -> None:
    """Root makes it, joe's delivery fills it, mailx and Dovecot read it, and what mailx removed stays removed."""
    needs("bsd-mailx")
    with contextlib.closing(classic({"QMAILEXEC": forced} if forced else {})) as place:
        os.chown("/var/mail", 0, 8)
        os.chmod("/var/mail", 0o2775)
        place.control("mailspool", "/var/mail\n")
        place.start("|qmail-mailspool")
        place.send(place.user, MESSAGE.decode(), sender="a@b.org")
        place.log.ends(1)  # two at once may come in either order
        place.send(place.user, MESSAGE.decode().replace("seen", "second"), sender="a@b.org")
        place.log.ends(2)
        status = os.stat("/var/mail/joe")
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o660, place.uid, 8)
        environment = {"HOME": "/home/joe", "USER": "joe", "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        identity = {"user": place.uid, "group": place.gid, "extra_groups": []}
        shown = mailx(["-N"], "P 2\nd 1\nx\n", env=environment, cwd="/home/joe", **identity)
        assert b"Subject: second\n" in shown
        mailx(["-N"], "d 1\nq\n", env={**environment, "MBOX": "/home/joe/mbox"}, cwd="/home/joe", **identity)
        left = read("/var/mail/joe")
        assert b"Subject: seen" not in left
        assert b"Subject: second" in left
        place.send(place.user, MESSAGE.decode().replace("seen", "third"), sender="a@b.org")
        place.log.ends(3)
        with dovecot("/run/readers", "mbox:~/mail:INBOX=/var/mail/%u") as server:
            subjects = [line for one in server.inbox("joe") for line in one.split(b"\n") if line.startswith(b"Subject")]
        assert subjects == [b"Subject: second", b"Subject: third"]
        assert sorted(os.listdir("/var/mail")) == ["joe"]
        place.stop()


@pytest.mark.root
def test_alias_has_a_box_and_without_the_control_file_nobody_gets_one(place: Place) -> None:
    place.start("|qmail-mailspool")
    place.alias_file(".qmail-postmaster", "")
    place.send("postmaster")
    failed = place.log.wait("delivery")
    assert failed.outcome == "deferral"
    assert "Unable_to_open_/var/mail/alias:_access_denied." in failed.report
    assert os.listdir("/var/mail") == []
    place.stop()
    place.control("mailspool", "/var/mail\n")
    after = place.log.count()
    place.start("|qmail-mailspool")
    place.send("postmaster")
    place.log.ends(1, after=after)
    assert b"\nDelivered-To: postmaster@mx.example.org\n" in read("/var/mail/alias")
    place.stop()


@pytest.mark.root
def test_a_box_that_somebody_put_there_before_is_not_root_s_gift(place: Place) -> None:
    """Who has group mail may plant a name; root changes nothing behind it, and joe's mail waits."""
    place.control("mailspool", "/var/mail\n")
    os.symlink("/etc/shadow", "/var/mail/joe")
    before = os.stat("/etc/shadow").st_ctime_ns, read("/etc/shadow")
    place.start("|qmail-mailspool")
    place.send(place.user)
    failed = place.log.wait("delivery")
    assert (failed.outcome, "access_denied" in failed.report) == ("deferral", True)
    assert (os.stat("/etc/shadow").st_ctime_ns, read("/etc/shadow")) == before
    place.stop()
