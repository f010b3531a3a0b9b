"""The whole system in one place: a home, one user with a Maildir, everything started and stopped.

A journey asks for `place` and runs once in every Room: embedded (an ordinary user, a home of its own) and classic
(root, one uid per role, /var/qmail in namespaces of its own), each resident and with QMAILEXEC=1.
"""

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests import ready
from tests.logs import Log
from tests.support import (
    DOMAIN,
    NOBODY,
    PATH,
    give,
    is_running,
    run_setup,
    wait_for,
    wait_for_exit,
    wait_for_files,
    write,
)

CLASSIC_HOME = "/var/qmail"
USER = "joe"  # the user of the classic way


class Place:
    """A home with a system that can be started, and a user whom mail can be sent to."""

    def __init__(self, home: str, user: str, uid: int, gid: int, user_home: str, extra: Mapping[str, str]) -> None:
        """uid, gid: the user's; extra: environment of the daemons and of every program that is run."""
        self.home, self.user, self.uid, self.gid, self.user_home = home, user, uid, gid, user_home
        self.embedded = home != CLASSIC_HOME
        self.domain = DOMAIN
        self.address = f"{user}@{DOMAIN}"
        self.environment = {"PATH": f"{home}/bin:{PATH}", **extra}
        self.daemons: subprocess.Popen[bytes] | None = None
        self._log_path = f"{home}.log"
        self.log = Log(self._lines, lambda: self.daemons is not None and self.daemons.poll() is None)

    def _lines(self) -> list[str]:
        try:
            with open(self._log_path, "rb") as file:
                return file.read().decode("latin-1").split("\n")[:-1]
        except FileNotFoundError:
            return []

    @property
    def exec_forced(self) -> bool:
        return "QMAILEXEC" in self.environment

    def program(self, name: str) -> str:
        return f"{self.home}/bin/{name}"

    def uid_of(self, role: str) -> int:
        """The uid that this role has here."""
        return self.uid if self.embedded else pwd.getpwnam(role).pw_uid

    # --- files ---

    def user_file(self, name: str, content: str) -> str:
        """A file of the user's own."""
        return self._owned(f"{self.user_home}/{name}", content, self.uid, self.gid)

    def alias_file(self, name: str, content: str) -> str:
        """A file of alias'."""
        gid = self.gid if self.embedded else pwd.getpwnam("alias").pw_gid
        return self._owned(f"{self.home}/alias/{name}", content, self.uid_of("alias"), gid)

    def control(self, name: str, content: str) -> None:
        path = write(f"{self.home}/control/{name}", content)
        if self.embedded and os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)

    def _owned(self, path: str, content: str, uid: int, gid: int) -> str:
        write(path, content)
        if os.geteuid() == 0:
            os.chown(path, uid, gid)
        return path

    def mail(self, count: int = 1) -> list[bytes]:
        """The messages in the user's Maildir, oldest first, as soon as there are so many."""
        found = []
        for path in wait_for_files(f"{self.user_home}/Maildir/new", count):
            with open(path, "rb") as file:
                found.append(file.read())
        return found

    def in_queue(self, *folders: str) -> list[str]:
        """Files of messages, below queue/; in these directories, or in all."""
        found = []
        for folder in folders or ("mess", "info", "local", "remote", "intd", "todo", "bounce", "pid"):
            for path, _, files in os.walk(f"{self.home}/queue/{folder}"):
                found += [f"{path.removeprefix(self.home + '/queue/')}/{name}" for name in files]
        return found

    def queue_is_empty(self) -> bool:
        """Whether no file of a message is left."""
        return not self.in_queue()

    # --- programs ---

    def run(self, *argv: str, stdin: bytes = b"", uid: int | None = None, **extra: str) -> "Done":
        """Run a program as the user (or another uid) in his home, to its end.

        argv: its first word without a slash is one of the home's programs; extra: environment.
        """
        words = [argv[0] if "/" in argv[0] else self.program(argv[0]), *argv[1:]]
        who = self.uid if uid is None else uid
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            check=False,
            cwd=self.user_home if who == self.uid else "/",
            env={**self.environment, "USER": self.user, "HOME": self.user_home, **extra},
            timeout=120,
            **identity(who, self.gid if who == self.uid else who),
        )
        return Done(done)

    def send(self, recipient: str, text: str = "Subject: test\n\nHello.\n", sender: str = "") -> None:
        """Hand over a message as any program does it, by sendmail."""
        words = ["sendmail", *(["-f", sender] if sender else []), recipient]
        done = self.run(*words, stdin=text.encode())
        assert done.code == 0, f"{words} exited {done.code}: {done.errors!r}"

    # --- the system ---

    def start(self, *words: str) -> None:
        """Start everything, as a run file does, and wait until it is up.

        words: default delivery and logger; without a logger the log goes to a file.
        """
        owner: dict[str, Any] = identity(self.uid, self.gid) if self.embedded else {}
        after = self.log.count()
        with open(self._log_path, "ab") as log:
            self.daemons = subprocess.Popen(
                [self.program("qmail-start"), *(words or ["./Maildir/"])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self.environment,
                start_new_session=True,
                **owner,
            )
        self.log.wait("status", after=after, local="0", remote="0")

    def stop(self) -> None:
        """End everything by TERM to qmail-send; it must say so and leave nobody."""
        assert self.daemons is not None
        self.daemons.send_signal(signal.SIGTERM)
        code = wait_for_exit(self.daemons)
        assert code == 0, f"qmail-send exited {code}; its log:\n{self.log.text()}"
        assert self.log.lines[-1].kind == "exiting", self.log.text()
        self._everybody_left()
        self.daemons = None

    def _everybody_left(self) -> None:
        assert self.daemons is not None
        group = self.daemons.pid
        wait_for(lambda: not members(group), "the end of all daemons")

    def close(self) -> None:
        """What a fixture does at the end: nothing may stay, however the test ended."""
        if self.daemons is None:
            return
        if self.daemons.poll() is None:
            self.daemons.send_signal(signal.SIGTERM)
            try:
                self.daemons.wait(5)
            except subprocess.TimeoutExpired:
                self.daemons.kill()
                self.daemons.wait()
        for pid in members(self.daemons.pid):
            with contextlib.suppress(ProcessLookupError):  # it is ending just now
                os.kill(pid, signal.SIGKILL)
        self.daemons = None

    def children(self) -> dict[str, int]:
        """The daemons below qmail-send: kernel's short name -> pid."""
        assert self.daemons is not None
        return children_of(self.daemons.pid)


class Done:
    """How a program ended: exit code, output, errors."""

    def __init__(self, done: "subprocess.CompletedProcess[bytes]") -> None:
        self.code, self.output, self.errors = done.returncode, done.stdout, done.stderr


def identity(uid: int, gid: int) -> dict[str, Any]:
    """Words for Popen: become this user, where we may."""
    return {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}


def members(session: int) -> list[int]:
    """Living processes of this session."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and is_running(int(name)):
            try:
                if os.getsid(int(name)) == session:
                    found.append(int(name))
            except ProcessLookupError:
                continue
    return found


def children_of(pid: int) -> dict[str, int]:
    """The children of a process: kernel's short name -> pid."""
    found = {}
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for child in file.read().split():
            with open(f"/proc/{child}/comm", encoding="ascii") as comm:
                found[comm.read().strip()] = int(child)
    return found


class Room:
    """One way to live."""

    def __init__(self, way: str, extra: Mapping[str, str]) -> None:
        """way: "embedded" or "classic"; extra: environment."""
        self.way, self.extra = way, extra

    def make(self, folder: str) -> Place:
        """A place of this kind.  folder: for an embedded home; everybody may go through it afterwards."""
        os.chmod(folder, 0o711)
        return embedded(f"{folder}/home", self.extra) if self.way == "embedded" else classic(self.extra)


def embedded(home: str, extra: Mapping[str, str]) -> Place:
    """A home of an ordinary user: ours, or nobody's if we are root."""
    uid, gid = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    ready.installed(home, uid)
    place = Place(home, name_of(uid), uid, gid, f"{home}/home", extra)
    if os.geteuid() == 0:
        write(place._log_path, "")
        os.chown(place._log_path, uid, gid)
    return place


def classic(extra: Mapping[str, str]) -> Place:
    """/var/qmail as `make setup` makes it, and a user joe with a Maildir, in a machine of its own."""
    ready.classic(CLASSIC_HOME, lambda: run_setup("--home", CLASSIC_HOME))
    subprocess.run([f"{CLASSIC_HOME}/bin/config-fast", DOMAIN], check=True, stdout=subprocess.DEVNULL)
    uid = add_user(USER, groups=("club",))
    place = Place(CLASSIC_HOME, USER, uid, uid, f"/home/{USER}", extra)
    make_maildir(f"/home/{USER}/Maildir")
    give(f"/home/{USER}", uid, uid)
    return place


def add_user(name: str, uid: int = 1717, groups: tuple[str, ...] = ()) -> int:
    """An account in this machine's /etc, with a home and a group of its own.  Result: its uid."""
    for path, line in (
        ("/etc/passwd", f"{name}:x:{uid}:{uid}:{name.capitalize()}:/home/{name}:/bin/sh\n"),
        ("/etc/group", f"{name}:x:{uid}:\n"),
        *((("/etc/group", f"{group}:x:{uid + at}:{name}\n")) for at, group in enumerate(groups, start=100)),
    ):
        with open(path, "a", encoding="ascii") as file:
            file.write(line)
    os.makedirs(f"/home/{name}", mode=0o755)
    os.chown(f"/home/{name}", uid, uid)
    return uid


def make_maildir(path: str) -> None:
    for name in ("", "/tmp", "/new", "/cur"):
        os.makedirs(path + name, mode=0o700, exist_ok=True)


def name_of(uid: int) -> str:
    """An account's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


FORCED = {"QMAILEXEC": "1"}
ROOMS = [
    pytest.param(Room("embedded", {}), id="embedded"),
    pytest.param(Room("embedded", FORCED), id="embedded-exec"),
    pytest.param(Room("classic", {}), id="classic", marks=pytest.mark.root),
    pytest.param(Room("classic", FORCED), id="classic-exec", marks=pytest.mark.root),
]
