"""Injection from wherever a program may be: the right exit code, a sentence, nothing half queued, no traceback.

What needs another uid or namespaces of its own is in tests/privilege/test_injection.py.
"""

import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inject_support import HOST, Done, run
from tests.queue_support import is_empty, litter, new_home, open_door, queued
from tests.support import PATH, RecordingQueue, bare_home, read, wait_for, write

FIELDS = b"Subject: report\n"
SENTENCES = {
    "nobody": b"sendmail: fatal: no recipients: name them after the options, or use -t to take them from the header\n",
    "nobody in it": b"qmail-inject: fatal: no recipients: there is nobody in To, Cc or Bcc, and no argument\n",
    "closed": b"qmail-inject: fatal: read error\n",
}
EXEC = 'exec "$@"'

# words, message (None: descriptor 0 is closed), shell around it; exit code, sentence, how many recipients
CALLS = {
    "cron": (["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "joe"], FIELDS + b"\nx\n", 'exec env -i "$@"', 0, b"", 1),
    "smartd": (["-i", "joe"], b"To: joe\n" + FIELDS + b"\nx\n", 'cd / && exec "$@"', 0, b"", 1),
    "PHP": (["-t", "-i"], b"To: joe\r\nSubject: x\r\n\r\nbody\r\n", EXEC, 0, b"", 1),
    "stdin closed": (["joe"], None, EXEC, 75, SENTENCES["closed"], 0),
    "everything closed": (["joe"], None, 'exec "$@" >&- 2>&-', 75, b"", 0),
    "output closed": (["joe"], FIELDS, 'exec "$@" >&- 2>&-', 0, b"", 1),
    "an empty message": (["joe"], b"", EXEC, 0, b"", 1),
    "no recipients": ([], FIELDS, EXEC, 64, SENTENCES["nobody"], 0),
    "no recipients, options": (["-oi", "-f", "me@h.x"], FIELDS, EXEC, 64, SENTENCES["nobody"], 0),
    "no recipients in the header": (["-t"], FIELDS, EXEC, 65, SENTENCES["nobody in it"], 0),
    "an empty To": (["-t"], b"To: undisclosed-recipients:;\n\nx\n", EXEC, 65, SENTENCES["nobody in it"], 0),
    "no header": (["joe"], b"this is no header\nat all\n", EXEC, 0, b"", 1),
    "no header, and -t": (["-t"], b"this is no header: at all\n", EXEC, 65, SENTENCES["nobody in it"], 0),
    "binary": (["joe"], bytes(range(256)), EXEC, 0, b"", 1),
    "few descriptors": (["joe"], FIELDS, 'ulimit -n 8; exec "$@"', 0, b"", 1),
    "no files": (["joe"], FIELDS, 'ulimit -f 0; exec "$@"', 0, b"", 1),
    "a directory that is gone": (["joe"], FIELDS, 'mkdir g && cd g && rmdir ../g; exec "$@"', 0, b"", 1),
    "a strange locale": (["joe"], FIELDS, 'LC_ALL=xx_YY.koi PYTHONHOME=/x PYTHONPATH=/x exec "$@"', 0, b"", 1),
    "signals ignored": (["joe"], FIELDS, 'trap "" PIPE INT TERM CHLD HUP; exec "$@"', 0, b"", 1),
}


def call(home: str, name: str, cwd: str) -> tuple[Done, int]:
    """Make the call of this name.  Result: how it ended, and how many recipients it should have reached."""
    words, message, shell, _, _, recipients = CALLS[name]
    closed = "<&-" if message is None else ""
    command = ["/bin/sh", "-c", f"{shell} {closed}", "sh", f"{home}/bin/sendmail", *words]
    done = subprocess.run(
        command,
        input=message or b"",
        cwd=cwd,
        env={"PATH": PATH, "QMAILHOME": home, "USER": "joe"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr), recipients


@pytest.mark.parametrize("name", CALLS)
def test_every_call_ends_as_it_should(tmp_path: Path, name: str) -> None:
    home = new_home(tmp_path)
    _, _, _, code, sentence, _ = CALLS[name]
    with open_door(home):
        done, recipients = call(home, name, str(tmp_path))
        if "exec env -i" in CALLS[name][2]:  # which forgets QMAILHOME too: the launcher knows where it is
            assert os.path.realpath(f"{home}/bin") == f"{home}/bin"
        assert (done.code, done.out, done.err) == (code, b"", sentence)
        assert [len(message.todo.recipients) for message in queued(home)] == [1] * recipients
        assert litter(home) == []


def test_what_is_no_header_becomes_the_body(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        call(home, "no header", str(tmp_path))
        [message] = queued(home)
    assert message.body.endswith(b"\nCc: recipient list not shown: ;\n\nthis is no header\nat all\n")


def test_with_the_door_closed_and_no_drop_it_says_later(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    os.rmdir(f"{home}/drop/aside")
    os.rmdir(f"{home}/drop")
    began = time.monotonic()
    done = run(home, "sendmail", "joe", message=FIELDS)
    assert time.monotonic() - began < 30
    assert done.code == 75
    assert done.err.startswith(b"qmail-inject: fatal: ")
    assert b"qmail-queued" in done.err or b"door" in done.err, done.err
    assert done.err.count(b"\n") == 1
    assert is_empty(home)


def test_with_the_door_closed_the_message_waits_in_drop(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    assert run(home, "sendmail", "joe", message=FIELDS).code == 0
    assert is_empty(home)
    with open_door(home):
        [message] = wait_for(lambda: queued(home), "the message in the queue")
    assert b"\nSubject: report\n" in message.body


def test_a_full_disk_is_later(tmp_path: Path) -> None:
    home = bare_home(str(tmp_path / "home"), me=HOST)
    for code, expected in ((53, 75), (62, 75), (31, 65), (91, 75), (120, 75)):
        queue = RecordingQueue(str(tmp_path / f"queue{code}"), code)
        done = run(home, "sendmail", "joe", message=FIELDS, environment=dict(queue.environment))
        assert done.code == expected
        assert done.err.startswith(b"qmail-inject: fatal: ")


@pytest.mark.slow
def test_a_message_of_a_gigabyte_is_streamed(tmp_path: Path) -> None:
    home = bare_home(str(tmp_path / "home"), me=HOST)
    sink = write(f"{tmp_path}/sink", f"#!/bin/sh\nwc -c > '{tmp_path}/size'\ncat <&1 > /dev/null\n", 0o755)
    shell = '{ echo To: joe; echo; head -c 1000000000 /dev/zero; } | { ulimit -v 100000; exec "$@"; }'
    for program, words in (("sendmail", ["-t"]), ("qmail-inject", ["-f", "", "joe"])):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = run(home, program, *words, environment={"QMAILQUEUE": sink}, prefix=("/bin/sh", "-c", shell, "sh"))
        assert (done.code, done.err) == (0, b"")
        assert int(read(f"{tmp_path}/size")) > 1_000_000_000
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 30


@pytest.mark.slow
def test_more_than_the_queue_takes_is_refused_without_a_trace(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    write(f"{home}/control/queuebytes", "20000000\n")
    shell = '{ echo; head -c 1000000000 /dev/zero; } | { ulimit -v 100000; exec "$@"; }'
    with open_door(home):
        done = run(home, "sendmail", "joe", prefix=("/bin/sh", "-c", shell, "sh"))
        assert done.code == 65
        assert done.err.startswith(b"qmail-inject: fatal: message larger than control/queuebytes allows")
        wait_for(lambda: is_empty(home), "an empty queue")


# What makes it (when its turn has come: together they would be hundreds of MB); the answer, and what it says
HOSTILE: list[tuple[str, Callable[[], bytes], int, bytes]] = [
    ("a long line", lambda: b"X: " + b"a" * (100 << 20) + b"\n", 65, b"header too long: more than 64 MB"),
    ("a long address", lambda: b"To: " + b"a" * (10 << 20) + b"\n", 0, b""),  # the door would refuse it
    ("a million fields", lambda: b"a: b\n" * 1_000_000, 0, b""),
    ("a million folds", lambda: b"X: a\n" + b" b\n" * 1_000_000, 0, b""),
    ("a million fields to read", lambda: b"To: a\n" * 1_000_000, 65, b"too many addresses"),
    ("nested parentheses", lambda: b"To: " + b"(" * 100_000 + b")" * 100_000 + b"joe\n", 0, b""),
    ("open parentheses", lambda: b"To: " + b"(" * 100_000 + b"joe\n", 65, b"unable to parse this line:"),
    ("commas", lambda: b"To: " + b"," * (10 << 20) + b"\n", 65, b"too many addresses"),
    ("commas elsewhere", lambda: b"To: joe\nX: " + b"," * (10 << 20) + b"\n", 0, b""),
    ("quotes", lambda: b"To: " + b'"\\"' * (1 << 20) + b"\n", 65, b""),
    ("backslashes", lambda: b"To: joe\nFrom: " + b"\\" * (4 << 20) + b"\n", 65, b""),
    ("colons", lambda: b"To: joe\nCc: " + b"a:;" * 300_000 + b"\n", 0, b""),
    ("From_ lines", lambda: b"From x\n" * 300_000, 0, b""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "code", "text"), HOSTILE, ids=[row[0] for row in HOSTILE])
def test_a_hostile_header_costs_little_and_is_answered(
    tmp_path: Path, name: str, make: Callable[[], bytes], code: int, text: bytes
) -> None:
    header = make()
    home = bare_home(str(tmp_path / "home"), me=HOST)
    queue = RecordingQueue(str(tmp_path / "queue"))
    prefix = ("/bin/sh", "-c", 'ulimit -v 700000; ulimit -t 40; exec "$@"', "sh")
    words = ["-t", "joe"] if not header.startswith(b"To:") else ["-t"]
    done = run(home, "sendmail", *words, message=header, environment=dict(queue.environment), prefix=prefix)
    assert (done.code, done.out) == (code, b""), (name, done)
    assert text in done.err[:300]
    assert b"Traceback" not in done.err
    assert b"MemoryError" not in done.err
    assert len([1 for _, envelope in queue.messages if envelope]) == (code == 0)


UTF8 = "From: Jörg Müller <jörg@bücher.example>\nTo: 用户@例え.jp, Ünal <ü.nal@beispiel.example>\nX-Ü: ü\nSubject: ✉\n"


def test_utf8_addresses_and_headers_are_intact(tmp_path: Path) -> None:
    """RFC 6531, 6532: also where the sender is masqueraded, and in arguments.  A name of a field must be ASCII."""
    home = new_home(tmp_path)
    write(f"{home}/control/generic", "jörg@bücher.example:jürgen@öffentlich.example\n")
    header = UTF8.replace("X-Ü: ü\n", "")
    with open_door(home):
        done = run(home, "sendmail", "-t", "-f", "jörg@bücher.example", "δοκιμή@παράδειγμα", message=header.encode())
        assert (done.code, done.err) == (0, b"")
        [message] = queued(home)
    assert message.todo.sender == "jürgen@öffentlich.example".encode()
    assert message.todo.recipients[1:] == ["ü.nal@beispiel.example".encode(), "用户@例え.jp".encode()]
    assert message.todo.recipients[0].startswith("δοκιμή@παράδειγμα".encode())
    assert message.body.endswith("\nSubject: ✉\n".encode())
    assert "\nTo: 用户@例え.jp, Ünal <ü.nal@beispiel.example>\n".encode() in message.body
