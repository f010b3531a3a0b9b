"""check names each thing that is broken, and setup repairs it."""

import os
import shutil

import pytest

from qmailpy.install import accounts, owners, verify
from qmailpy.install.interpreter import OPTIONS
from tests.unit.install.conftest import MODES, Change, Installed


def overwrite(path: str, content: bytes, mode: int | None = None) -> None:
    with open(path, "wb") as file:
        file.write(content)
    if mode is not None:
        os.chmod(path, mode)


def replace_by_file(path: str) -> None:
    os.unlink(path)
    overwrite(path, b"")


def library(home: Installed, *names: str) -> str:
    return os.path.join(os.readlink(home.at("lib/current")), *names)


# what is done to a good home, and words of the line that check must print
REPAIRED: list[tuple[str, Change, tuple[str, ...]]] = [
    (
        "mode of a directory",
        lambda home: os.chmod(home.at("queue/todo"), 0o755),
        ("queue/todo", "wrong mode", "chmod 00750"),
    ),
    ("mode of the home", lambda home: os.chmod(home.at(), 0o777), ("wrong mode: is 0777", "chmod 00755")),
    ("sticky bit of drop", lambda home: os.chmod(home.at("drop"), 0o733), ("drop", "should be 1733")),
    ("mode of the trigger", lambda home: os.chmod(home.at("queue/lock/trigger"), 0o600), ("trigger", "should be 0622")),
    ("missing directory", lambda home: os.rmdir(home.at("queue/mess/22")), ("queue/mess/22", "does not exist")),
    ("missing file", lambda home: os.unlink(home.at("queue/lock/sendmutex")), ("sendmutex", "does not exist")),
    ("size of tcpto", lambda home: overwrite(home.at("queue/lock/tcpto"), b""), ("tcpto", "wrong size: is 0", "1024")),
    ("missing program", lambda home: os.unlink(home.at("bin/qmail-local")), ("bin/qmail-local", "does not exist")),
    ("mode of a program", lambda home: os.chmod(home.at("bin/qmail-start"), 0o755), ("qmail-start", "should be 0700")),
    ("missing page", lambda home: os.unlink(home.at("boot/home")), ("boot/home", "does not exist")),
    (
        "missing module",
        lambda home: os.unlink(library(home, "qmailpy/verdict.py")),
        ("qmailpy/verdict.py", "does not exist"),
    ),
    (
        "changed module",
        lambda home: overwrite(library(home, "qmailpy/verdict.py"), b"OK = 1\n"),
        ("qmailpy/verdict.py", "wrong content"),
    ),
    (
        "changed compiled module",
        lambda home: overwrite(library(home, "qmailpy/__pycache__/verdict.cpython.pyc"), b"x"),
        ("verdict.cpython.pyc", "is not ours"),
    ),
    ("missing package", lambda home: shutil.rmtree(library(home, "dns")), ("dns/__init__.py", "does not exist")),
    ("missing library", lambda home: os.unlink(home.at("lib/current")), ("lib/current", "does not exist")),
    ("missing manifest", lambda home: os.unlink(library(home, "MANIFEST")), ("MANIFEST", "does not exist")),
]


@pytest.mark.parametrize(("what", "change", "words"), REPAIRED, ids=[row[0] for row in REPAIRED])
def test_check_names_it_and_setup_repairs_it(
    home: Installed, what: str, change: Change, words: tuple[str, ...]
) -> None:
    change(home)
    faults = home.check().faults
    assert [line for line in faults if all(word in line for word in words)], (what, faults)
    assert all("\n" not in line for line in faults)
    home.setup()
    assert home.check().faults == []


# what setup rightly refuses to repair, or keeps
NAMED: list[tuple[str, Change, tuple[str, ...]]] = [
    (
        "trigger is a file",
        lambda home: replace_by_file(home.at("queue/lock/trigger")),
        ("trigger", "is a file", "named pipe"),
    ),
    (
        "a damaged launcher",
        lambda home: damage(home.at("bin/sendmail")),
        ("bin/sendmail", "wrong content", "FORCE=sendmail"),
    ),
    ("an empty program", lambda home: overwrite(home.at("bin/sendmail"), b""), ("bin/sendmail", "wrong content")),
    ("a program nobody may run", lambda home: wrap(home.at("bin/sendmail"), 0o644), ("bin/sendmail", "no program")),
    ("a program that others may change", lambda home: wrap(home.at("bin/sendmail"), 0o777), ("sendmail", "chmod go-w")),
    ("lib/current is a directory", lambda home: make_folder(home.at("lib/current")), ("lib/current", "not a link")),
    ("lib/current leads elsewhere", lambda home: relink(home.at("lib/current"), "/tmp"), ("leads to /tmp",)),
    ("the socket is a file", lambda home: overwrite(home.at("door/socket"), b""), ("door/socket", "not a socket")),
]


def damage(path: str) -> None:
    with open(path, "rb") as file:
        content = file.read()
    overwrite(path, content + b"pass\n")


def wrap(path: str, mode: int) -> None:
    overwrite(path, b"#!/bin/sh\nexec true\n", mode)


