"""Small programs that users call: predate, datemail, mailsubj; Maildir and mbox into each other; old mail readers."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.inject_support import Done, run
from tests.support import CHECKOUT, PATH, RecordingQueue, bare_home, read, wait_for, wait_for_exit, write

LONG_AGO = 1_600_000_000  # seconds since the epoch: Sun Sep 13 12:26:40 2020
DATE = "Sun Sep 13 12:26:40 2020"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home", me="mail.example.com")


@pytest.fixture
def queue(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(f"{tmp_path}/queued")


class Box:
    """A user's Maildir and mbox."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        for part in ("tmp", "new", "cur"):
            os.makedirs(f"{folder}/Maildir/{part}")
        self.environment = {
            "PATH": PATH,
            "MAIL": f"{folder}/mbox",
            "MAILTMP": f"{folder}/mboxtmp",
            "MAILDIR": f"{folder}/Maildir",
        }

    def mail(self, name: str, content: bytes, when: int = LONG_AGO) -> None:
        path = write(f"{self.folder}/Maildir/{name}", content)
        os.utime(path, (when, when))

    def run(self, name: str, *words: str, extra: Mapping[str, str] | None = None) -> Done:
        done = subprocess.run(
            [f"{CHECKOUT}/bin/{name}", *words],
            env={**self.environment, **(extra or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=100,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def mbox(self) -> bytes:
        return read(f"{self.folder}/mbox")

    def names(self, *parts: str) -> list[str]:
        """Paths in the Maildir, by what the name says of their order."""
        found = [f"{part}/{name}" for part in parts or ("new", "cur") for name in os.listdir(self.path(part))]
        return sorted(found, key=lambda path: path.partition("/")[2])

    def path(self, name: str) -> str:
        return f"{self.folder}/Maildir/{name}"

    @property
    def mails(self) -> list[bytes]:
        return [read(self.path(name)) for name in self.names()]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(str(tmp_path))


def outcome(done: Done) -> tuple[int, bytes, bytes]:
    return done.code, done.out, done.err


# predate, datemail, mailsubj


@pytest.mark.parametrize(
    ("zone", "sign", "expected"),
    [("UTC", "+", "0000"), ("XYZ-5:30", "+", "0530"), ("XYZ8", "-", "0800"), ("XYZ0:00:40", "-", "0001")],
)
def test_predate_puts_the_local_time_first(home: str, zone: str, sign: str, expected: str) -> None:
    before = int(time.time())
    done = run(home, "predate", "cat", message=b"Subject: x\n\n", environment={"TZ": zone})
    line, rest = done.out.split(b"\n", 1)
    assert (done.code, rest, done.err) == (0, b"Subject: x\n\n", b"")
    found = re.fullmatch(rb"Date: (\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d) ([+-])(\d{4})", line)
    assert found
    assert (found[2], found[3]) == (sign.encode(), expected.encode())
    stamp = time.strptime(found[1].decode(), "%d %b %Y %H:%M:%S")
    east = {"UTC": 0, "XYZ-5:30": 19800, "XYZ8": -28800, "XYZ0:00:40": -40}[zone]
    assert before <= int(time.mktime(stamp)) - int(time.mktime(time.gmtime(before))) + before - east <= time.time()


def test_predate_exits_as_its_program(home: str) -> None:
    assert run(home, "predate", "sh", "-c", "exit 7").code == 7


@pytest.mark.parametrize("executed", [{}, {"QMAILEXEC": "1"}], ids=["inside", "exec"])
def test_datemail_is_sendmail_with_a_local_date(home: str, queue: RecordingQueue, executed: dict[str, str]) -> None:
    environment = {**queue.environment, "TZ": "XYZ-5:30", **executed}
    done = run(home, "datemail", "-fx@y.org", "-t", message=b"To: joe@b.org\n\nhi\n", environment=environment)
    assert outcome(done) == (0, b"", b"")
    ((message, envelope),) = queue.messages
    assert re.match(rb"Message-ID: .*\nFrom: .*\nDate: \d.* \+0530\nTo: joe@b\.org\n\nhi\n", message)
    assert envelope == b"Fx@y.org\0Tjoe@b.org\0\0"


def test_datemail_uses_a_predate_that_was_put_in_place_of_ours(home: str, queue: RecordingQueue) -> None:
    os.unlink(f"{home}/bin/predate")
    write(f"{home}/bin/predate", '#!/bin/sh\necho "$@"; exit 9\n', 0o755)
    done = run(home, "datemail", "a@b", environment=queue.environment)
    assert outcome(done) == (9, f"{home}/bin/sendmail a@b\n".encode(), b"")


@pytest.mark.parametrize("executed", [{}, {"QMAILEXEC": "1"}], ids=["inside", "exec"])
def test_mailsubj_mails_its_input(home: str, queue: RecordingQueue, executed: dict[str, str]) -> None:
    environment = {**queue.environment, **executed}
    done = run(home, "mailsubj", "a \\n b", "x@y.org", "z", message=b"one\ntwo", environment=environment)
    assert outcome(done) == (0, b"", b"")
    ((message, envelope),) = queue.messages
    assert message.endswith(b"\nSubject: a \\n b\nTo: x@y.org, z@mail.example.com\n\none\ntwo\n")
    assert sorted(envelope.split(b"\0")) == [b"", b"", b"Fjoe@mail.example.com", b"Tx@y.org", b"Tz@mail.example.com"]


def test_a_subject_is_one_line(home: str, queue: RecordingQueue) -> None:
    words = ("a\nBcc: evil@x.org\r\n\nbody", "x@y.org\nCc: evil@x.org")
    assert run(home, "mailsubj", *words, environment=queue.environment).code in (0, 100)
    for message, envelope in queue.messages:
        assert b"\nSubject: a Bcc: evil@x.org  body\n" in message
        assert b"\nCc:" not in message
        assert b"Tx@y.org\0" in envelope


@pytest.mark.parametrize("words", [(), ("subject",)])
def test_mailsubj_needs_a_recipient(home: str, queue: RecordingQueue, words: tuple[str, ...]) -> None:
    done = run(home, "mailsubj", *words, environment=queue.environment)
    assert outcome(done) == (100, b"", b"mailsubj: usage: mailsubj subject recipient ...\n")
    assert queue.messages == []


def test_mailsubj_exits_as_qmail_inject(home: str, tmp_path: Path) -> None:
    refusing = RecordingQueue(f"{tmp_path}/refusing", 53)
    done = run(home, "mailsubj", "s", "x@y.org", environment=refusing.environment)
    assert outcome(done) == (111, b"", b"qmail-inject: fatal: qq write error or disk full (#4.3.0)\n")


# maildir2mbox


def test_a_maildir_moves_into_an_mbox(box: Box) -> None:
    box.mail("new/1", b"Return-Path: <a b@c.org>\nSubject: 1\n\nFrom here\n>From there\nend\n", LONG_AGO + 2)
    box.mail("cur/2:2,S", b"Return-Path: <>\n\nx\n", LONG_AGO)
    box.mail("new/3", b"Return-Path: broken\n\ny\n", LONG_AGO + 1)
    box.mail("new/.hidden", b"z")
    write(f"{box.folder}/mbox", b"From old x\n\nold\n\n")
    assert outcome(box.run("maildir2mbox")) == (0, b"", b"")
    assert box.mbox == (
        b"From old x\n\nold\n\n"
        b"From MAILER-DAEMON Sun Sep 13 12:26:40 2020\nReturn-Path: <>\n\nx\n\n"
        b"From XXX Sun Sep 13 12:26:41 2020\nReturn-Path: broken\n\ny\n\n"
        b"From a-b@c.org Sun Sep 13 12:26:42 2020\nReturn-Path: <a b@c.org>\nSubject: 1\n\n"
        b">From here\n>>From there\nend\n\n"
    )
    assert box.names() == ["new/.hidden"]
    assert sorted(os.listdir(box.folder)) == ["Maildir", "mbox"]


def test_a_last_line_without_its_end_is_kept(box: Box) -> None:
    box.mail("new/1", b"a\n\nlast")
    box.mail("new/2", b"", LONG_AGO + 1)
    assert box.run("maildir2mbox").code == 0
    assert box.mbox == f"From XXX {DATE}\na\n\nlast\n\nFrom XXX Sun Sep 13 12:26:41 2020\n\n".encode()


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_what_was_cut_off_in_the_mbox_does_not_swallow_the_next(box: Box, end: bytes) -> None:
    write(f"{box.folder}/mbox", b"From old x\n\nold" + end)
    box.mail("new/1", b"a\n")
    assert box.run("maildir2mbox").code == 0
    assert box.mbox == b"From old x\n\nold\n\n" + f"From XXX {DATE}\na\n\n".encode()


def test_with_no_mail_nothing_is_made(box: Box) -> None:
    box.mail("new/1", b"x", int(time.time()) + 100)  # of this very second or later: next time
    assert outcome(box.run("maildir2mbox")) == (0, b"", b"")
    assert sorted(os.listdir(box.folder)) == ["Maildir"]
    assert box.names() == ["new/1"]


def test_a_new_mbox_is_private_and_an_old_one_keeps_its_mode(box: Box) -> None:
    box.mail("new/1", b"x")
    box.run("maildir2mbox")
    assert os.stat(f"{box.folder}/mbox").st_mode & 0o777 == 0o600
    os.chmod(f"{box.folder}/mbox", 0o660)
    box.mail("new/1", b"x")
    box.run("maildir2mbox")
    assert os.stat(f"{box.folder}/mbox").st_mode & 0o777 == 0o660


def test_an_mbox_that_is_a_link_stays_one(box: Box) -> None:
    os.mkdir(f"{box.folder}/spool")
    os.symlink("spool/joe", f"{box.folder}/mbox")
    box.mail("new/1", b"x")
    assert outcome(box.run("maildir2mbox")) == (0, b"", b"")
    assert os.path.islink(f"{box.folder}/mbox")
    assert read(f"{box.folder}/spool/joe").endswith(b"\nx\n\n")


@pytest.mark.parametrize("missing", ["MAIL", "MAILTMP", "MAILDIR"])
def test_each_variable_is_needed(box: Box, missing: str) -> None:
    del box.environment[missing]
    assert outcome(box.run("maildir2mbox")) == (111, b"", f"maildir2mbox: fatal: {missing} not set\n".encode())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"MAILDIR": "/nonexistent"}, "unable to scan $MAILDIR/new: file does not exist"),
        ({"MAIL": "/nonexistent/x"}, "unable to lock /nonexistent/x: file does not exist"),
        ({"MAIL": "."}, "unable to lock .: is a directory"),
        ({"MAIL": "/dev/null"}, "unable to lock /dev/null: not a regular file"),
        ({"MAILTMP": "/nonexistent/x"}, "unable to create /nonexistent/x: file does not exist"),
        ({"MAILTMP": "mbox"}, "unable to create mbox: something else has this name"),
        ({"MAILTMP": "/dev/null"}, "unable to create /dev/null: something else has this name"),
    ],
)
def test_what_goes_wrong_is_said_and_changes_nothing(box: Box, change: dict[str, str], sentence: str) -> None:
    write(f"{box.folder}/mbox", b"From old x\n\n")
    box.mail("new/1", b"x")
    done = box.run("maildir2mbox", extra=change)
    assert outcome(done) == (111, b"", f"maildir2mbox: fatal: {sentence}\n".encode())
    assert box.mbox == b"From old x\n\n"
    assert box.names() == ["new/1"]


