"""Envelope parameters on their way in: from sendmail's options, and submitters, to todo/N on every way there is."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters
from tests.inject_support import HOST, Done, run
from tests.queue_support import (
    MESSAGE,
    RECIPIENT,
    SENDER,
    answer,
    call,
    conversation,
    is_empty,
    open_door,
    queue,
    queued,
)
from tests.support import RecordingQueue, bare_home, read, wait_for, write

JOE, FRED = b"joe@mail.example.com", b"fred@mail.example.com"
WORDS = ("-N", "never", "-Rhdrs", "-V", "job 7")
WISHED = b"RET=HDRS ENVID=job+207"
ENVELOPE = Parameters(
    MessageParameters.parse(b"RET=HDRS BODY=8BITMIME SMTPUTF8"), [None, RecipientParameters.parse(b"NOTIFY=NEVER")]
).envelope(SENDER, [RECIPIENT, b"x@y"])
CLASSIC = b"Fjoe@mail.example.com\0Tfred@mail.example.com\0\0"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"), me=HOST)


@pytest.fixture(params=[{}, {"QMAILEXEC": "1"}], ids=["resident", "executed"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    found: dict[str, str] = request.param
    return found


def send(home: str, way: dict[str, str], *words: str, recipients: tuple[str, ...] = ("joe", "fred")) -> Done:
    return run(home, "sendmail", *words, "-i", *recipients, message=MESSAGE, environment=way)


def todo_files(home: str) -> list[bytes]:
    return [read(f"{home}/queue/todo/{name}") for name in os.listdir(f"{home}/queue/todo")]


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_what_sendmail_is_asked_for_stands_in_todo(home: str, way: dict[str, str], size: int) -> None:
    with open_door(home):
        done = run(home, "sendmail", *WORDS, "-i", "joe", "fred", message=b"x" * size, environment=way)
        assert (done.code, done.out, done.err) == (0, b"", b"")
        [message] = queued(home)
        [content] = todo_files(home)
    assert content == b"u%d\0p%d %s\0F%s\0T%s\0pNOTIFY=NEVER\0T%s\0pNOTIFY=NEVER\0" % (
        os.getuid(),
        message.todo.pid,
        WISHED,
        JOE,
        JOE,
        FRED,
    )


def test_a_message_without_wishes_is_in_todo_as_ever(home: str, way: dict[str, str]) -> None:
    with open_door(home):
        assert send(home, way).code == 0
        [message] = queued(home)
        [content] = todo_files(home)
    assert content == b"u%d\0p%d\0F%s\0T%s\0T%s\0" % (os.getuid(), message.todo.pid, JOE, JOE, FRED)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-N", "sometimes"), b"-N sometimes: it must be never, or some of success,failure,delay with commas"),
        (("-Nnever,delay",), b"-N never,delay: it must be never, or some of"),
        (("-R", "half"), b"-R half: it must be full or hdrs"),
        (("-V", ""), b"-V : it must be 1 to 100 printable characters of ASCII"),
    ],
)
def test_a_wish_that_nobody_understands_is_a_usage_error(
    home: str, way: dict[str, str], words: tuple[str, ...], sentence: bytes
) -> None:
    done = send(home, way, *words)
    assert done.code == 64
    assert done.err.startswith(b"sendmail: " + sentence)
    assert is_empty(home)


def test_qmail_inject_takes_them_from_a_variable_and_for_itself_only(home: str, tmp_path: Path) -> None:
    shown = f"{tmp_path}/shown"
    script = write(f"{tmp_path}/show", f"#!/bin/sh\nenv >{shown}\ncat >/dev/null\ncat <&1 >/dev/null\n", 0o755)
    wishes = {"QMAILDSN": "RET=HDRS NOTIFY=NEVER"}
    with open_door(home):
        assert run(home, "qmail-inject", "fred", message=MESSAGE, environment=wishes).code == 0
        [content] = todo_files(home)
    assert b" RET=HDRS\0" in content
    assert content.endswith(b"pNOTIFY=NEVER\0")
    done = run(home, "qmail-inject", "fred", message=MESSAGE, environment={**wishes, "QMAILQUEUE": script})
    assert done.code == 0
    assert done.err.startswith(b"qmail-inject: warning: RET=HDRS NOTIFY=NEVER is not passed on: ")
    assert b"QMAILDSN" not in read(shown)


@pytest.mark.parametrize("text", ["RET=HALF", "SIZE=1", "NOTIFY=NEVER NOTIFY=NEVER", "x"])
def test_a_variable_that_cannot_be_read_is_permanent(home: str, text: str) -> None:
    done = run(home, "qmail-inject", "fred", message=MESSAGE, environment={"QMAILDSN": text})
    assert (done.code, done.err.count(b"\n")) == (100, 1)
    assert b"QMAILDSN cannot be read: " in done.err
    assert is_empty(home)


# who must not see them


def test_a_replaced_qmail_queue_sees_what_every_qmail_queue_knows(
    home: str, way: dict[str, str], tmp_path: Path
) -> None:
    write(f"{home}/bin/qmail-queue", f"#!/bin/sh\ncat >/dev/null\ncat <&1 >'{tmp_path}/envelope'\n", 0o755)
    done = send(home, way, *WORDS, recipients=("fred",))
    assert (done.code, read(f"{tmp_path}/envelope")) == (0, CLASSIC)
    assert done.err.startswith(b"qmail-inject: warning: NOTIFY=NEVER RET=HDRS ENVID=job+207 is not passed on: ")


def test_a_program_named_by_qmailqueue_sees_it_too(home: str, way: dict[str, str], tmp_path: Path) -> None:
    recording = RecordingQueue(f"{tmp_path}/recording")
    done = send(home, {**way, **recording.environment}, *WORDS, recipients=("fred",))
    assert (done.code, [envelope for _, envelope in recording.messages]) == (0, [CLASSIC])
    assert b"is not passed on" in done.err


def test_a_relay_without_a_queue_is_not_told(home: str, way: dict[str, str], tmp_path: Path) -> None:
    write(f"{home}/control/direct", "")
    write(f"{home}/bin/qmail-direct", f"#!/bin/sh\ncat >/dev/null\ncat <&1 >'{tmp_path}/envelope'\n", 0o755)
    done = send(home, way, *WORDS, recipients=("fred",))
    assert (done.code, read(f"{tmp_path}/envelope")) == (0, CLASSIC)
    assert b"is not passed on" in done.err


def test_a_qmail_queue_of_another_version_is_not_told(home: str) -> None:
    library = os.path.realpath(f"{home}/lib/current")
    driver = write(f"{home}/submit", DRIVER)
    shutil.copytree(library, f"{home}/lib/new", symlinks=True)
    os.symlink(f"{home}/lib/new", f"{home}/lib/.current")
    os.rename(f"{home}/lib/.current", f"{home}/lib/current")
    with open_door(home):
        done = subprocess.run(["/usr/bin/python3", "-IS", driver, library, home], capture_output=True, check=False)
        assert done.stdout == b"", done.stderr
        [content] = todo_files(home)
    assert content.endswith(b"\0Fme\0Tyou\0")


DRIVER = """import os, sys
sys.path.insert(0, sys.argv[1])
from qmailpy.disk.home import Home
from qmailpy.skeletons.submit import Submission
from qmailpy.wire.parameters import Parameters, RecipientParameters
submission = Submission(Home(os.fsencode(sys.argv[2])))
submission.write(b"x")
wished = Parameters(None, [RecipientParameters.parse(b"NOTIFY=NEVER")])
sys.stdout.write(submission.close(b"me", [b"you"], wished).text.decode())
"""


# our own qmail-queue, the door, drop/


def stored(home: str) -> list[tuple[bytes, dict[int, bytes]]]:
    """The parameters of each message in S4."""
    wished = [message.todo.parameters for message in queued(home)]
    return [("", {}) if each is None else (each.message, each.recipients) for each in wished]  # type: ignore[misc]


FOUND = [(b"RET=HDRS BODY=8BITMIME SMTPUTF8", {1: b"NOTIFY=NEVER"})]


def test_our_qmail_queue_takes_them_on_descriptor_1(home: str) -> None:
    with open_door(home):
        assert queue(home, MESSAGE, ENVELOPE) == (0, b"")
        assert stored(home) == FOUND


@pytest.mark.parametrize(
    "envelope", [b"Fa\0Tb\0pNOTIFY=PERHAPS\0\0", b"Fa\0p\0\0", b"Fa\0Tb\0pNOTIFY=NEVER\nx\0\0", b"pRET=FULL\0Fa\0\0"]
)
def test_what_is_no_parameter_is_no_envelope(home: str, envelope: bytes) -> None:
    with open_door(home):
        code, said = queue(home, MESSAGE, envelope)
        assert (code, said.count(b"\n")) == (91, 1)
        with call(home) as connection:
            connection.sendall(conversation(envelope=envelope))
            told = answer(connection)
        assert told is not None
        assert told.code == 91
        wait_for(lambda: is_empty(home), "an empty queue")


def test_they_are_kept_in_drop_while_the_door_is_closed(home: str) -> None:
    write(f"{home}/drop/{'7' * 32}", conversation(envelope=ENVELOPE))
    with open_door(home):
        wait_for(lambda: bool(os.listdir(f"{home}/queue/todo")), "the message")
        assert stored(home) == FOUND


def test_many_recipients_with_wishes_of_their_own(home: str) -> None:
    wished = [RecipientParameters.parse(b"ORCPT=rfc822;%d" % at) for at in range(20_000)]
    addresses = [b"%d@there.example" % at for at in range(20_000)]
    content = Parameters(MessageParameters.parse(b"RET=FULL"), wished).envelope(SENDER, addresses)
    with open_door(home):
        assert queue(home, MESSAGE, content) == (0, b"")
        [message] = queued(home)
    assert message.todo.recipients == addresses
    assert message.todo.parameters is not None
    assert message.todo.parameters.recipients[19_999] == b"ORCPT=rfc822;19999"
