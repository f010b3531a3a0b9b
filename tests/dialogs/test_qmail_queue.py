"""qmail-queue, the real program, against a real door: exit codes, sentences, and what is in the queue then."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from qmailpy.wire.envelope import Envelope
from tests.queue_support import (
    ENVELOPE,
    INTERPRETER,
    LIBRARY,
    MESSAGE,
    RECIPIENT,
    SENDER,
    Door,
    call,
    is_empty,
    litter,
    new_home,
    open_door,
    queue,
    queued,
    start_queue,
)
from tests.support import NOBODY, read, run_setup, wait_for, wait_for_exit, write


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


@pytest.fixture
def door(home: str) -> Iterator[Door]:
    with open_door(home) as opened:
        yield opened


def refused(home: str, code: int, words: bytes, *arguments: object, **options: object) -> None:
    """It ends with this code and one line that has these words, and nothing is left in the queue."""
    got, said = queue(home, *arguments, **options)  # type: ignore[arg-type]
    assert got == code, said
    assert said.startswith(b"qmail-queue: fatal: ")
    assert said.count(b"\n") == 1
    assert words in said
    wait_for(lambda: is_empty(home), "an empty queue")


@pytest.mark.usefixtures("door")
def test_a_message_is_in_the_queue_when_it_exits_0(home: str) -> None:
    process = start_queue(home)
    assert process.communicate()[1] == b""
    assert process.returncode == 0
    [message] = queued(home)
    assert message.body == MESSAGE
    assert message.content.startswith(b"Received: (qmail %d invoked by uid %d); " % (process.pid, os.geteuid()))
    assert (message.todo.uid, message.todo.pid) == (os.geteuid(), process.pid)
    assert (message.todo.sender, message.todo.recipients) == (SENDER, [RECIPIENT])


@pytest.mark.usefixtures("door")
def test_the_files_are_byte_exact(home: str) -> None:
    process = start_queue(home, b"", Envelope(b"", [b"a", b"b b", b"\r\n\xff"]).encode())
    process.communicate()
    [message] = queued(home)
    todo = b"u%d\0p%d\0F\0Ta\0Tb b\0T\r\n\xff\0" % (os.geteuid(), process.pid)
    assert read(f"{home}/queue/todo/{message.number}") == todo
    assert message.body == b""


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("size", [1, 65535, 65536, 1 << 20, (1 << 20) + 1, 5_000_001])
def test_messages_of_every_size_come_whole(home: str, size: int) -> None:
    content = os.urandom(size)
    assert queue(home, content) == (0, b"")
    assert queued(home)[0].body == content


@pytest.mark.usefixtures("door")
def test_a_long_envelope_comes_whole(home: str) -> None:
    recipients = [b"%d@there.example" % number for number in range(50000)]
    assert queue(home, MESSAGE, Envelope(SENDER, recipients).encode()) == (0, b"")
    assert queued(home)[0].todo.recipients == recipients


@pytest.mark.usefixtures("door")
def test_no_recipients_are_legal_and_what_follows_the_envelope_is_ignored(home: str) -> None:
    assert queue(home, MESSAGE, b"Fa\0\0more") == (0, b"")
    assert queued(home)[0].todo.recipients == []


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(
    ("envelope", "code", "words"),
    [
        (b"", 54, b"envelope ended"),
        (b"F", 54, b"envelope ended"),
        (b"Fa\0Tb\0", 54, b"envelope ended"),
        (b"Fa\0Tb", 54, b"envelope ended"),
        (b"X", 91, b"envelope is not"),
        (b"Fa\0Xb\0\0", 91, b"envelope is not"),
        (b"\0", 91, b"envelope is not"),
        (b"Fa\0T" + b"b" * 2000 + b"\0\0", 11, b"1002 bytes"),
        (b"F" + b"a" * 1003 + b"\0\0", 11, b"1002 bytes"),
    ],
)
def test_a_bad_envelope_has_its_code(home: str, envelope: bytes, code: int, words: bytes) -> None:
    refused(home, code, words, MESSAGE, envelope)


@pytest.mark.usefixtures("door")
def test_a_bad_envelope_after_a_long_message_has_the_same_code(home: str) -> None:
    refused(home, 91, b"envelope is not", bytes(3 << 20), b"X")


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("descriptor", [0, 1])
def test_a_closed_descriptor_is_54(home: str, descriptor: int) -> None:
    shell = f'exec "$0" {descriptor}<&-'
    with (
        open(write(f"{home}/../message", MESSAGE), "rb") as message,
        open(write(f"{home}/../env", ENVELOPE)) as envelope,
    ):
        done = subprocess.run(
            ["sh", "-c", shell, f"{home}/bin/qmail-queue"],
            stdin=message,
            stdout=envelope,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 54
    assert done.stderr.startswith(b"qmail-queue: fatal: ")
    assert is_empty(home)


@pytest.mark.usefixtures("door")
def test_all_descriptors_closed_is_an_error_and_no_queue_file_is_hit(home: str) -> None:
    done = subprocess.run(["sh", "-c", 'exec "$0" 0<&- 1<&- 2<&-', f"{home}/bin/qmail-queue"], check=False)
    assert done.returncode == 54
    assert is_empty(home)


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("as_message", [True, False])
def test_a_directory_as_message_or_envelope_is_refused_with_a_sentence(home: str, as_message: bool) -> None:
    # the interpreter itself refuses to start then, with a sentence of its own and exit code 1, which all submitters
    # take for "later": see PIC/decisions/differences.md
    folder = os.open(home, os.O_RDONLY)
    try:
        code, said = queue(home, folder) if as_message else queue(home, MESSAGE, folder)
    finally:
        os.close(folder)
    assert code in (1, 54)
    assert b"s a directory" in said
    assert is_empty(home)


@pytest.mark.usefixtures("door")
def test_an_envelope_that_can_only_be_written_is_54(home: str) -> None:
    read_end, write_end = os.pipe()
    try:
        refused(home, 54, b"unable to read the envelope on descriptor 1", MESSAGE, write_end)
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.usefixtures("door")
def test_a_message_that_ends_by_the_death_of_its_writer_needs_an_envelope_all_the_same(home: str) -> None:
    reads, writes = os.pipe(), os.pipe()
    process = start_queue(home, reads[0], writes[0])
    for end in (reads[0], writes[0]):
        os.close(end)
    os.write(reads[1], MESSAGE)
    os.close(reads[1])
    os.close(writes[1])
    process.communicate()
    assert process.returncode == 54
    assert is_empty(home)


@pytest.mark.usefixtures("door")
def test_non_blocking_descriptors_are_waited_for(home: str) -> None:
    reads, writes = os.pipe(), os.pipe()
    os.set_blocking(reads[0], False)
    os.set_blocking(writes[0], False)
    process = start_queue(home, reads[0], writes[0])
    for end in (reads[0], writes[0]):
        os.close(end)
    wait_for(lambda: b"poll" in read(f"/proc/{process.pid}/wchan") or process.poll() is not None, "it to wait")
    for end, content in ((reads[1], MESSAGE), (writes[1], ENVELOPE)):
        os.write(end, content)
        os.close(end)
    assert process.communicate()[1] == b""
    assert queued(home)[0].body == MESSAGE


def test_a_day_without_end_is_52(home: str) -> None:
    changed = f"""
