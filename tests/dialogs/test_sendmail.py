"""sendmail, mailq, newaliases as any program runs them, once in one process and once with everything exec'ed."""

import os
from pathlib import Path

import pytest

from tests.inject_support import HOST, Done, fields_of, run
from tests.support import RecordingQueue, bare_home, write

SAMPLE = b"To: joe\nSubject: hello\n\nbody\n.\nmore\n"
USAGE = b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n"
DAEMONS = b"qmail-start starts the daemons, tcpserver an SMTP server\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"), me=HOST)


@pytest.fixture
def queue(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(str(tmp_path / "queue"))


@pytest.fixture(params=[{}, {"QMAILEXEC": "1"}], ids=["resident", "executed"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    found: dict[str, str] = request.param
    return found


def send(
    home: str, queue: RecordingQueue, way: dict[str, str], *words: str | bytes, message: bytes | None = SAMPLE
) -> Done:
    return run(home, "sendmail", *words, message=message, environment={**queue.environment, **way})


def test_t_takes_recipients_from_the_header_and_a_dot_is_no_end(
    home: str, queue: RecordingQueue, way: dict[str, str]
) -> None:
    done = send(home, queue, way, "-t", "-oi")
    assert (done.code, done.out, done.err) == (0, b"", b"")
    [(message, envelope)] = queue.messages
    assert envelope == b"Fjoe@mail.example.com\0Tjoe@mail.example.com\0\0"
    assert message.endswith(b"\n\nbody\n.\nmore\n")
    assert fields_of(message)[2:] == [b"From: joe@mail.example.com", b"To: joe@mail.example.com", b"Subject: hello"]


def test_without_t_only_arguments_are_recipients(home: str, queue: RecordingQueue, way: dict[str, str]) -> None:
    assert send(home, queue, way, "-i", "fred", "--", "-t").code == 0
    assert (
        queue.messages[0][1]
        == b"Fjoe@mail.example.com\0Tfred@mail.example.com\0T--@mail.example.com\0T-t@mail.example.com\0\0"
    )


def test_f_and_F_say_who_it_is_from(home: str, queue: RecordingQueue, way: dict[str, str]) -> None:  # noqa: N802
    assert send(home, queue, way, "-FJoe B.", "-f", "a@b.c", "x").code == 0
    [(message, envelope)] = queue.messages
    assert envelope == b"Fa@b.c\0Tx@mail.example.com\0\0"
    assert b'\nFrom: "Joe B." <a@b.c>\n' in message


def test_the_null_sender_in_both_spellings(home: str, queue: RecordingQueue, way: dict[str, str]) -> None:
    for sender in ("", "<>"):
        assert send(home, queue, way, "-f", sender, "x").code == 0
    for message, envelope in queue.messages:
        assert envelope == b"F\0Tx@mail.example.com\0\0"
        assert b"\nFrom: joe@mail.example.com\n" in message


EXITS = [
    (("-y",), b"", 64, b"sendmail: illegal option -- y\n" + USAGE),
    (("-f",), b"", 64, b"sendmail: option requires an argument -- f\n" + USAGE),
    (("-t",), b"From: (\n", 65, b"qmail-inject: fatal: unable to parse this line:\nFrom: (\n"),
    (("-bd",), b"", 69, b"sendmail: fatal: -bd is not for sendmail: " + DAEMONS),
    (("-bv", "x"), b"", 69, b"sendmail: fatal: -bv is not available\n"),
    (("x",), None, 75, b"qmail-inject: fatal: read error\n"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message", "code", "text"), EXITS)
def test_it_ends_with_the_codes_of_sysexits(
    home: str,
    queue: RecordingQueue,
    way: dict[str, str],
    words: tuple[str, ...],
    message: bytes | None,
    code: int,
    text: bytes,
) -> None:
    done = send(home, queue, way, *words, message=message)
    assert (done.code, done.err) == (code, text)
    assert queue.messages == []


def test_smtp_without_a_server_says_so_and_with_one_becomes_it(
    home: str, queue: RecordingQueue, way: dict[str, str]
) -> None:
    if os.path.exists(f"{home}/bin/qmail-smtpd"):
        os.unlink(f"{home}/bin/qmail-smtpd")
    done = send(home, queue, way, "-bs")
    assert (done.code, done.err) == (69, b"sendmail: fatal: -bs is not available: qmail-smtpd is not installed\n")
    write(
        f"{home}/bin/qmail-smtpd", '#!/bin/sh\necho "$PROTO $TCPREMOTEIP ${RELAYCLIENT-no} $DATABYTES"\nexit 3\n', 0o755
    )
    done = send(home, queue, way, "-bs")
    assert (done.code, done.out) == (3, b"TCP 127.0.0.1  0\n")
    done = run(home, "sendmail", "-bs", environment={"PROTO": "TCP", **way})
    assert done.out == b"TCP  no \n"


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (100, 65), (111, 75), (77, 77), (1, 75), (120, 75)])
def test_what_was_put_in_the_place_of_qmail_inject_is_executed(home: str, code: int, expected: int) -> None:
    write(f"{home}/bin/qmail-inject", f'#!/bin/sh\necho "$@"\nexit {code}\n', 0o755)
    done = run(home, "sendmail", "-t", "-f", "a@b.c", "x y")
    assert (done.code, done.out) == (expected, b"-H -f a@b.c -- x y\n")


def test_a_qmail_inject_that_is_gone_is_temporary(home: str) -> None:
    os.unlink(f"{home}/bin/qmail-inject")
    done = run(home, "sendmail", "x")
    assert (done.code, done.err) == (75, b"sendmail: fatal: unable to run qmail-inject\n")


def test_q_pulls_the_trigger(home: str) -> None:
    trigger = os.open(f"{home}/queue/lock/trigger", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(home, "sendmail", "-q").code == 0
        assert os.read(trigger, 10) == b"\0"
    finally:
        os.close(trigger)
    assert run(home, "sendmail", "-q30m").code == 0  # nobody listens: nothing to wake


def test_there_is_no_aliases_file_to_rebuild(home: str, way: dict[str, str]) -> None:
    for name, words in (("newaliases", ()), ("sendmail", ("-bi",)), ("sendmail", ("-I",))):
        done = run(home, name, *words, environment=way)
        assert done.code == 69
        assert done.err.startswith(b"newaliases: fatal: there is no aliases file to rebuild: ")


def test_help_is_printed(home: str) -> None:
    done = run(home, "sendmail", "--help")
    assert (done.code, done.out) == (0, b"usage: " + USAGE.partition(b"usage: ")[2])
