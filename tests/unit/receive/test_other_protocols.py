"""QMTP, QMQP and POP3 sessions in this process: any bytes, cut anywhere, and silence end in one of their exit codes."""

import os
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.receive import qmqp, qmtp
from qmailpy.receive.policy import controls as policy
from qmailpy.receive.pop3 import authorization
from qmailpy.receive.pop3.authorization import Surroundings
from qmailpy.skeletons.dialog import Dialog, Gone, Silent
from qmailpy.skeletons.submit import Result
from qmailpy.wire import netstring
from qmailpy.wire import qmtp as wire

SAID = wire.request(b"x\r\ny\n", b"a@b", [b"c@d", b"e"])
QMQP = netstring.encode(netstring.pack([b"x\n", b"a@b", b"c@d"]))


class Queue:
    """What a message on its way gives to the queue."""

    def __init__(self) -> None:
        self.content, self.failed = b"", False
        self.envelope: tuple[bytes, list[bytes]] | None = None

    async def write(self, piece: bytes) -> None:
        self.content += piece

    def fail(self) -> None:
        self.failed = True

    async def close(self, sender: bytes, recipients: list[bytes], _parameters: object = None) -> Result:
        if not self.failed:
            self.envelope = (sender, recipients)
        return Result(7, b"Zqq read error (#4.3.0)" if self.failed else b"")


class Scripted(Dialog):
    """pieces: what the client says; then it does what end says."""

    def __init__(self, pieces: list[bytes], end: type[Exception] | None = None) -> None:
        super().__init__({b"TCPREMOTEIP": b"192.0.2.7"}, 60.0)
        self.pieces, self.end = [piece for piece in pieces if piece], end
        self.said = b""
        self.notes: list[bytes] = []
        self.messages: list[Queue] = []

    async def _take(self) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        if self.end is not None:
            raise self.end
        return b""

    async def _give(self, content: bytes) -> None:
        self.said += content

    def begin(self) -> Queue:
        self.messages.append(Queue())
        return self.messages[-1]

    def note(self, line: bytes) -> None:
        self.notes.append(line)

    def now(self) -> float:
        return 1.0

    @property
    def accepted(self) -> list[Any]:
        return [message.envelope for message in self.messages if message.envelope is not None]


def run(conversation: Coroutine[None, None, int]) -> int:
    try:
        conversation.send(None)
    except StopIteration as end:
        code: int = end.value
        return code
    raise AssertionError("it waits")


class Controls(qmtp.Controls):
    """No files."""

    def __init__(self) -> None:
        self.databytes, self.policy, self.traces = 0, policy.Controls(), False


def converse(protocol: str, dialog: Scripted) -> int:
    return run(qmtp.converse(dialog, Controls()) if protocol == "qmtp" else qmqp.converse(dialog))


def cut(content: bytes, lengths: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for length in lengths:
        pieces.append(content[at : at + length])
        at += length
    return [*pieces, content[at:]]


@pytest.mark.parametrize("protocol", ["qmtp", "qmqp"])
@given(
    content=st.one_of(
        st.text("0129:,\n\rx\0", max_size=60).map(str.encode),
        st.tuples(st.sampled_from([SAID, QMQP]), st.integers(0, 60), st.sampled_from(b"0:,\0x9")).map(
            lambda case: case[0][: case[1]] + bytes([case[2]]) + case[0][case[1] + 1 :]
        ),
    ),
    lengths=st.lists(st.integers(1, 9), max_size=9),
)
def test_any_bytes_end_in_an_exit_code_and_nothing_half_is_queued(
    protocol: str, content: bytes, lengths: list[int]
) -> None:
    dialog, whole = Scripted(cut(content, lengths)), Scripted([content])
    code = converse(protocol, dialog)
    assert code in (0, 100, 111)
    assert (code, dialog.accepted, len(dialog.said)) == (converse(protocol, whole), whole.accepted, len(whole.said))
    assert all(message.failed or message.envelope for message in dialog.messages)
    assert len(dialog.notes) <= 100


@pytest.mark.parametrize("protocol", ["qmtp", "qmqp"])
@pytest.mark.parametrize(("end", "code"), [(None, 0), (Gone, 0), (Silent, 111)])
@pytest.mark.parametrize("length", range(0, 20, 3))
def test_silence_is_temporary_and_nothing_of_the_message_stays(
    protocol: str, end: type[Exception] | None, code: int, length: int
) -> None:
    dialog = Scripted([(SAID if protocol == "qmtp" else QMQP)[:length]], end)
    assert converse(protocol, dialog) == code
    assert (dialog.said, dialog.accepted) == (b"", [])
    assert bool(dialog.notes) == (end is Silent)
    assert all(message.failed for message in dialog.messages)


def pop3(pieces: list[bytes], end: type[Exception] | None = None) -> tuple[Scripted, list[tuple[bytes, ...]]]:
    asked: list[tuple[bytes, ...]] = []

    def verify(*words: bytes) -> bytes:
        asked.append(words)
        return b"authorization failed"

    dialog = Scripted(pieces, end)
    around = Surroundings(b"<1.2@h>", verify, lambda: False, is_clear=True, takes_clear=True)
    assert run(authorization.converse(dialog, around)) == 1
    return dialog, asked


@given(
    st.lists(st.sampled_from([b"USER ", b"joe", b"PASS x", b"\n", b"\r", b"\0", b"AUTH PLAIN ", b"AGEAYg==", b"STLS"]))
)
def test_whatever_is_said_before_the_login_nobody_is_asked_about_without_a_name_and_a_word(pieces: list[bytes]) -> None:
    dialog, asked = pop3(pieces)
    assert len(asked) <= 1
    assert all(method == b"PASS" and user and secret for method, user, secret in asked)
    assert dialog.said.startswith(b"+OK <1.2@h>\r\n")
    assert dialog.said.count(b"\n") == dialog.said.count(b"\r\n")


@pytest.mark.parametrize("end", [None, Gone, Silent])
def test_who_falls_silent_before_the_login_is_left(end: type[Exception] | None) -> None:
    dialog, asked = pop3([b"USER joe\r\n", b"PASS x"], end)
    assert (dialog.said, asked) == (b"+OK <1.2@h>\r\n+OK \r\n", [])


def test_a_session_keeps_only_a_little_of_a_large_message() -> None:
    """Its pieces go on as they come."""
    piece = os.urandom(65536)
    head = b"%d:\n" % (200 * len(piece) + 1)
    dialog = Scripted([head, *[piece] * 100])
    largest = 0

    class Measuring(Queue):
        async def write(self, piece: bytes) -> None:
            nonlocal largest
            largest = max(largest, len(piece))

    dialog.begin = Measuring  # type: ignore[method-assign]
    assert converse("qmtp", dialog) == 0
    assert 0 < largest <= len(piece) + 100