def test_a_full_disk_changes_nothing(box: Box) -> None:
    write(f"{box.folder}/mbox", b"From old x\n\n")
    box.mail("new/1", b"x" * 200_000)
    program = ["/bin/sh", "-c", 'ulimit -f 100; exec "$0"', f"{CHECKOUT}/bin/maildir2mbox"]
    done = subprocess.run(program, env=box.environment, capture_output=True, check=False)
    sentence = f"maildir2mbox: fatal: unable to write to {box.folder}/mboxtmp: file too big\n".encode()
    assert (done.returncode, done.stderr) == (111, sentence)
    assert box.mbox == b"From old x\n\n"
    assert box.names() == ["new/1"]
    assert sorted(os.listdir(box.folder)) == ["Maildir", "mbox"]


def test_litter_of_dead_deliveries_goes(box: Box) -> None:
    box.mail("tmp/old", b"x")
    box.mail("tmp/young", b"x", int(time.time()) - 129_000)
    box.run("maildir2mbox")
    assert os.listdir(box.path("tmp")) == ["young"]


@pytest.mark.parametrize("program", ["maildir2mbox", "mbox2maildir"])
@pytest.mark.parametrize("kind", ["flock", "fcntl", "dot"])
def test_it_waits_for_whoever_has_the_mbox(box: Box, program: str, kind: str) -> None:
    path = write(f"{box.folder}/mbox", b"From old x\n\n")
    box.mail("new/1", b"x")
    with open(path, "r+b") as file:
        if kind == "flock":
            fcntl.flock(file, fcntl.LOCK_EX)
        elif kind == "fcntl":
            fcntl.lockf(file, fcntl.LOCK_EX)
        else:
            write(f"{path}.lock", "")
        process = subprocess.Popen(
            [f"{CHECKOUT}/bin/{program}"], env=box.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        wait_for(lambda: path in opened(process.pid) or kind == "dot", "the program at the mbox")
        assert process.poll() is None
        file.write(b"From old x\n\nmore\n\n")
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_UN)
        fcntl.flock(file, fcntl.LOCK_UN)
        if kind == "dot":
            os.unlink(f"{path}.lock")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    if program == "maildir2mbox":
        assert box.mbox.startswith(b"From old x\n\nmore\n\nFrom XXX ")
    else:
        assert out == b"messages moved: 1\n"
        assert b"Return-Path: <old>\n\nmore\n" in box.mails


