"""qmail-mailspool from a .qmail, run by the real qmail-local: into a box that is there, or for later."""

import os
import re
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.support import CHECKOUT, PATH, bare_home, read, write

FROM = rb"From a@b\.org \w{3} \w{3} \d\d \d\d:\d\d:\d\d \d{4}\n"
HEAD = b"Return-Path: <a@b.org>\n" + DTLINE


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    joe = joe_in(str(tmp_path))
    os.mkdir(f"{tmp_path}/spool")
    os.chmod(f"{tmp_path}/spool", 0o755)
    joe.environment["PATH"] = f"{CHECKOUT}/bin:{PATH}"
    joe.environment["QMAILHOME"] = bare_home(f"{tmp_path}/qmail")
    write(f"{tmp_path}/qmail/control/mailspool", f"{tmp_path}/spool\n")
    os.chmod(f"{tmp_path}/qmail", 0o755)
    return joe


def spool(joe: Joe) -> str:
    return f"{joe.folder}/spool"


def box(joe: Joe, content: str = "") -> str:
    """A box of joe's in a directory that is not his."""
    path = write(f"{spool(joe)}/joe", content, 0o600)
    joe.own(path)
    if os.getuid() != 0:
        os.chmod(spool(joe), 0o555)
    return path


def test_a_message_is_appended_to_the_box(joe: Joe) -> None:
    path = box(joe, "From old\n\nold\n\n")
    assert joe.run(joe.argv(default=b"|qmail-mailspool"), b"A: b\n\nFrom x\n") == Done(0, b"did 0+0+1\n", b"")
    expected = b"From old\n\nold\n\n" + b"FROM" + HEAD + b"A: b\n\n>From x\n\n"
    assert re.sub(FROM, b"FROM", read(path)) == expected
    assert os.listdir(spool(joe)) == ["joe"]


def test_another_directory_can_be_named(joe: Joe) -> None:
    joe.mkdir("boxes")
    assert joe.run(joe.argv(default=b"|qmail-mailspool $HOME/boxes")) == Done(0, b"did 0+0+1\n", b"")
    assert joe.file("boxes/joe").endswith(HEAD + MESSAGE + b"\n")


def test_an_extension_has_the_users_box(joe: Joe) -> None:
    path = box(joe)
    joe.put(".qmail-default", "|qmail-mailspool\n")
    assert joe.run(joe.argv(local=b"joe-x", dash=b"-", ext=b"x")).code == 0
    assert b"\nDelivered-To: joe-x@example.org\n" in read(path)


@pytest.mark.parametrize("kind", ["missing", "closed", "fifo", "folder", "no directory"])
def test_a_box_that_cannot_take_mail_defers_it(joe: Joe, kind: str) -> None:
    path = box(joe)
    os.chmod(spool(joe), 0o755)
    os.unlink(path)
    reason = "access denied"
    if kind == "closed":
        box(joe)
        os.chmod(path, 0)
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
        joe.own(path)
        reason = "device not configured"
    elif kind == "folder":
        os.mkdir(path)
        reason = "is a directory"
    elif kind == "no directory":
        os.rmdir(spool(joe))
        reason = "file does not exist"
    if kind == "missing" and os.getuid() != 0:
        os.chmod(spool(joe), 0o555)
    done = joe.run(joe.argv(default=b"|qmail-mailspool"))
    sentence = f"qmail-mailspool: fatal: Unable to open {path}: {reason}. (#4.2.1)\n"
    assert done == Done(111, b"", sentence.encode())
    if kind != "no directory":
        os.chmod(spool(joe), 0o755)


def test_a_full_disk_leaves_the_box_as_it_was(joe: Joe) -> None:
    path = box(joe, "old\n")
    done = joe.run(joe.argv(default=b"|qmail-mailspool"), b"x" * 200_000, limits="ulimit -f 100")
    sentence = f"qmail-mailspool: fatal: Unable to write {path}: file too big. (#4.3.0)\n"
    assert done == Done(111, b"", sentence.encode())
    assert read(path) == b"old\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("unset USER; qmail-mailspool", "$USER is not set: qmail-mailspool belongs into a .qmail. (#4.3.5)"),
        ("unset UFLINE; qmail-mailspool", "$UFLINE is not set: qmail-mailspool belongs into a .qmail. (#4.3.5)"),
        ("USER=../x qmail-mailspool", "Uh-oh: no mailbox can have the name of this user. (#4.3.5)"),
        ("qmail-mailspool mail", "usage: qmail-mailspool [ directory ]"),
        ("qmail-mailspool /a /b", "usage: qmail-mailspool [ directory ]"),
        ("qmail-mailspool -x", "illegal option -- x"),
        ("exec <&-; qmail-mailspool", None),
        ("cat | qmail-mailspool", None),
    ],
)
def test_what_makes_no_sense_defers(joe: Joe, line: str, sentence: str | None) -> None:
    path = box(joe, "old\n")
    done = joe.run(joe.argv(default=b"|" + line.encode()))
    assert done.code == 111
    assert read(path) == b"old\n"
    if sentence:
        assert done.err == f"qmail-mailspool: fatal: {sentence}\n".encode()
