"""~/.forward as a message meets it: the real qmail-local runs |qmail-dotforward before the mailbox."""

import os
from pathlib import Path

import pytest

from tests.local_support import MESSAGE, Done, Joe, joe_in
from tests.support import RecordingQueue, bare_home, give

DEFAULT = b"|qmail-dotforward .forward\n./Mailbox"
HEAD = b"Return-Path: <a@b.org>\nDelivered-To: joe@example.org\n"


class Forwarder:
    """A user whose default delivery asks his .forward first."""

    def __init__(self, folder: str) -> None:
        self.joe: Joe = joe_in(folder)
        home = bare_home(f"{folder}/home", me="example.org")
        if os.getuid() == 0:
            give(home, self.joe.uid, self.joe.gid)
        self.joe.environment.update(QMAILHOME=home, PATH=f"{home}/bin:{self.joe.environment['PATH']}")
        self.queue = RecordingQueue(f"{folder}/queued")
        self.joe.environment.update(self.queue.environment)

    def deliver(self, ext: bytes = b"", *, default: bytes = DEFAULT) -> Done:
        if ext:
            self.joe.put(f".qmail-{ext.decode()}", "")
        local = b"joe-" + ext if ext else b"joe"
        return self.joe.run(self.joe.argv(local=local, dash=b"-" if ext else b"", ext=ext, default=default))

    @property
    def is_in_box(self) -> bool:
        return os.path.exists(f"{self.joe.home}/Mailbox")

    @property
    def recipients(self) -> list[list[bytes]]:
        return [[field[1:] for field in envelope.rstrip(b"\0").split(b"\0")[1:]] for _, envelope in self.queue.messages]


@pytest.fixture
def forwarder(tmp_path: Path) -> Forwarder:
    return Forwarder(str(tmp_path))


@pytest.mark.parametrize("text", [None, "", "\n", "# nothing\n"])
def test_without_words_in_it_the_mailbox_gets_the_message(forwarder: Forwarder, text: str | None) -> None:
    if text is not None:
        forwarder.joe.put(".forward", text)
    assert forwarder.deliver() == Done(0, b"did 1+0+1\n", b"")
    assert forwarder.recipients == []


@pytest.mark.parametrize(
    ("text", "recipients", "is_in_box"),
    [
        ("ann@example.net\n", [b"ann@example.net"], False),
        ("ann, bob@example.net,\n jim", [b"ann", b"bob@example.net", b"jim"], False),
        ("\\joe, ann\n", [b"ann"], True),
        ("JOE\nann\n", [b"ann"], True),
        ("joe@Example.ORG, ann\n", [b"ann"], True),
        ("joe@example.net\n", [b"joe@example.net"], False),
        ("\\joe\n", [], True),
        ("\\ann\n", [b"ann"], False),
        ("ann, ann\n", [b"ann"], False),
        ("/dev/null\n", [], False),
    ],
)
def test_addresses_and_ones_own_mailbox(
    forwarder: Forwarder, text: str, recipients: list[bytes], is_in_box: bool
) -> None:
    forwarder.joe.put(".forward", text)
    assert forwarder.deliver().code == 0
    assert forwarder.recipients == ([recipients] if recipients else [])
    assert forwarder.is_in_box is is_in_box


def test_programs_and_files_are_his_own(forwarder: Forwarder) -> None:
    joe = forwarder.joe
    joe.maildir()
    joe.put("list", "ann@example.net\n")
    joe.put(
        ".forward",
        f'"|cat > got; id -u > uid; pwd > place", {joe.home}/box, {joe.home}/Maildir/, :include:{joe.home}/list\n',
    )
    done = forwarder.deliver()
    assert done.err.startswith(b"qmail-dotforward: did 2+1+1 qp "), done
    assert joe.mails() == [HEAD + MESSAGE]
    assert joe.file("box").endswith(HEAD + MESSAGE + b"\n")
    assert joe.file("got").startswith(b"From a@b.org ")
    assert joe.file("got").endswith(HEAD + MESSAGE)
    assert (joe.file("uid"), joe.file("place")) == (b"%d\n" % joe.uid, joe.home.encode() + b"\n")
    assert forwarder.recipients == [[b"ann@example.net"]]


@pytest.mark.parametrize("text", ["ann bob\n", '"x\n', "|\n", ":include:x\n", "joe: ann\n"])
def test_a_mistake_keeps_mail_waiting(forwarder: Forwarder, text: str) -> None:
    forwarder.joe.put(".forward", "ann\n" + text)
    done = forwarder.deliver()
    assert (done.code, done.err.startswith(b"Unable to use .forward line 2: ")) == (111, True), done
    assert not forwarder.is_in_box
    assert forwarder.recipients == []


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("fifo", b"Unable to open .forward: not a regular file. (#4.3.0)\n"),
        ("directory", b"Unable to open .forward: not a regular file. (#4.3.0)\n"),
        ("closed", b"Unable to open .forward: access denied. (#4.3.0)\n"),
        ("writable", b"Uh-oh: .forward is writable. (#4.7.0)\n"),
        ("loop", b"Unable to open .forward: symbolic link loop. (#4.3.0)\n"),
        ("strangers", b"Uh-oh: .forward belongs to somebody else. (#4.7.0)\n"),
    ],
)
def test_a_file_that_cannot_be_trusted_keeps_mail_waiting(forwarder: Forwarder, kind: str, sentence: bytes) -> None:
    path = f"{forwarder.joe.home}/.forward"
    if kind == "fifo":
        os.mkfifo(path, 0o644)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "loop":
        os.symlink(".forward", path)
    else:
        forwarder.joe.put(".forward", "ann\n", {"closed": 0, "writable": 0o666}.get(kind, 0o644))
    if kind == "strangers":
        if os.getuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(path, 4711, 4711)
    assert forwarder.deliver() == Done(111, b"", sentence)


def test_the_first_file_that_exists_counts_and_an_extension_has_its_own(forwarder: Forwarder) -> None:
    forwarder.joe.put(".forward+work", "work@example.net\n")
    forwarder.joe.put(".forward", "ann\n")
    forwarder.joe.put("second", "bob\n")
    forwarder.deliver(default=b"|qmail-dotforward absent second .forward\n./Mailbox")
    forwarder.deliver(b"work")
    forwarder.deliver(b"other")
    assert forwarder.recipients == [[b"bob"], [b"work@example.net"], [b"ann"]]


def test_what_a_file_says_can_be_looked_at(forwarder: Forwarder) -> None:
    forwarder.joe.put(".forward", '\\joe, ann, "|vacation joe", /dev/null\n')
    done = forwarder.joe.run(
        [
            f"{forwarder.joe.environment['QMAILHOME']}/bin/qmail-dotforward".encode(),
            b"-n",
            f"{forwarder.joe.home}/.forward".encode(),
        ]
    )
    assert done == Done(0, b"mailbox joe\nforward ann\nprogram vacation joe\nnothing /dev/null\n", b"")


def test_a_forward_that_fails_is_tried_again_and_the_mailbox_waits(forwarder: Forwarder) -> None:
    broken = RecordingQueue(f"{forwarder.joe.folder}/broken", code=53)
    forwarder.joe.environment.update(broken.environment)
    forwarder.joe.put(".forward", "\\joe, ann\n")
    done = forwarder.deliver()
    assert done == Done(111, b"", b"Unable to forward message: qq write error or disk full (#4.3.0).\n")
    assert not forwarder.is_in_box
