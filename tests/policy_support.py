"""A session's Policy without a session: a conversation that asks in this process and keeps what is noted and said."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from qmailpy.disk.home import Home
from qmailpy.receive.policy import controls
from qmailpy.receive.policy.policy import Policy
from qmailpy.receive.refusal import Refusal
from qmailpy.skeletons import questions
from qmailpy.skeletons.dialog import Dialog
from qmailpy.wire import netstring
from tests.places import identity
from tests.support import CHECKOUT, PATH, write

IP = "192.0.2.7"
OK = b"ok"


class Asking(Dialog):
    """asked: the questions, in their order; answers: in the place of real ones."""

    def __init__(self, home: Home, environment: Mapping[str, str]) -> None:
        variables = {"PATH": os.environ["PATH"], "TCPREMOTEIP": IP, **environment}
        super().__init__({os.fsencode(name): os.fsencode(value) for name, value in variables.items()}, 60.0)
        self.home = home
        self.asked: list[bytes] = []
        self.notes: list[bytes] = []
        self.answers: dict[bytes, Callable[[bytes], bytes]] = {}
        self.clock = time.monotonic()

    async def ask(self, question: bytes, request: bytes) -> bytes:
        self.asked.append(question)
        if question in self.answers:
            return self.answers[question](request)
        return questions.answer(self.home, question, request)

    def note(self, line: bytes) -> None:
        self.notes.append(line)

    def now(self) -> float:
        return self.clock

    @property
    def said(self) -> bytes:
        return b"".join(self._said)


class Meeting:
    """A home's policy towards one client."""

    def __init__(self, home: str, **environment: str) -> None:
        self.home = Home(os.fsencode(home))
        self.dialog = Asking(self.home, environment)
        self.policy = Policy(self.dialog, controls.read(self.home))

    def connects(self) -> bytes:
        return self.heard(self.policy.connected())

    def helo(self, name: str = "client.example") -> bytes:
        return self.heard(self.policy.helo(name.encode(), False))

    def mail(self, sender: str = "sender@elsewhere.example") -> bytes:
        return self.heard(self.policy.sender(sender.encode(), []))

    def rcpt(self, recipient: str) -> bytes:
        return self.heard(self.policy.recipient(recipient.encode()), recipient.encode())

    def data(self) -> bytes:
        return self.heard(self.policy.data())

    def heard(self, question: "Coroutine[Any, Any, Refusal | None]", recipient: bytes | None = None) -> bytes:
        """The reply, OK for none; as a session does it every no is logged."""
        refusal = run(question)
        if refusal is None:
            return OK
        self.policy.log(refusal, recipient)
        reply: bytes = refusal.reply
        return reply + (b" (closes)" if refusal.closes else b"")


def run(question: "Coroutine[Any, Any, Any]") -> Any:
    """What it gives; it waits for nothing."""
    try:
        question.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def control(home: str, **files: str) -> str:
    """Control files.  Result: the home."""
    for name, text in files.items():
        write(f"{home}/control/{name.replace('_', '.')}", text)
    return home


def small_home(home: str) -> str:
    """No more of a home than a policy reads.  Result: its path."""
    for folder in ("bin", "control", "users", "queue"):
        os.makedirs(f"{home}/{folder}")
    write(f"{home}/control/me", "mx.example.org\n")
    return home


ASKING = """
import os, sys
from qmailpy.disk.home import Home
from qmailpy.skeletons import questions
from qmailpy.wire import netstring
home = Home(os.fsencode(sys.argv[1]))
asked = netstring.unpack(sys.stdin.buffer.read())
sys.stdout.buffer.write(netstring.pack([questions.answer(home, b"recipient", each) for each in asked]))
"""


def existing(home: str, recipients: list[bytes], uid: int, gid: int, **environment: str) -> list[bytes]:
    """What the question whether each of them exists is answered with, asked by this uid in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ASKING, home],
        input=netstring.pack(recipients),
        capture_output=True,
        check=False,
        cwd="/",
        env={"PATH": PATH, "PYTHONPATH": CHECKOUT, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        timeout=60,
        **identity(uid, gid),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return netstring.unpack(done.stdout)
