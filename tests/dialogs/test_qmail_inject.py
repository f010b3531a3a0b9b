"""qmail-inject as any program runs it: exec'ed from bin/, a recording queue behind it."""

import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inject_support import HOST, Done, fields_of, run
from tests.support import PATH, RecordingQueue, bare_home, read

SAMPLE = b"To: joe\nSubject: hello\n\nbody\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    path = bare_home(str(tmp_path / "home"), me=HOST)
    Path(path, "control/defaultdomain").write_text("example.com\n")
    return path


@pytest.fixture
def queue(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(str(tmp_path / "queue"))


def inject(home: str, queue: RecordingQueue, *words: str | bytes, message: bytes | None = SAMPLE) -> Done:
    return run(home, "qmail-inject", *words, message=message, environment=dict(queue.environment))


def test_a_message_gets_what_it_lacks_and_an_envelope(home: str, queue: RecordingQueue) -> None:
    done = inject(home, queue)
    assert (done.code, done.out, done.err) == (0, b"", b"")
    [(message, envelope)] = queue.messages
    assert envelope == b"Fjoe@mail.example.com\0Tjoe@mail.example.com\0\0"
    expected = [b"Date:", b"Message-ID:", b"From: joe@mail.example.com", b"To: joe@mail.example.com", b"Subject: hello"]
    assert fields_of(message) == expected
    assert message.endswith(b"Subject: hello\n\nbody\n")


ARGUMENTS = [
    ((), b"To: a, b\n", b"b a"),
    (("x", "y"), b"To: a, b\n", b"x y"),
    (("-a",), b"To: a\n", b""),
    (("-a", "x"), b"To: a\n", b"x"),
    (("-h", "x"), b"To: a\n", b"a"),
    (("-H", "x"), b"To: a\nBcc: b\n", b"x a b"),
    (("-aA", "x"), b"To: a\n", b"x"),
    (("-h", "-A"), b"To: a\n", b"a"),
    (("a,b@c.d",), b"", b"a,b@c.d"),
    ((), b"", b""),
]


@pytest.mark.parametrize(("words", "header", "recipients"), ARGUMENTS)
def test_who_receives_it(
    home: str, queue: RecordingQueue, words: tuple[str, ...], header: bytes, recipients: bytes
) -> None:
    assert inject(home, queue, *words, message=header + b"\nx\n").code == 0
    expected = [name if b"@" in name else name + b"@mail.example.com" for name in recipients.split()]
    assert queue.messages[0][1].split(b"\0")[1:-2] == [b"T" + name for name in expected]


def test_f_is_the_sender_before_all_others(home: str, queue: RecordingQueue) -> None:
    assert inject(home, queue, "-f", "a,b@shop", message=b"Return-Path: x\nTo: y\n").code == 0
    assert queue.messages[0][1].startswith(b"Fa,b@shop.example.com\0")


def test_n_prints_and_does_not_queue(home: str, queue: RecordingQueue) -> None:
    done = inject(home, queue, "-n", "-f", "a b@h.x", message=b"To: joe\nBcc: secret\n\n8-bit \xff and NUL \0")
    assert done.code == 0
    assert done.out.startswith(b'Return-Path: <"a b"@h.x>\nDate: ')
    assert done.out.endswith(b"\nTo: joe@mail.example.com\n\n8-bit \xff and NUL \0\n")
    assert b"secret" not in done.out
    assert queue.messages == []
    assert inject(home, queue, "-nN").code == 0
    assert len(queue.messages) == 1


def test_a_body_is_passed_untouched_and_its_last_line_gets_its_end(home: str, queue: RecordingQueue) -> None:
    body = b"\n.\nFrom x\n\0\xff\r\n" + os.urandom(200_000).replace(b"\n", b"x") + b"end"
    assert inject(home, queue, "a", message=b"Subject: s\n" + body).code == 0
    assert queue.messages[0][0].partition(b"\nSubject: s\n")[2] == body + b"\n"


def test_a_header_without_its_end_gets_none(home: str, queue: RecordingQueue) -> None:
    assert inject(home, queue, message=b"to: joe").code == 0
    assert queue.messages[0][0].endswith(b"\nto: joe@mail.example.com\n")


BAD = [
    (("-x",), b"", 100, b"qmail-inject: illegal option -- x\n"),
    (("-f",), b"", 100, b"qmail-inject: option requires an argument -- f\n"),
    ((), b"From: (\n", 100, b"qmail-inject: fatal: unable to parse this line:\nFrom: (\n"),
    ((), b"To: (\n x\n\n", 100, b"qmail-inject: fatal: unable to parse this line:\nTo: (\n x\n"),
    (("a@)",), b"", 100, b"qmail-inject: fatal: unable to parse address: a@)\n"),
    (("-f", "a@b("), b"", 100, b"qmail-inject: fatal: unable to parse address: a@b(\n"),
    ((), None, 111, b"qmail-inject: fatal: read error\n"),
]


@pytest.mark.parametrize(("words", "message", "code", "text"), BAD)
def test_what_is_wrong_is_said_in_one_sentence(
    home: str, queue: RecordingQueue, words: tuple[str, ...], message: bytes | None, code: int, text: bytes
) -> None:
    done = inject(home, queue, *words, message=message)
    assert (done.code, done.out, done.err) == (code, b"", text)
    assert queue.messages == []


def test_a_field_for_others_that_cannot_be_read_is_left_as_it_is(home: str, queue: RecordingQueue) -> None:
    assert inject(home, queue, "-a", "joe", message=b"To: (\nCc: >\n\n").code == 0
    assert queue.messages[0][0].endswith(b"\nTo: (\nCc: >\n\n")


@pytest.mark.parametrize(("code", "expected", "text"), [(31, 100, b"mail server permanently"), (53, 111, b"qq write")])
def test_the_queue_decides_the_exit_code(tmp_path: Path, home: str, code: int, expected: int, text: bytes) -> None:
    done = inject(home, RecordingQueue(str(tmp_path / "refusing"), code))
    assert done.code == expected
    assert done.err.startswith(b"qmail-inject: fatal: " + text)


def test_a_queue_program_that_is_not_there_is_temporary(home: str) -> None:
    done = run(home, "qmail-inject", message=SAMPLE, environment={"QMAILQUEUE": "/nonexistent"})
    assert done.code == 111
    assert done.err.startswith(b"qmail-inject: fatal: ")


def test_addresses_in_bytes_that_are_no_utf8(home: str, queue: RecordingQueue) -> None:
    assert inject(home, queue, b"\xff\xfe@h.x", message=b"To: \xe9t\xe9@h.x\n").code == 0
    [(message, envelope)] = queue.messages
    assert envelope.endswith(b"\0T\xff\xfe@h.x\0\0")
    assert message.endswith(b"\nTo: \xe9t\xe9@h.x\n")


def test_utf8_passes_intact(home: str, queue: RecordingQueue) -> None:
    header = "From: Jörg <jörg@bücher.example>\nTo: 用户@例え.jp\nSubject: ü\n\n".encode()
    assert inject(home, queue, "-H", message=header).code == 0
    [(message, envelope)] = queue.messages
    assert message.endswith(header)
    assert envelope.endswith("T用户@例え.jp\0\0".encode())


def test_no_control_me_makes_names_that_nobody_has(home: str, queue: RecordingQueue) -> None:
    os.unlink(f"{home}/control/me")
    os.unlink(f"{home}/control/defaultdomain")
    assert inject(home, queue).code == 0
    assert queue.messages[0][1] == b"Fjoe@defaulthost.defaultdomain\0Tjoe@defaulthost.defaultdomain\0\0"


def test_a_control_file_that_cannot_be_read_is_temporary(home: str, queue: RecordingQueue) -> None:
    os.mkdir(f"{home}/control/plusdomain")
    done = inject(home, queue)
    assert done.code == 111
    assert done.err == b"qmail-inject: fatal: unable to read " + home.encode() + (
        b"/control/plusdomain: is a directory\n"
    )


def test_a_home_that_is_gone_is_temporary(home: str, queue: RecordingQueue, tmp_path: Path) -> None:
    environment = {**queue.environment, "QMAILHOME": str(tmp_path / "gone")}
    done = run(home, "qmail-inject", message=SAMPLE, environment=environment)
    assert (done.code, done.err) == (111, b"qmail-inject: fatal: internal bug\n")


def test_a_list_file_is_looked_for_where_the_caller_is(home: str, queue: RecordingQueue, tmp_path: Path) -> None:
    (tmp_path / "lists").write_text("joe@mail.example.com\n")
    prefix = ("/bin/sh", "-c", f'cd "{tmp_path}" && exec "$@"', "sh")
    environment = {**queue.environment, "QMAILMFTFILE": "lists"}
    assert run(home, "qmail-inject", message=SAMPLE, environment=environment, prefix=prefix).code == 0
    assert b"\nMail-Followup-To: joe@mail.example.com\n" in queue.messages[0][0]


def test_a_message_of_which_the_rest_cannot_be_read_is_not_queued(home: str, queue: RecordingQueue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            client.sendall(b"Subject: x\n\nbegun")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()  # as a reset, not as an end
            environment = {"QMAILHOME": home, "PATH": PATH, **queue.environment}
            done = subprocess.run(
                [f"{home}/bin/qmail-inject", "joe"],
                stdin=ours.fileno(),
                env=environment,
                capture_output=True,
                check=False,
            )
    assert (done.returncode, done.stderr) == (111, b"qmail-inject: fatal: read error\n")
    assert [envelope for _, envelope in queue.messages] in ([], [b""])


def test_nobody_reading_the_print_is_no_traceback(home: str) -> None:
    done = run(home, "qmail-inject", "-n", message=SAMPLE, prefix=("/bin/sh", "-c", 'exec "$@" > /dev/full', "sh"))
    assert (done.code, done.err) == (111, b"qmail-inject: fatal: unable to write: out of disk space\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (lambda: b"X: " + b"a" * (100 << 20) + b"\n", 100, b"header too long: more than 64 MB"),
        (lambda: b"To: " + b"a," * (3 << 20) + b"\n", 100, b"too many addresses in the header: send several messages"),
        (lambda: b"To: joe\nX: " + b"a" * (60 << 20) + b"\n", 0, b""),
        (lambda: b"To: joe\n" + b"a: b\n" * 1_000_000, 0, b""),
        (lambda: b"To: " + b"(" * 100_000 + b")" * 100_000 + b"joe\n", 0, b""),
        (lambda: b"To: " + b"(" * 100_000 + b"joe\n", 100, b"unable to parse this line:"),
        (lambda: b"To: " + b"user@example.org,\n " * 100_000 + b"joe\n", 0, b""),
    ],
    ids=["long line", "commas", "long but fair", "a million fields", "nested", "unterminated", "100000 addresses"],
)
def test_a_hostile_header_costs_bounded_memory(
    home: str, queue: RecordingQueue, make: Callable[[], bytes], code: int, text: bytes
) -> None:
    prefix = ("/bin/sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh")
    done = run(home, "qmail-inject", message=make(), environment=dict(queue.environment), prefix=prefix)
    assert done.code == code
    assert text in done.err[:200]


@pytest.mark.slow
def test_a_body_of_any_size_needs_no_memory(home: str, tmp_path: Path) -> None:
    sink = tmp_path / "sink"
    sink.write_text(f"#!/bin/sh\nwc -c > '{tmp_path}/size'\ncat <&1 > /dev/null\n")
    sink.chmod(0o755)
    prefix = ("/bin/sh", "-c", '{ echo; head -c 300000000 /dev/zero; } | { ulimit -v 200000; exec "$@"; }', "sh")
    done = run(home, "qmail-inject", "joe", environment={"QMAILQUEUE": str(sink)}, prefix=prefix)
    assert done.code == 0, done
    assert int(read(str(tmp_path / "size"))) > 300_000_000