def opened(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


# mbox2maildir


def test_an_mbox_moves_into_a_maildir(box: Box) -> None:
    write(
        f"{box.folder}/mbox",
        f"From a-b@c.org {DATE}\nSubject: 1\n\n>From here\n>>From there\n\n\n"
        "From MAILER-DAEMON Mon Sep 14 12:26:40 2020\nReturn-Path: <x@y>\nStatus: RO\n\ntext\nFrom here on\n\n"
        "From XXX nonsense\nStatus: O\nX-Status: AF\n\nlast",
    )
    assert outcome(box.run("mbox2maildir")) == (0, b"messages moved: 3\n", b"")
    assert box.mbox == b""
    assert box.mails == [
        b"Return-Path: <a-b@c.org>\nSubject: 1\n\nFrom here\n>From there\n\n",
        b"Return-Path: <x@y>\nStatus: RO\n\ntext\nFrom here on\n",
        b"Status: O\nX-Status: AF\n\nlast",
    ]
    assert [re.sub(r"/.*?(:2,|$)", r"/\1", name) for name in box.names()] == ["new/", "cur/:2,S", "cur/:2,FR"]
    times = [int(os.stat(box.path(name)).st_mtime) for name in box.names()]
    assert times[:2] == [LONG_AGO, LONG_AGO + 86400]
    assert abs(times[2] - time.time()) < 100
    assert {os.stat(box.path(name)).st_mode & 0o777 for name in box.names()} == {0o600}
    assert sorted(os.listdir(box.path("."))) == ["cur", "new", "tmp"]


def test_there_and_back_again(box: Box) -> None:
    letters = [
        b"Return-Path: <a@b>\nX: 1\n\nFrom x\n>From y\n\n\n",
        b"Return-Path: <>\n\n",
        b"Return-Path: <a@b>\n" + b"long " * 40000 + b"\n\n" + b"From >\n" * 20000,
        b"Return-Path: <a@b>\n\n\0\xff\r\n.\n",
    ]
    for number, letter in enumerate(letters):
        box.mail(f"new/{number}", letter, LONG_AGO + number)
    assert box.run("maildir2mbox").code == 0
    assert box.names() == []
    assert box.run("mbox2maildir").out == b"messages moved: 4\n"
    assert box.mails == letters
    assert [os.stat(box.path(name)).st_mtime for name in box.names()] == [LONG_AGO + number for number in range(4)]


def test_an_empty_mbox_is_no_mistake(box: Box) -> None:
    write(f"{box.folder}/mbox", b"")
    assert outcome(box.run("mbox2maildir")) == (0, b"messages moved: 0\n", b"")
    assert sorted(os.listdir(box.path("."))) == ["cur", "new", "tmp"]


def test_words_instead_of_variables(box: Box) -> None:
    write(f"{box.folder}/other", b"From a x\n\nhi\n\n")
    done = box.run("mbox2maildir", "other", "./Maildir/", extra={"MAIL": "/nonexistent", "MAILDIR": "/nonexistent"})
    assert outcome(done) == (0, b"messages moved: 1\n", b"")
    assert read(f"{box.folder}/other") == b""


@pytest.mark.parametrize("words", [("x",), ("x", "y", "z")])
def test_two_words_or_none(box: Box, words: tuple[str, ...]) -> None:
    usage = b"mbox2maildir: usage: mbox2maildir [ mbox maildir ]\n"
    assert outcome(box.run("mbox2maildir", *words)) == (100, b"", usage)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"MAIL": "/nonexistent"}, "unable to lock /nonexistent: file does not exist"),
        ({"MAIL": "/dev/null"}, "unable to lock /dev/null: not a regular file"),
        ({"MAILDIR": "/nonexistent"}, "unable to open Maildir /nonexistent/: file does not exist"),
        ({"MAILDIR": "/"}, "unable to open Maildir /: file does not exist"),
    ],
)
def test_what_cannot_be_moved_stays(box: Box, change: dict[str, str], sentence: str) -> None:
    write(f"{box.folder}/mbox", b"From a x\n\nhi\n\n")
    done = box.run("mbox2maildir", extra=change)
    assert outcome(done) == (111, b"", f"mbox2maildir: fatal: {sentence}\n".encode())
    assert box.mbox == b"From a x\n\nhi\n\n"
    assert box.names() == []