def make_folder(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


def relink(path: str, target: str) -> None:
    os.unlink(path)
    os.symlink(target, path)


@pytest.mark.parametrize(("what", "change", "words"), NAMED, ids=[row[0] for row in NAMED])
def test_check_names_it(home: Installed, what: str, change: Change, words: tuple[str, ...]) -> None:
    change(home)
    faults = home.check().faults
    assert [line for line in faults if all(word in line for word in words)], (what, faults)


def test_an_interpreter_that_does_not_run_is_named(home: Installed) -> None:
    for name in os.listdir(home.at("bin")):
        path = home.at("bin", name)
        with open(path, "rb") as file:
            rest = file.read().partition(b"\n")[2]
        overwrite(path, b"#!/nonexistent/python3 " + OPTIONS + b"\n" + rest)
    faults = home.check().faults
    assert [line for line in faults if "/nonexistent/python3 does not run" in line]


def test_a_home_without_control_me_is_only_noted(home: Installed) -> None:
    os.unlink(home.at("control/me"))
    found = home.check()
    assert found.faults == []
    assert [line for line in found.notes if "config-fast" in line]


def test_control_files_that_do_not_mean_what_they_seem_to_are_noted(home: Installed) -> None:
    for name, content in (
        ("helohost", b"# what we say\nmx.example.org\n"),
        ("queuelifetime", b"5d\n"),
        ("smtproutes", b"relay.example.net\n"),
        ("virtualdomains", b"LOCALHOST:joe\n"),
        ("percenthack", b"# fine\n"),
        ("outgoingfamily", b"5\n"),
        ("holddomains", b"joe@example.org\n"),
    ):
        overwrite(home.at("control", name), content)
    found = home.check()
    assert found.faults == []
    assert [line.removeprefix(home.at("control/")) for line in found.notes] == [
        "helohost: line 1 begins with #, and that is the value: a file of one line has its comments below it",
        "holddomains: has a line that is no domain",
        "outgoingfamily: line 1 is none of 0, 4 and 6, and counts as 0",
        "queuelifetime: only the digits at the beginning of line 1 count: 5",
        "smtproutes: line 1 has no colon and is ignored",
        "virtualdomains: locals has localhost too, and wins",
    ]


@pytest.mark.parametrize(
    ("mode", "is_fault"), [(0o400, False), (0o600, False), (0o440, True), (0o604, True), (0o644, True)]
)
def test_a_file_of_logins_that_others_can_read_is_a_fault(home: Installed, mode: int, is_fault: bool) -> None:
    path = home.at("control/smtpauth")
    overwrite(path, b"isp:joe:secret\n")
    os.chmod(path, mode)
    faults = home.check().faults
    assert [path in line and "chmod 0400" in line for line in faults] == [True] * is_fault
    assert not [line for line in faults if "secret" in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_file_of_logins_that_is_not_qmailrs_is_a_fault(home: Installed) -> None:
    path = home.at("control/smtpauth")
    overwrite(path, b"isp:joe:secret\n")
    os.chmod(path, 0o400)
    found = verify.Verifier(home.path, owners.embedded(4711, 4711), MODES, others_run=False)
    found.logins()
    assert [f"chown 4711 {path}" in line for line in found.found.faults] == [True]


def test_a_file_of_logins_that_is_a_link_is_a_fault(home: Installed) -> None:
    os.symlink("/etc/passwd", home.at("control/smtpauth"))
    assert [line for line in home.check().faults if "is not a file" in line]


def test_a_control_file_that_cannot_be_read_is_named(home: Installed) -> None:
    os.mkdir(home.at("control/helohost"))
    assert [line for line in home.check().faults if "unable to read" in line and "control/helohost" in line]


def test_a_changed_boot_script_is_only_noted(home: Installed) -> None:
    overwrite(home.at("boot/home"), b"#!/bin/sh\n# mine\n")
    found = home.check()
    assert found.faults == []
    assert [line for line in found.notes if "boot/home" in line]


def test_a_queue_on_another_disk_is_followed(home: Installed, tmp_path: object) -> None:
    os.chmod(str(tmp_path), 0o711)  # root's tests make a home for somebody else
    shutil.move(home.at("queue"), f"{tmp_path}/queue")
    os.symlink(f"{tmp_path}/queue", home.at("queue"))
    assert home.setup()
    assert home.check().faults == []


def test_a_missing_home_is_one_line(tmp_path: object) -> None:
    missing = Installed(os.fsencode(f"{tmp_path}/nowhere"))
    assert [line for line in missing.check().faults if "does not exist" in line]
    assert len(missing.check().faults) == 1


@pytest.mark.parametrize("system", ["linux", "freebsd", "netbsd"])
def test_account_commands_never_copy_a_skeleton(system: str) -> None:
    lines = accounts.lines(system, b"/srv/mail")
    users = [line for line in lines if "user" in line]
    assert len(lines) == 9
    assert len(users) == 7
    assert not [line for line in users if " -m" in line]
    assert [line for line in users if "alias" in line and "/srv/mail/alias" in line]
    assert [line for line in lines if line.split()[-1] in ("nofiles", "qmail")] == lines[:2]
