"""A new version is installed beside the old one while mail moves: every daemon takes it over in place, nothing is lost.

The switch is what setup does: one rename of lib/current. Which version a daemon runs is read from its memory map: the
compiled module that names processes lies in the library it was loaded from.
"""

import os
import shutil
import signal
import stat

from tests.places import Place
from tests.support import is_running, wait_for

DAEMONS = {"qmail-lspawn", "qmail-rspawn", "qmail-clean", "qmail-queued"}


def install_another(place: Place) -> str:
    """The same library under another name, switched to in one rename.  Result: its path."""
    old = os.readlink(f"{place.home}/lib/current")
    new = f"{place.home}/lib/another-version"
    shutil.copytree(old, new, symlinks=True)
    for folder, _, files in os.walk(new):
        for name in ("", *files):
            os.chown(os.path.join(folder, name), *_owner(old), follow_symlinks=False)
    os.symlink(new, f"{place.home}/lib/.next")
    os.rename(f"{place.home}/lib/.next", f"{place.home}/lib/current")
    return new


def _owner(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_uid, status.st_gid


def runs(pid: int, library: str) -> bool:
    """Whether this process has something of this library in its memory."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return library in file.read()


def deliver_now(place: Place) -> None:
    """Have everything that waits tried again, until the one message has arrived."""
    assert place.daemons is not None
    heart = place.daemons.pid

    def arrived() -> bool:
        os.kill(heart, signal.SIGALRM)  # a message whose attempt is just being noted is not waiting yet
        return bool(os.listdir(f"{place.user_home}/Maildir/new"))

    wait_for(arrived, "the message, now that it can be delivered")


def test_every_daemon_takes_a_new_version_over(place: Place) -> None:
    place.control("smtproutes", ":127.0.0.1:1\n")  # nobody listens there: deferred at once
    place.start()
    place.send(place.address, "Subject: before\n\n")
    assert len(place.mail(1)) == 1
    before = place.children()
    assert set(before) == DAEMONS
    assert place.daemons is not None
    heart = place.daemons.pid
    new = install_another(place)
    place.send(place.address, "Subject: across\n\n")
    assert len(place.mail(2)) == 2
    everybody = {"qmail-send": heart, **before}

    def old_ones() -> list[str]:
        return [name for name, pid in everybody.items() if not runs(pid, new)]

    place.send("somebody@example.net", "Subject: to wake qmail-rspawn\n\n")  # who waits for work looks after some
    wait_for(lambda: not old_ones(), lambda: f"the new version in {old_ones()}")
    assert place.children() == before, "the same processes, other code"
    count = len(os.listdir(f"{place.user_home}/Maildir/new"))
    place.send(place.address, "Subject: after\n\n")
    assert place.mail(count + 1)[-1].rstrip().endswith(b"after")
    place.stop()


def test_a_new_version_that_cannot_run_defers_and_never_bounces(place: Place) -> None:
    place.start()
    new = install_another(place)
    shutil.rmtree(f"{new}/qmailpy/local")
    shutil.rmtree(f"{new}/bundles")
    before = place.children()
    place.send(place.address, "Subject: hello\n\n")
    place.log.wait("delivery", outcome="deferral")
    assert all(is_running(pid) for pid in before.values())
    os.symlink(_first_version(place), f"{place.home}/lib/.next")
    os.rename(f"{place.home}/lib/.next", f"{place.home}/lib/current")
    deliver_now(place)
    assert not [line for line in place.log.lines if line.fields.get("outcome") == "failure" or line.kind == "bounce"]
    place.stop()


def _first_version(place: Place) -> str:
    (name,) = [
        name
        for name in os.listdir(f"{place.home}/lib")
        if name != "another-version" and stat.S_ISDIR(os.lstat(f"{place.home}/lib/{name}").st_mode)
    ]
    return f"{place.home}/lib/{name}"


def test_a_vanished_interpreter_defers_and_never_bounces(place: Place) -> None:
    """What an upgrade of Python looks like from below: nothing of ours can be executed for a while."""
    place.start()
    launcher = f"{place.home}/bin/qmail-local"
    with open(launcher, "rb") as file:
        content = file.read()
    owner = _owner(launcher)
    os.unlink(launcher)
    with open(launcher, "wb") as file:
        file.write(content.replace(b"#!/usr/bin/python3", b"#!/usr/bin/python-that-went", 1))
    os.chmod(launcher, 0o755)
    place.send(place.address, "Subject: hello\n\n")
    place.log.wait("delivery", outcome="deferral")
    os.unlink(launcher)
    with open(launcher, "wb") as file:
        file.write(content)
    os.chmod(launcher, 0o755)
    os.chown(launcher, *owner)
    deliver_now(place)
    place.stop()