import sys
sys.path.insert(0, {LIBRARY!r})
from qmailpy.programs import start
from qmailpy.skeletons import queue_face
queue_face.DEATH = 0.2
start("qmail-queue", {home!r})
"""
    with open_door(home):
        for size in (10, 2_000_000):  # waiting before the door is called, and in the middle of a long message
            process = subprocess.Popen([INTERPRETER, "-IS", "-c", changed], stdin=subprocess.PIPE)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(bytes(size))
            assert wait_for_exit(process) == 52
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        wait_for(lambda: is_empty(home), "an empty queue")


def test_no_home_is_61(tmp_path: object) -> None:
    home = new_home(tmp_path)
    code, said = queue(home, env={"QMAILHOME": f"{tmp_path}/nowhere"})
    assert code == 61
    assert b"unable to chdir" in said


@pytest.mark.usefixtures("door")
def test_a_queue_that_is_missing_is_62(home: str) -> None:
    os.rename(f"{home}/queue", f"{home}/away")
    code, said = queue(home)
    assert (code, said) == (62, b"qmail-queue: fatal: unable to use %s/queue: file does not exist\n" % door_home(home))
    os.rename(f"{home}/away", f"{home}/queue")
    assert queue(home)[0] == 0


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(("folder", "code"), [("pid", 63), ("mess", 64), ("intd", 65), ("todo", 66)])
def test_a_folder_of_the_queue_that_is_missing_has_its_code(home: str, folder: str, code: int) -> None:
    os.rename(f"{home}/queue/{folder}", f"{home}/queue/away")
    got, said = queue(home)
    assert got == code
    assert b"unable to create " in said
    os.rename(f"{home}/queue/away", f"{home}/queue/{folder}")
    assert is_empty(home)


def door_home(home: str) -> bytes:
    return f"{home}/bin/..".encode()


@pytest.mark.root
def test_a_queue_of_somebody_else_is_62(tmp_path: object) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        os.chown(f"{home}/queue", 12345, -1)
        refused(home, 62, b"belongs to uid 12345")


@pytest.mark.root
def test_a_full_disk_is_53_and_there_is_room_again_afterwards(tmp_path: object) -> None:
    home = new_home(tmp_path)
    shutil.rmtree(f"{home}/queue")
    small = f"{tmp_path}/small"
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", small], check=True)
    os.rename(new_home(f"{small}/x") + "/queue", f"{small}/queue")
    os.symlink(f"{small}/queue", f"{home}/queue")
    with open_door(home):
        refused(home, 53, b"out of disk space", bytes(800_000) + bytes(800_000))
        refused(home, 53, b"out of disk space", bytes(5_000_000))
        assert queue(home, bytes(600_000))[0] == 0


@pytest.mark.usefixtures("door")
def test_a_message_over_queuebytes_is_31_and_82_with_text_for_who_listens(home: str, door: Door) -> None:
    write(f"{home}/control/queuebytes", "100\n")
    door.process.send_signal(1)
    wait_for(lambda: queue(home, bytes(101))[0] == 31, "the limit to be known")
    refused(home, 31, b"message larger than control/queuebytes allows (#5.3.4)", bytes(101))
    refused(home, 31, b"message larger than control/queuebytes allows (#5.3.4)", bytes(9_000_000))
    code, said, text = queue_with_listener(home, bytes(101))
    assert (code, said, text) == (82, b"", b"Dmessage larger than control/queuebytes allows (#5.3.4)")
    assert queue(home, bytes(100))[0] == 0


def queue_with_listener(home: str, message: bytes) -> tuple[int, bytes, bytes]:
    """With a pipe on descriptor 6.  Result: exit code, what was said on 2, and on 6."""
    read_end, write_end = os.pipe()
    process = start_queue(home, message, preexec_fn=lambda: os.dup2(write_end, 6), pass_fds=[6])
    os.close(write_end)
    said = process.communicate()[1]
    with open(read_end, "rb") as listener:
        return process.returncode, said, listener.read()


def test_a_file_that_happens_to_be_descriptor_6_is_left_alone(home: str) -> None:
    write(f"{home}/control/queuebytes", "10\n")
    write(f"{home}/../message", MESSAGE)
    write(f"{home}/../envelope", ENVELOPE)
    shell = 'exec "$0" 6>>"$1/../precious" <"$1/../message" 1<"$1/../envelope"'
    command = ["sh", "-c", shell, f"{home}/bin/qmail-queue", home]
    with open_door(home):
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 31
    assert read(f"{home}/../precious") == b""


def test_a_door_that_opens_within_seconds_is_waited_for(home: str) -> None:
    process = start_queue(home)
    wait_for(lambda: b"nanosleep" in read(f"/proc/{process.pid}/wchan") or process.poll() is not None, "it to wait")
    with open_door(home):
        assert wait_for_exit(process) == 0
        process.communicate()
        assert len(queued(home)) == 1
        assert os.listdir(f"{home}/drop") == ["aside"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 3_000_000])
def test_with_the_door_closed_the_message_waits_in_drop_for_the_next_door(home: str, size: int) -> None:
    content = os.urandom(size)
    assert queue(home, content) == (0, b"")
    assert is_empty(home)
    assert len(os.listdir(f"{home}/drop")) == 2
    with open_door(home):
        wait_for(lambda: len(os.listdir(f"{home}/drop")) == 1, "drop/ to be taken in")
        [message] = queued(home)
    assert message.body == content
    assert message.todo.uid == os.geteuid()
    assert message.todo.pid > 1 << 22
    assert (message.todo.sender, message.todo.recipients) == (SENDER, [RECIPIENT])


@pytest.mark.slow
def test_with_the_door_closed_and_no_drop_it_is_56(home: str) -> None:
    shutil.rmtree(f"{home}/drop")
    refused(home, 56, b"the door is closed (is qmail-queued running?)")


def conversations(door: Door) -> int:
    """How many are inside: its sockets but the one it listens on."""
    folder = f"/proc/{door.process.pid}/fd"
    found = -1
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(f"{folder}/{name}").startswith("socket:")
    return found


def test_a_busy_door_is_waited_for_and_never_bypassed(home: str) -> None:
    with open_door(home, files=80) as door:
        # who has looked whether it is open may still be inside, and then the last of these would not be let in
        wait_for(lambda: conversations(door) == 0, "an empty door")
        with contextlib.ExitStack() as inside:
            for _ in range(8):
                inside.enter_context(call(home))
            wait_for(lambda: conversations(door) == 8, "all of them to be inside")
            process = start_queue(home)
            wait_for(
                lambda: b"nanosleep" in read(f"/proc/{process.pid}/wchan") or process.poll() is not None, "a retry"
            )
            assert process.poll() is None
        assert wait_for_exit(process) == 0
        process.communicate()
        assert len(queued(home)) == 1
    assert os.listdir(f"{home}/drop") == ["aside"]


def test_a_long_message_whose_door_closes_is_74_although_its_writer_is_silent(home: str) -> None:
    with open_door(home, settings="server._BOUND = 0.2") as door:
        reads = os.pipe()
        process = start_queue(home, reads[0])
        os.close(reads[0])
        for _ in range(32):
            os.write(reads[1], bytes(65536))
        wait_for(lambda: litter(home), "the beginning of the message to be in mess/")
        assert door.stop() == 0
        assert b"communication with mail server failed" in process.communicate()[1]
        assert process.returncode == 74
        os.close(reads[1])
    assert is_empty(home)


def test_a_signal_from_a_terminal_does_not_end_a_submission(home: str) -> None:
    with open_door(home):
        reads = os.pipe()
        process = start_queue(home, reads[0])
        os.close(reads[0])
        wait_for(lambda: b"pipe" in read(f"/proc/{process.pid}/wchan") or process.poll() is not None, "it to read")
        for number in (1, 2, 3, 13, 24, 25, 26, 27):
            process.send_signal(number)
        os.write(reads[1], MESSAGE)
        os.close(reads[1])
        assert wait_for_exit(process) == 0
        process.communicate()
        assert queued(home)[0].body == MESSAGE


@pytest.mark.root
def test_root_with_the_door_closed_becomes_qmailq_and_writes_himself() -> None:
    home = "/var/qmail"
    run_setup("--home", home)
    process = start_queue(home)
    assert process.communicate()[1] == b""
    assert process.returncode == 0
    [message] = queued(home)
    assert message.body == MESSAGE
    assert message.content.startswith(b"Received: (qmail %d invoked by uid 0); " % process.pid)
    assert (message.todo.uid, message.todo.pid) == (0, process.pid)
    owner = pwd.getpwnam("qmailq").pw_uid
    for path in (f"mess/{message.number % 23}", "todo", "intd"):
        assert os.stat(f"{home}/queue/{path}/{message.number}").st_uid == owner
    assert litter(home) == []
    os.chown(f"{home}/queue", 0, -1)
    code, said = queue(home)
    assert code == 62
    assert b"belongs to uid 0" in said


@pytest.mark.root
def test_a_classic_door_knows_its_callers() -> None:
    home = "/var/qmail"
    run_setup("--home", home)
    words = {"alias": b"by alias", "qmaild": b"from network", "qmails": b"for bounce", "nobody": b"by uid %d" % NOBODY}
    with open_door(home):
        for name, who in words.items():
            uid = pwd.getpwnam(name).pw_uid
            process = start_queue(home, user=uid, group=pwd.getpwnam(name).pw_gid, extra_groups=[])
            assert process.communicate()[1] == b""
            message = next(found for found in queued(home) if found.todo.uid == uid)
            assert b" invoked " + who + b"); " in message.content.partition(b"\n")[0]
            assert os.stat(f"{home}/queue/todo/{message.number}").st_uid == pwd.getpwnam("qmailq").pw_uid
