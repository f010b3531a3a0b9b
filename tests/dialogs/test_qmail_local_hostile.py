"""What a user can put into a home, by mistake or not, and what disks do: one verdict, one sentence, nothing lost."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.namespaces import mount
from tests.neighbours import needs
from tests.places import Place, classic
from tests.support import RecordingQueue, read

HEAD = b"Return-Path: <a@b.org>\n" + DTLINE
LONG = "x" * 1_000_000
MS_NOSUID = 2
BECAME = re.compile(r"setresuid\([1-9].* = 0$")
FORKED = re.compile(r"(?:clone3?|v?fork)\(.* = (\d+)$")
CR = "Uh-oh: .qmail has a line that ends with CR. (#4.2.1)"


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    joe = joe_in(str(tmp_path))
    joe.maildir()
    return joe


def deferred(sentence: str) -> Done:
    return Done(111, b"", sentence.encode() + b"\n")


# .qmail


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n./Maildir/\n", "Uh-oh: first line of .qmail file is blank. (#4.2.1)"),
        (" \t\n./Maildir/\n", "Uh-oh: first line of .qmail file is blank. (#4.2.1)"),
        ("\0\n./Maildir/\n", "Uh-oh: first line of .qmail file is blank. (#4.2.1)"),
        ("\r\n./Maildir/\r\n", CR),
        ("./Maildir/\r\n", CR),
        ("./Mailbox\r\n", CR),
        ("|true\r\n", CR),
        ("&joe@x.org\r\n", CR),
        ("+list\r\n&joe@x.org\n", CR),
        ("./Maildir/\0\r\n", None),  # the NUL ends the line before its CR
        ("./Maildir/\0/../../etc/x\n", None),
        ("#\r\n./Maildir/\n", None),
        (f"#{LONG}\n./Maildir/\n", None),
        (f"./{LONG}/\n", "Unable to chdir to maildir. (#4.2.1)"),
        (f"./{LONG}\n", f"Unable to open ./{LONG}: file name too long. (#4.2.1)"),
        (f"|{LONG}\n", "Unable to run /bin/sh: argument list too long. (#4.3.0)"),
        ("|true \0 ; echo never\n./Maildir/\n", None),
    ],
    ids=range(17),
)
def test_a_line_is_obeyed_or_the_mail_waits(joe: Joe, content: str, expected: str | None) -> None:
    joe.put(".qmail", content)
    before = sorted(os.listdir(joe.home))
    done = joe.run(joe.argv())
    if expected is None:
        assert (done.code, done.err) == (0, b"")
        assert joe.mails() == [HEAD + MESSAGE]
    else:
        assert done == deferred(expected)
        assert joe.mails() == []
    assert sorted(os.listdir(joe.home)) == before


def test_a_list_of_100000_is_one_message(joe: Joe, tmp_path: Path) -> None:
    queue = RecordingQueue(f"{tmp_path}/queued")
    joe.environment.update(queue.environment)
    joe.put(".qmail-list", "".join(f"&member-{number}@example.org\n" for number in range(100_000)), 0o700)
    done = joe.run(joe.argv(local=b"joe-list", dash=b"-", ext=b"list"))
    assert re.fullmatch(rb"did 0\+100000\+0\nqp \d+\n", done.out)
    ((message, envelope),) = queue.messages
    assert message == b"Delivered-To: joe-list@example.org\n" + MESSAGE
    assert envelope == b"Fa@b.org\0%s\0" % b"".join(b"Tmember-%d@example.org\0" % each for each in range(100_000))


def test_a_list_that_ends_badly_sends_to_nobody(joe: Joe, tmp_path: Path) -> None:
    queue = RecordingQueue(f"{tmp_path}/queued")
    joe.environment.update(queue.environment)
    joe.put(".qmail", "&one@example.org\n" * 1000 + "&two@example.org\r\n")
    assert joe.run(joe.argv()) == deferred(CR)
    assert queue.messages == []


# the Maildir


def test_fifty_deliveries_of_one_message_have_fifty_names(joe: Joe) -> None:
    joe.put(".qmail", "./Maildir/\n" * 50)
    assert joe.run(joe.argv()) == Done(0, b"did 50+0+0\n", b"")
    assert joe.mails() == [HEAD + MESSAGE] * 50


@pytest.mark.parametrize("part", ["tmp", "new"])
@pytest.mark.parametrize("kind", ["missing", "closed", "a file", "dangling link"])
def test_a_broken_maildir_keeps_the_mail_in_the_queue(joe: Joe, part: str, kind: str) -> None:
    path = f"{joe.home}/Maildir/{part}"
    if kind == "closed":
        os.chmod(path, 0o500)
    else:
        os.rmdir(path)
        if kind == "a file":
            joe.put(f"Maildir/{part}", "")
        elif kind == "dangling link":
            os.symlink("nowhere", path)
    joe.put(".qmail", "./Maildir/\n")
    assert joe.run(joe.argv()) == deferred("Temporary error on maildir delivery. (#4.3.0)")
    left = [name for folder in ("tmp", "new") for name in contents(f"{joe.home}/Maildir/{folder}")]
    assert left == []


def contents(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


# disks: in a machine of their own


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Joe]:
    """A joe whose home is a file system of 1 MB, with a Maildir, a Mailbox and little room."""
    joe = Joe(str(tmp_path))
    mount("tmpfs", joe.home, "tmpfs", MS_NOSUID, f"size=1m,mode=700,uid={joe.uid},gid={joe.gid}")
    joe.maildir()
    joe.put("Mailbox", "From old\n\nold\n\n")
    yield joe
    subprocess.run(["umount", "-l", joe.home], check=True)


@pytest.mark.root
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("./Maildir/", "Temporary error on maildir delivery. (#4.3.0)"),
        ("./Mailbox", "Unable to write ./Mailbox: out of disk space. (#4.3.0)"),
        ("./Young", "Unable to write ./Young: out of disk space. (#4.3.0)"),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(disk: Joe, line: str, sentence: str) -> None:
    disk.put(".qmail", line + "\n")
    assert disk.run(disk.argv(), MESSAGE + b"x\n" * 600_000) == deferred(sentence)
    assert disk.mails() == []
    assert disk.file("Mailbox") == b"From old\n\nold\n\n"
    if os.path.exists(f"{disk.home}/Young"):
        assert disk.file("Young") == b""
    assert not [name for name in os.listdir(disk.home) if name.endswith(".lock")]
    assert disk.run(disk.argv()).code == 0  # a small one has room


@pytest.mark.root
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("./Maildir/", "Temporary error on maildir delivery. (#4.3.0)"),
        ("./Mailbox", "Unable to open ./Mailbox: read-only file system. (#4.2.1)"),
        ("./Young", "Unable to open ./Young: read-only file system. (#4.2.1)"),
    ],
)
def test_a_read_only_home_defers(disk: Joe, line: str, sentence: str) -> None:
    disk.put(".qmail", line + "\n")
    subprocess.run(["mount", "-o", "remount,ro", disk.home], check=True)
    assert disk.run(disk.argv()) == deferred(sentence)
    subprocess.run(["mount", "-o", "remount,rw", disk.home], check=True)
    assert disk.mails() == []
    assert disk.file("Mailbox") == b"From old\n\nold\n\n"


@pytest.mark.root
@pytest.mark.parametrize("forced", ["", "1"])
def test_a_home_on_a_dead_mount_keeps_its_mail_waiting(forced: str) -> None:
    """A FUSE mount whose server has gone, as sshfs leaves it: the mail waits, and everybody else's comes."""
    with contextlib.closing(classic({"QMAILEXEC": forced} if forced else {})) as place:
        dead = fuse(place.user_home, place.uid)
        os.close(dead)
        with pytest.raises(OSError, match="not connected"):
            os.stat(f"{place.user_home}/Maildir")
        place.start()
        done = place.run("sendmail", place.address, stdin=b"Subject: x\n\n", uid=place.uid_of("alias"))
        assert done.code == 0
        waits = place.log.wait("delivery")
        assert waits.outcome == "deferral"
        assert waits.report.startswith(("NFS_failure_in_qmail-local.", f"Unable_to_switch_to_{place.user_home}:_"))
        subprocess.run(["umount", "-l", place.user_home], check=True)
        assert place.daemons is not None
        place.daemons.send_signal(14)  # ALRM: try again now
        place.log.ends(1)
        assert len(place.mail()) == 1
        place.stop()


