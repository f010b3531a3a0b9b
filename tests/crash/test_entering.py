"""A message that enters the queue, killed before every system call, and failing at every one.

Whatever happens: what was said to be accepted is whole in S4; what was refused leaves nothing; what was killed leaves
a legal state, S1 to S4; and every name and byte that acceptance stands on was on disk before it was announced.
"""

import os
import re
import shutil
import subprocess

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue import cleaning
from qmailpy.disk.queue.paths import Paths
from tests.crash import disk_model
from tests.queue_support import INTERPRETER, LIBRARY, emptied, is_empty, litter, new_home, queued
from tests.support import write

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "enter.py")
CALLS = "%file,%desc"
BODY = b"Subject: crash\n\nbody\nend\n"


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


def enter(home: str, *options: str) -> bytes:
    """Enter one message under strace.  Result: what was said."""
    command = [INTERPRETER, "-IS", "-B", DRIVER, LIBRARY, home, "1", *options]
    return subprocess.run(command, capture_output=True, check=False).stdout


def trace(home: str, log: str) -> list[str]:
    """The system calls of the entering process, in order, descriptors with their paths."""
    said = enter(home, "-y", "-s", "200", "-o", log, "-e", f"trace={CALLS}")
    assert said == b"accepted\n"
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def collect(home: str) -> None:
    """What the collector does with litter, at once."""
    paths = Paths(Home(os.fsencode(home)))
    for name in litter(home):
        folder, _, rest = name.partition("/")
        if folder == "mess":
            cleaning.remove_message(paths, int(rest.rpartition("/")[2]))
    cleaning.collect_pid(paths, 1 << 40)


def check(home: str, said: bytes) -> str:
    """The promises; queued() checks that every state is legal.  Result: the state, as the names of what is there."""
    found = queued(home)
    assert len(found) <= 1
    if said == b"accepted\n":
        assert found
    for message in found:
        assert message.body == BODY
        assert message.content.startswith(b"Received: (qmail 77 invoked by uid 1000); ")
        assert (message.todo.uid, message.todo.pid) == (1000, 77)
        assert (message.todo.sender, message.todo.recipients) == (b"me@here.example", [b"you@there.example"])
    state = "S4" if found else "+".join(sorted(name.partition("/")[0] for name in litter(home)))
    collect(home)
    if not found:
        assert is_empty(home)
    return state


def test_killed_before_every_system_call(home: str, tmp_path: object) -> None:
    calls = [text.partition("(")[0] for text in trace(home, f"{tmp_path}/log") if not text.startswith("---")]
    states: list[str] = []
    for index, call in enumerate(calls):
        emptied(home)
        number = calls[:index].count(call) + 1  # strace counts each kind for itself
        said = enter(home, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
        assert said == b"", "it was killed before it could say so"
        state = check(home, said)
        if not states or states[-1] != state:
            states.append(state)
    assert states == ["", "pid", "mess+pid", "mess", "intd+mess", "S4"]
    assert len(calls) > 20


def normal(calls: list[str]) -> list[str]:
    """The message's descriptor keeps its first name in a trace: it is mess/'s."""
    temporary = re.compile(r"/queue/pid/[0-9.]+(?: \(deleted\))?>")
    return [temporary.sub("/queue/mess/N>", text.replace(" (deleted)", "")) for text in calls]


def is_at(text: str, call: str, path: str) -> bool:
    return text.startswith(call) and path in text


def position(calls: list[str], call: str, path: str, after: int = -1) -> int:
    for index, text in enumerate(calls):
        if index > after and is_at(text, call, path):
            return index
    raise AssertionError(f"no {call} of {path} after call {after}:\n" + "\n".join(calls))


def test_everything_is_on_disk_before_the_answer_and_in_this_order(home: str, tmp_path: object) -> None:
    calls = normal(trace(home, f"{tmp_path}/log"))
    at = -1
    for call, path in (
        ("openat", "/queue/pid/"),
        ("link", "/queue/mess/"),
        ("unlink", "/queue/pid/"),
        ("fsync", "/queue/mess/N>"),
        ("fsync", "/queue/mess/"),  # its directory
        ("openat", "/queue/intd/"),
        ("fsync", "/queue/intd/"),
        ("link", "/queue/todo/"),
        ("fsync", "/queue/todo>"),
        ("openat", "/queue/lock/trigger"),
        ("write(1", "accepted"),
    ):
        at = position(calls, call, path, at)


# What would be there after a power cut at the answer


def kept_at_the_answer(home: str, log: str) -> set[str]:
    """What the disk has of the one message that was traced to this file."""
    [message] = queued(home)
    [kept] = disk_model.replay(log, lambda call: [str(message.number)] if call.startswith("write(1") else None).values()
    return kept


def test_a_power_cut_at_the_answer_loses_nothing(home: str, tmp_path: object) -> None:
    trace(home, f"{tmp_path}/log")
    assert kept_at_the_answer(home, f"{tmp_path}/log") == disk_model.PARTS


def test_the_order_of_stock_qmail_fails_the_same_test(home: str, tmp_path: object) -> None:
    """Which fsyncs no directory."""
    calls, log = trace(home, f"{tmp_path}/log"), f"{tmp_path}/log"
    write(log, "".join(text + "\n" for text in calls if not re.match(r"fsync\(.*/queue/todo>", text)))
    assert kept_at_the_answer(home, log) == disk_model.BEFORE_ITS_NAME
    write(log, "".join(text + "\n" for text in calls if not re.match(r"fsync\(.*/queue/mess/[0-9]+>", text)))
    with pytest.raises(AssertionError, match="may be all that a power cut leaves"):
        kept_at_the_answer(home, log)


# which call fails (the Nth of its kind), the exit code, whether the message must not be taken back

FAILURES = [
    ("openat", 1, 63, False),  # pid/
    ("link", 1, 64, False),  # mess/
    ("unlink", 1, 63, False),  # pid/
    ("write", 1, 53, False),
    ("write", 2, 53, False),
    ("write", 3, 53, False),
    ("fsync", 1, 53, False),  # the message
    ("openat", 2, 64, False),  # mess/S, to fsync it
    ("fsync", 2, 64, False),
    ("openat", 3, 65, False),  # intd/
    ("write", 4, 53, False),
    ("fsync", 3, 53, False),
    ("link", 2, 66, False),  # the link into todo/
    ("openat", 4, 66, True),  # that folder, to fsync it
    ("fsync", 4, 66, True),
]


@pytest.mark.parametrize("errno", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(("call", "number", "code", "stays"), FAILURES)
def test_a_call_that_fails_has_its_code_and_leaves_nothing(
    home: str, call: str, number: int, code: int, stays: bool, errno: str
) -> None:
    said = enter(home, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={errno}:when={number}")
    assert said == b"refused %d\n" % code
    if stays:
        assert len(queued(home)) == 1
    elif (call, number) == ("unlink", 1):
        assert [name.partition("/")[0] for name in litter(home)] == ["pid"], "what cannot be removed stays"
    else:
        assert is_empty(home)


def test_a_call_that_is_cut_short_is_finished(home: str) -> None:
    said = enter(home, "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:error=EINTR:when=1+2")
    assert said == b"accepted\n"
    assert check(home, said) == "S4"


def test_no_trigger_and_a_broken_trigger_change_nothing(home: str) -> None:
    os.unlink(f"{home}/queue/lock/trigger")
    assert enter(home, "-o", "/dev/null") == b"accepted\n"
    os.symlink("trigger", f"{home}/queue/lock/trigger")
    assert enter(home, "-o", "/dev/null") == b"accepted\n"
