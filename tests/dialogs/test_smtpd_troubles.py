"""qmail-smtpd, executed, where the machine fails it: no memory, by a real limit; a door that nobody opens."""

import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.smtp_support import lines
from tests.support import PATH, PATIENCE, RecordingQueue, bare_home, read, wait_for_exit, write

DOMAIN = "mx.example.org"
LONG = b"x" * 400


@pytest.fixture
def home(tmp_path: Path) -> str:
    found = bare_home(str(tmp_path / "home"))
    write(f"{found}/control/rcpthosts", f"{DOMAIN}\n")
    write(f"{found}/control/recipientcheck", "0\n")
    return found


class Session:
    """A client on a socket: it says everything at once and hears everything meanwhile."""

    def __init__(self, home: str, limit: int = 0, **environment: str) -> None:
        """limit: bytes of address space."""
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(PATIENCE)
        prlimit = ["prlimit", f"--as={limit}"] if limit else []
        with theirs:
            self.process = subprocess.Popen(
                [*prlimit, f"{home}/bin/qmail-smtpd"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                env={"PATH": PATH, "QMAILHOME": home, "TCPREMOTEIP": "192.0.2.7", **environment},
            )
        self._said = b""
        self._ear = threading.Thread(target=self._hear)
        self._ear.start()

    def _hear(self) -> None:
        try:
            while piece := self._ours.recv(65536):
                self._said += piece
        except ConnectionResetError:  # it has ended, and we had said more than it wanted to hear
            return

    def say(self, *words: bytes) -> None:
        try:
            self._ours.sendall(lines(*words))
        except (BrokenPipeError, ConnectionResetError):
            return

    def end(self) -> tuple[int, list[bytes], bytes]:
        """Exit code, answers, log."""
        assert self.process.stderr is not None
        with self.process.stderr:
            log = self.process.stderr.read()
        code = wait_for_exit(self.process)
        self._ear.join()
        self._ours.close()
        return code, self._said.split(b"\r\n")[:-1], log


def peak(home: str) -> int:
    """Bytes of address space of a session that has said hello."""
    session = Session(home)
    session.say(b"HELO x", b"NOOP")
    while session._said.count(b"\r\n") < 3:
        assert session.process.poll() is None
    found = re.search(rb"VmPeak:\s+(\d+) kB", read(f"/proc/{session.process.pid}/status"))
    session.say(b"QUIT")
    assert session.end()[0] == 0
    assert found
    return int(found[1]) << 10


def test_a_client_that_takes_all_memory_is_told_to_come_again(home: str, tmp_path: Path) -> None:
    """A limit as softlimit sets it, and more recipients than fit: nothing that was said before is queued."""
    queue = RecordingQueue(f"{tmp_path}/queue")
    session = Session(home, peak(home) + (3 << 20), **queue.environment)
    session.say(b"EHLO x", b"MAIL FROM:<a@b.example>")
    for _ in range(200):
        session.say(*[b"RCPT TO:<" + LONG + b"@mx.example.org> ORCPT=rfc822;" + LONG] * 100)
    session.say(b"DATA", b".", b"QUIT")
    code, answers, log = session.end()
    assert code == 111
    assert answers[-1] == b"421 out of memory (#4.3.0)"
    assert answers.count(b"250 ok") > 100
    assert log == b"qmail-smtpd: warning: out of memory: is the limit in the run file (softlimit) too small?\n"
    assert queue.messages == []


def test_with_too_little_to_begin_with_nobody_is_told_anything_wrong(home: str) -> None:
    """The classic 2 MB: the client hears nothing, or that it shall come again, and the exit code is no success."""
    for limit in (2_000_000, 12_000_000):
        code, answers, _ = Session(home, limit).end()
        assert code != 0
        assert all(answer.startswith(b"4") for answer in answers)


@pytest.mark.slow
def test_mail_from_the_network_waits_with_its_host_while_the_door_is_closed(home: str) -> None:
    """What comes by `sendmail -bs` is left in drop/: its caller has no queue.  Ten seconds: the door's patience."""
    words = (b"HELO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@mx.example.org>", b"DATA", b"", b"x", b".", b"QUIT")
    far, near = Session(home, TCPREMOTEPORT="25000"), Session(home)
    for session in (far, near):
        session.say(*words)
    code, answers, log = far.end()
    assert (code, answers[-2]) == (0, b"451 the door is closed (is qmail-queued running?) (#4.3.0)")
    assert b" rule=queue " in log
    code, answers, _ = near.end()
    assert (code, answers[-2][:7]) == (0, b"250 ok ")
    assert len(os.listdir(f"{home}/drop")) == 2  # aside, and the message