def fuse(path: str, uid: int) -> int:
    """A FUSE file system over this directory.  Result: the descriptor of its server, which is nobody."""
    os.mknod("/dev/fuse", 0o600 | 0o020000, os.makedev(10, 229))
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id={uid},group_id={uid},allow_other"
    mount("dead", path, "fuse", MS_NOSUID, options)
    return descriptor


# root


@pytest.mark.root
@pytest.mark.parametrize("forced", ["", "1"])
def test_root_touches_nothing_in_a_users_home(forced: str, tmp_path: Path) -> None:
    """Every call of qmail-lspawn and its children that names a file, by strace: what is below /home is done by joe."""
    needs("strace")
    with contextlib.closing(classic({"QMAILEXEC": forced} if forced else {})) as place:
        place.control("mailspool", "/var/mail\n")
        place.user_file(".qmail", "./Maildir/\n./Mailbox\n|true\n&ann@far.example\n")
        place.user_file(".qmail-default", "|qmail-mailspool\n")
        place.start()
        trace = f"{tmp_path}/trace"
        lspawn = place.children()["qmail-lspawn"]
        words = ["strace", "-ff", "-qq", "-y", "-e", "trace=%file,%desc,%process,setresuid", "-o", trace]
        with subprocess.Popen([*words, "-p", str(lspawn)], stderr=subprocess.PIPE) as tracer:
            place.send(place.user)
            place.send(f"{place.user}-x")
            for _ in range(2):
                place.log.wait("delivery", outcome="success")
            place.log.ends(2)
            tracer.terminate()
        assert len(place.mail()) == 1
        calls = {
            name.removeprefix("trace."): read(f"{tmp_path}/{name}").decode(errors="replace").splitlines()
            for name in os.listdir(tmp_path)
        }
        assert any("/home/joe/Maildir/tmp/" in line for lines in calls.values() for line in lines)
        assert any(line.startswith("openat(") and '"joe"' in line for lines in calls.values() for line in lines)
        assert as_root(calls, str(lspawn), place.user_home) == []
        assert as_root(calls, str(lspawn), "/var/mail") != []  # where root does make something
        place.stop()


def as_root(calls: dict[str, list[str]], pid: str, home: str) -> list[str]:
    """The calls of this process and its descendants that named something in this home while they were root still."""
    found = []
    for line in calls.get(pid, []):
        if BECAME.match(line):
            break
        if home in line:
            found.append(line)
        if child := FORKED.match(line):
            found += as_root(calls, child[1], home)
    return found


def test_a_message_of_a_forward_that_is_too_long_fails_for_good(place: Place) -> None:
    place.user_file(".qmail", f"&{LONG}@example.org\n")
    place.start()
    place.send(place.user, sender=f"postmaster@{place.domain}")
    failed = place.log.wait("delivery")
    assert failed.outcome == "failure"
    assert failed.report.endswith("Unable_to_forward_message:_envelope_address_too_long_for_qq_(#5.1.3)./")
    assert len(failed.report) < 300
    place.stop()