@pytest.mark.parametrize("content", [b"Subject: x\n", b">From a x\n", b"x", b"\nx\n", b"y" * 100_000])
def test_a_file_that_is_no_mbox_is_let_alone(box: Box, content: bytes) -> None:
    write(f"{box.folder}/mbox", content)
    done = box.run("mbox2maildir")
    sentence = f"mbox2maildir: fatal: {box.folder}/mbox is no mbox: a message in it does not begin with From\n"
    assert outcome(done) == (111, b"", sentence.encode())
    assert box.mbox == content
    assert box.names() == []


def test_a_full_disk_leaves_the_mbox_as_it_was(box: Box) -> None:
    content = b"From a x\n\nhi\n\nFrom b x\n\n" + b"x" * 200_000
    write(f"{box.folder}/mbox", content)
    program = ["/bin/sh", "-c", 'ulimit -f 100; exec "$0"', f"{CHECKOUT}/bin/mbox2maildir"]
    done = subprocess.run(program, env=box.environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (
        111,
        b"mbox2maildir: fatal: unable to write a message: file too big\n",
    )
    assert box.mbox == content
    assert box.names() == []
    assert box.run("mbox2maildir").out == b"messages moved: 2\n"
    assert len(box.mails) == 2
    assert sorted(os.listdir(box.path("."))) == ["cur", "new", "tmp"]


def test_two_at_once_are_refused(box: Box) -> None:
    write(f"{box.folder}/mbox", b"From a x\n\nhi\n\n")
    descriptor = os.open(box.path("."), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = box.run("mbox2maildir")
    finally:
        os.close(descriptor)
    sentence = f"mbox2maildir: fatal: somebody else is at work on {box.folder}/Maildir/\n".encode()
    assert outcome(done) == (111, b"", sentence)


# maildirwatch


def test_maildirwatch_shows_what_is_new(box: Box) -> None:
    box.mail("new/2", b"From: J\xf6 <j@x>\nSubject: second\n\nbody " + b"z" * 200, LONG_AGO + 1)
    box.mail("new/1", b"Return-Path: <a@b>\nDelivered-To: joe@x\nSubject: first\n\nhello\x1b[2J\n")
    box.mail("cur/3", b"Subject: read\n\n")
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [f"{CHECKOUT}/bin/maildirwatch"], env=box.environment, stdout=terminal, stderr=subprocess.PIPE
    )
    os.close(terminal)
    try:
        first = b"\x1b[;H\x1b[;JFROM <a@b> TO <joe@x>\nfirst//hello/[2J/\n\n"
        second = b"FROM ? TO <?>\n\x1b[1mFrom: J/ <j@x>\x1b[0m\nsecond//body " + b"z" * 145 + b"\n\n"
        assert drawn(screen, len(first + second)) == first + second
        os.unlink(box.path("new/2"))
        process.send_signal(signal.SIGWINCH)  # and not half a minute later
        assert drawn(screen, len(first)) == first
    finally:
        process.send_signal(signal.SIGINT)
        assert wait_for_exit(process) == -signal.SIGINT
        os.close(screen)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()


def drawn(screen: int, length: int) -> bytes:
    """So many bytes of what a program wrote on the terminal."""
    text = b""
    while len(text) < length:
        text += os.read(screen, 4096).replace(b"\r\n", b"\n")
    return text


def test_maildirwatch_needs_a_maildir(box: Box) -> None:
    done = box.run("maildirwatch", extra={"MAILDIR": "/nonexistent"})
    sentence = b"maildirwatch: fatal: unable to scan $MAILDIR/new: file does not exist\n"
    assert outcome(done) == (111, b"", sentence)
    del box.environment["MAILDIR"]
    assert outcome(box.run("maildirwatch")) == (111, b"", b"maildirwatch: fatal: MAILDIR not set\n")


# qail, elq, pinq

READERS = pytest.mark.parametrize(("name", "reader"), [("qail", "Mail"), ("elq", "elm"), ("pinq", "pine")])


@READERS
@pytest.mark.parametrize("executed", [{}, {"QMAILEXEC": "1"}], ids=["inside", "exec"])
def test_a_reader_finds_the_mail_in_its_mbox(box: Box, name: str, reader: str, executed: dict[str, str]) -> None:
    write(f"{box.folder}/bin/{reader}", '#!/bin/sh\numask; echo "$0 $@"; cat "$MAIL"; exit 5\n', 0o755)
    box.mail("new/1", b"hi\n")
    os.umask(0o022)
    done = box.run(name, "-f", "x y", extra={"PATH": f"{box.folder}/bin:{PATH}", **executed})
    text = f"0022\n{box.folder}/bin/{reader} -f x y\nFrom XXX {DATE}\nhi\n\n".encode()
    assert outcome(done) == (5, text, b"")
    assert box.names() == []


@READERS
def test_a_reader_that_is_not_there_is_named(box: Box, name: str, reader: str) -> None:
    done = box.run(name, extra={"PATH": box.folder})
    assert outcome(done) == (111, b"", f"{name}: fatal: unable to run {reader}: file does not exist\n".encode())


@READERS
def test_no_reader_is_started_on_mail_that_is_not_there(box: Box, name: str, reader: str) -> None:
    write(f"{box.folder}/bin/{reader}", "#!/bin/sh\necho started\n", 0o755)
    del box.environment["MAIL"]
    done = box.run(name, extra={"PATH": f"{box.folder}/bin:{PATH}"})
    assert outcome(done) == (111, b"", b"maildir2mbox: fatal: MAIL not set\n")
