"""SMTP sessions without a network: a client that says given bytes, a queue that keeps what it gets, a clock."""

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from qmailpy.disk.home import Home
from qmailpy.receive.policy.policy import Policy
from qmailpy.receive.smtp.controls import Controls
from qmailpy.receive.smtp.conversation import converse
from qmailpy.receive.smtp.services import Services
from qmailpy.skeletons import questions
from qmailpy.skeletons.dialog import Dialog, Silent
from qmailpy.skeletons.submit import Result
from qmailpy.wire.parameters import Parameters
from tests.support import DOMAIN, write

CLIENT = {b"TCPREMOTEIP": b"192.0.2.7", b"TCPREMOTEHOST": b"client.example", b"TCPLOCALHOST": b"here.example"}
GREETING = b"220 mx.example.org ESMTP"
SILENCE = b""  # in a script: the client says nothing until its time is over; at the end it hangs up


class Kept:
    """A message on its way into a queue that only remembers."""

    def __init__(self, answer: Result) -> None:
        self.content = b""
        self.failed = self.closed = False
        self.sender = b""
        self.recipients: list[bytes] = []
        self.parameters: Parameters | None = None
        self._answer = answer

    async def write(self, piece: bytes) -> None:
        assert not self.failed
        assert not self.closed
        self.content += piece

    def fail(self) -> None:
        self.failed = True

    async def close(self, sender: bytes, recipients: list[bytes], parameters: Parameters | None = None) -> Result:
        assert not self.closed
        self.closed = True
        self.sender, self.recipients, self.parameters = sender, recipients, parameters
        return Result(0, b"Zqq read error (#4.3.0)") if self.failed else self._answer

    @property
    def is_queued(self) -> bool:
        return self.closed and not self.failed

    @property
    def body(self) -> bytes:
        """Without the Received line."""
        return self.content.partition(b"\n")[2].partition(b"\n")[2]


class Scripted(Dialog):
    """said: all that went to the client; turns: how many bytes it had heard each time before it spoke again."""

    def __init__(self, script: Sequence[bytes], home: Home, environment: Mapping[bytes, bytes], answer: Result) -> None:
        super().__init__(dict(environment), 1200.0)
        self.left = list(script)
        self.said = bytearray()
        self.turns: list[int] = []
        self.messages: list[Kept] = []
        self.notes: list[bytes] = []
        self.time = 1000.0
        self.pause = 0.0  # that passes before each piece
        self._answer, self._home = answer, home

    async def _take(self) -> bytes:
        self.turns.append(len(self.said))
        self.time += self.pause
        if self.until is not None and self.time >= self.until:
            raise Silent
        if not self.left:
            return b""
        piece = self.left.pop(0)
        if piece == SILENCE:
            raise Silent
        return piece

    async def _give(self, content: bytes) -> None:
        self.said += content

    async def ask(self, question: bytes, request: bytes) -> bytes:
        return questions.answer(self._home, question, request)

    def begin(self) -> Kept:
        self.messages.append(Kept(self._answer))
        return self.messages[-1]

    def note(self, line: bytes) -> None:
        self.notes.append(line)

    def now(self) -> float:
        return self.time


class Talk:
    """What became of a session."""

    def __init__(self, code: int, dialog: Scripted) -> None:
        self.code, self.said, self.notes, self.turns = code, bytes(dialog.said), dialog.notes, dialog.turns
        self.messages = dialog.messages
        self.queued = [message for message in dialog.messages if message.is_queued]

    @property
    def replies(self) -> list[bytes]:
        """Without the greeting; of a reply with several lines each."""
        lines = self.said.split(b"\r\n")
        assert lines.pop() == b""
        assert not any(b"\r" in line or b"\n" in line for line in lines)
        return lines[1:]

    @property
    def codes(self) -> list[int]:
        """Of the replies."""
        return [int(line[:3]) for line in self.replies if line[3:4] == b" "]


def drive(conversation: Coroutine[Any, Any, int]) -> int:
    """Run it to its end; nothing in it waits."""
    try:
        conversation.send(None)
    except StopIteration as end:
        return int(end.value)
    raise AssertionError("it waits")


class Server:
    """A home's control files, and sessions with them."""

    def __init__(self, folder: object, **control: str) -> None:
        """control: file name -> content."""
        self.path = f"{folder}/home"
        os.makedirs(f"{self.path}/queue", exist_ok=True)
        self.control(me=DOMAIN + "\n", rcpthosts=f"{DOMAIN}\n.sub.example\n", recipientcheck="0\n", **control)
        self.services = Services()
        self.answer = Result(457, b"")
        self.environment = dict(CLIENT)
        self.pause = 0.0
        self.prepare: Callable[[Scripted, Controls], None] = lambda _dialog, _controls: None

    def control(self, **content: str) -> None:
        for name, text in content.items():
            write(f"{self.path}/control/{name}", text)

    def talk(self, *script: bytes) -> Talk:
        """A session in which the client says these pieces, and then hangs up."""
        home = Home(os.fsencode(self.path))
        controls = Controls(home)
        dialog = Scripted(script, home, self.environment, self.answer)
        dialog.pause = self.pause
        self.prepare(dialog, controls)
        policy = Policy(dialog, controls.policy)
        return Talk(drive(converse(dialog, controls, policy, self.services)), dialog)


def lines(*commands: bytes) -> bytes:
    """Commands as a client sends them all at once."""
    return b"".join(command + b"\r\n" for command in commands)
