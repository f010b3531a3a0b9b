"""The one way into the queue, both ways: by the door, and by a program that is executed."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.inject_support import run
from tests.queue_support import (
    INTERPRETER,
    LIBRARY,
    MESSAGE,
    RECIPIENT,
    SENDER,
    is_empty,
    litter,
    new_home,
    open_door,
    queue,
    queued,
)
from tests.support import RecordingQueue, run_setup, wait_for, write

DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "submit_once.py")
LONG = bytes(2_500_000)
PATH = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


def submit(
    home: str,
    content: bytes = MESSAGE,
    kind: str = "one",
    addresses: tuple[bytes, ...] = (SENDER, RECIPIENT),
    variables: Mapping[str, str] | None = None,
) -> tuple[int, bytes, int]:
    """Result: qp, text, pid of the submitter."""
    process = subprocess.Popen(
        [INTERPRETER, "-IS", "-B", DRIVER, LIBRARY, home, kind, *map(os.fsdecode, addresses)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(variables or {}),
    )
    out, err = process.communicate(content)
    assert b"Traceback" not in err
    lines = out.splitlines()
    return int(lines[-2]), lines[-1], process.pid


WAYS = ["door", "exec"]


def way(name: str) -> dict[str, str]:
    return {"QMAILEXEC": "1"} if name == "exec" else {}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("content", [b"", MESSAGE, LONG])
def test_a_submission_is_in_the_queue(home: str, name: str, content: bytes) -> None:
    with open_door(home):
        qp, text, pid = submit(home, content, variables=way(name))
        assert text == b""
        [message] = queued(home)
    assert message.body == content
    assert message.todo.pid == qp
    assert (qp == pid) is (name == "door"), "the door alone takes no process"
    assert (message.todo.sender, message.todo.recipients) == (SENDER, [RECIPIENT])


def test_a_resident_gets_a_number_for_each_message(home: str) -> None:
    with open_door(home):
        qp, text, _ = submit(home, MESSAGE, "resident")
        assert text == b""
        numbers = [message.todo.pid for message in queued(home)]
    assert len(set(numbers)) == 2
    assert max(numbers) == qp > 1 << 22


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("content", [MESSAGE, LONG])
def test_a_submission_that_failed_is_not_queued(home: str, name: str, content: bytes) -> None:
    with open_door(home):
        assert submit(home, content, "fail", variables=way(name))[1] == b"Zqq read error (#4.3.0)"
        wait_for(lambda: is_empty(home), "an empty queue")


@pytest.mark.parametrize("name", WAYS)
def test_an_address_that_is_too_long_is_permanent(home: str, name: str) -> None:
    with open_door(home):
        text = submit(home, addresses=(SENDER, b"a" * 1003), variables=way(name))[1]
        assert text == b"Denvelope address too long for qq (#5.1.3)"
        wait_for(lambda: is_empty(home), "an empty queue")


@pytest.mark.parametrize("name", WAYS)
def test_a_nul_in_an_address_is_an_error_and_no_second_recipient(home: str, name: str) -> None:
    with open_door(home):
        text = submit(home, addresses=(SENDER, b"a{NUL}Tb"), variables=way(name))[1]
        assert text == b"Zqq internal bug (#4.3.0)"
        wait_for(lambda: is_empty(home), "an empty queue")


@pytest.mark.parametrize("name", WAYS)
def test_a_message_over_the_limit_is_told_in_the_doors_words(home: str, name: str) -> None:
    write(f"{home}/control/queuebytes", "1000\n")
    with open_door(home):
        for content in (bytes(1001), LONG):
            text = submit(home, content, variables=way(name))[1]
            assert text == b"Dmessage larger than control/queuebytes allows (#5.3.4)"
        wait_for(lambda: is_empty(home), "an empty queue")


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(("folder", "text"), [("intd", b"Zqq trouble creating files in queue (#4.3.0)")])
def test_trouble_in_the_queue_is_temporary(home: str, name: str, folder: str, text: bytes) -> None:
    os.rmdir(f"{home}/queue/{folder}")
    with open_door(home):
        assert submit(home, variables=way(name))[1] == text


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_qmailqueue_gets_message_and_envelope(home: str, tmp_path: object, size: int) -> None:
    recording = RecordingQueue(f"{tmp_path}/recording")
    content = os.urandom(size)
    qp, text, _ = submit(home, content, variables={**recording.environment, **PATH})
    assert text == b""
    assert qp > 0
    assert recording.messages == [(content, b"F%s\0T%s\0\0" % (SENDER, RECIPIENT))]
    assert is_empty(home)


@pytest.mark.parametrize(
    ("code", "custom", "text"),
    [
        (31, "", b"Dmail server permanently rejected message (#5.3.0)"),
        (71, "", b"Zmail server temporarily rejected message (#4.3.0)"),
        (82, "Dvirus found (#5.7.1)", b"Dvirus found (#5.7.1)"),
        (82, "Zscanner asleep (#4.3.2)", b"Zscanner asleep (#4.3.2)"),
        (82, "", b"Zqq temporary problem (#4.3.0)"),
        (99, "Dnobody asked", b"Zqq temporary problem (#4.3.0)"),
    ],
)
def test_a_queue_program_answers_by_code_and_on_descriptor_6(
    home: str, tmp_path: object, code: int, custom: str, text: bytes
) -> None:
    recording = RecordingQueue(f"{tmp_path}/recording", code, custom)
    assert submit(home, variables={**recording.environment, **PATH})[1] == text


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("kill -9 $$", b"Zqq crashed (#4.3.0)"),
        ("exit 0", b"Zqq read error (#4.3.0)"),
        ("exec 0<&-; cat <&1 >/dev/null; exit 0", b"Zqq read error (#4.3.0)"),
        ("pwd >&6; cat >/dev/null; cat <&1 >/dev/null; exit 82", b"Zqq temporary problem (#4.3.0)"),
        ("exec 2>/dev/null; cat >/dev/null; cat <&1 >/dev/null; yes D | tr -d '\\n' >&6; exit 82", b"DDDDD"),
    ],
)
def test_a_queue_program_that_misbehaves_is_temporary(home: str, tmp_path: object, script: str, text: bytes) -> None:
    program = write(f"{tmp_path}/program", f"#!/bin/sh\n{script}\n", 0o755)
    assert submit(home, LONG, variables={"QMAILQUEUE": program, **PATH})[1].startswith(text)


def test_a_queue_program_that_is_missing_is_temporary(home: str) -> None:
    assert submit(home, variables={"QMAILQUEUE": "/nowhere/queue"})[1] == b"Zunable to exec qq (#4.3.0)"
    os.unlink(f"{home}/bin/qmail-queue")
    assert submit(home)[1] == b"Zunable to exec qq (#4.3.0)"


def test_a_replaced_qmail_queue_is_really_executed_from_the_home(home: str, tmp_path: object) -> None:
    script = f"#!/bin/sh\npwd > '{tmp_path}/where'\ncat > '{tmp_path}/message'\ncat <&1 > '{tmp_path}/envelope'\n"
    write(f"{home}/bin/qmail-queue", script, 0o755)
    assert submit(home, variables=PATH)[1] == b""
    with open(f"{tmp_path}/message", "rb") as message, open(f"{tmp_path}/where", encoding="utf-8") as where:
        assert message.read() == MESSAGE
        assert where.read().strip() == os.path.realpath(home)


def test_after_a_new_version_was_installed_its_qmail_queue_is_executed(home: str) -> None:
    shutil.copytree(LIBRARY, f"{home}/lib/new", symlinks=True)
    os.symlink(f"{home}/lib/new", f"{home}/lib/.current")
    os.rename(f"{home}/lib/.current", f"{home}/lib/current")
    with open_door(home):
        qp, text, pid = submit(home)
        assert text == b""
        assert qp != pid
        assert len(queued(home)) == 1


@pytest.mark.slow
def test_with_the_door_closed_it_waits_in_drop_or_says_so(home: str, tmp_path: Path) -> None:
    other = new_home(tmp_path / "other")
    shutil.rmtree(f"{other}/drop")
    with ThreadPoolExecutor() as both:  # each waits ten seconds for a door
        refused = both.submit(submit, other)
        qp, text, pid = submit(home)
    assert (qp, text) == (pid, b"")
    assert len(os.listdir(f"{home}/drop")) == 2
    text = refused.result()[1]
    assert text.startswith(b"Zthe door is closed (is qmail-queued running?) and ")
    assert text.endswith(b" (#4.3.0)")


def test_a_door_that_hangs_up_on_a_small_message_is_called_again(home: str) -> None:
    with open_door(home) as first:
        os.kill(first.process.pid, signal.SIGSTOP)
        results = []
        worker = threading.Thread(target=lambda: results.append(submit(home)))
        worker.start()
        wait_for(lambda: called(home), "the call")
        first.kill()
    with open_door(home):
        worker.join()
    assert results[0][1] == b""
    assert len(queued(home)) == 1


def called(home: str) -> bool:
    """Whether somebody waits before the door that does not move."""
    with open("/proc/net/unix", encoding="utf-8") as table:
        return sum(f"{home}/bin/../door/socket" in line for line in table) > 1


@pytest.mark.root
def test_root_in_a_classic_home_with_the_door_closed_uses_qmail_queue() -> None:
    home = "/var/qmail"
    run_setup("--home", home)
    library = os.path.realpath(f"{home}/lib/current")
    for content in (MESSAGE, LONG):
        process = subprocess.run(
            [INTERPRETER, "-IS", "-B", DRIVER, library, home, "one", "me", "you"],
            input=content,
            capture_output=True,
            check=False,
        )
        qp, text = process.stdout.splitlines()
        assert text == b"", process.stderr
        message = next(found for found in queued(home) if found.todo.pid == int(qp))
        assert message.body == content
        assert message.todo.uid == 0
    done = run(home, "sendmail", "-Nnever", "-R", "hdrs", "joe", message=MESSAGE, environment=PATH)
    assert (done.code, done.err) == (0, b"")
    assert queue(home, MESSAGE, b"Fme\0pRET=HDRS\0Tyou\0pNOTIFY=NEVER\0\0") == (0, b"")
    wished = [each.todo.parameters for each in queued(home) if each.todo.parameters is not None]
    assert [(each.message, each.recipients) for each in wished] == 2 * [(b"RET=HDRS", {0: b"NOTIFY=NEVER"})]
    assert litter(home) == []
