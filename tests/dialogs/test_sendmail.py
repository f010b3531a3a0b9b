"""sendmail, mailq, newaliases as any program runs them, once in one process and once with everything exec'ed."""

import os
from pathlib import Path

import pytest

from tests.inject_support import HOST, Done, fields_of, run
from tests.queue_support import open_door
from tests.support import RecordingQueue, bare_home, write

SAMPLE = b"To: joe\nSubject: hello\n\nbody\n.\nmore\n"
USAGE = b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n"
DAEMONS = b"qmail is not running here: qmail-start starts it, under a supervisor (INSTALL)\n"


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
    (("-bd", "-q30m", "-bd"), b"", 69, b"sendmail: fatal: -bd: " + DAEMONS),
    (("-bmalware", "x"), b"", 69, b"sendmail: fatal: -bmalware is not available: Exim has it, and nobody else\n"),
    (("-bv",), b"", 64, b"sendmail: fatal: -bv: whose address?\n"),
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
        assert done.code == 66
        assert done.err.startswith(b"newaliases: fatal: there is no file of aliases: ")


def test_help_is_printed(home: str) -> None:
    done = run(home, "sendmail", "--help")
    assert (done.code, done.out) == (0, b"usage: " + USAGE.partition(b"usage: ")[2])


def test_bv_and_bt_explain_and_send_nothing(home: str, queue: RecordingQueue, way: dict[str, str]) -> None:
    write(f"{home}/control/locals", "here.example\n")
    write(f"{home}/control/smtproutes", "gone.example:error:nobody lives there\n")
    for option in ("-bv", "-bt", "-bvs"):
        done = send(home, queue, way, option, "-f", "a@b.c", "x@there.example")
        assert (done.code, done.err) == (0, b""), done
        assert done.out.startswith(b"x@there.example\n")
    done = send(home, queue, way, "-bt", message=b"x@there.example\n\n y@there.example \n")
    assert [line for line in done.out.splitlines() if not line.startswith(b" ")] == [
        b"x@there.example",
        b"y@there.example",
    ]
    assert send(home, queue, way, "-bv", "nobody-at-all@here.example").code in (67, 75)
    assert queue.messages == []


def test_bd_is_content_where_the_door_is_open(home: str, way: dict[str, str]) -> None:
    with open_door(home):
        for words in (("-bd", "-bd"), ("-q1h", "-bd"), ("-bl",), ("-bdf",)):
            done = run(home, "sendmail", *words, environment=way)
            assert (done.code, done.out, done.err) == (0, b"", b"")


def test_the_other_names_are_programs_of_their_own(home: str, queue: RecordingQueue, way: dict[str, str]) -> None:
    done = run(home, "send-mail", "-t", message=SAMPLE, environment={**queue.environment, **way})
    assert (done.code, done.err, len(queue.messages)) == (0, b"", 1)
    done = run(home, "send-mail", "-y")
    assert (done.code, done.err.splitlines()[0]) == (64, b"send-mail: illegal option -- y")
    for name, option, program in (("hoststat", "-bh", "qmail-tcpto"), ("purgestat", "-bH", "qmail-tcpok")):
        write(f"{home}/bin/{program}", f"#!/bin/sh\necho {program}\n", 0o755)
        for words in ((name,), ("sendmail", option)):
            done = run(home, *words, environment=way)
            assert (done.code, done.out, done.err) == (0, program.encode() + b"\n", b"")
    assert run(home, "runq", environment=way).code == 0
    done = run(home, "sendmail", "-bP", environment=way)
    assert b"My name is mail.example.com." in done.out


def test_wishes_that_a_queue_program_cannot_be_told_are_warned_of(
    home: str, queue: RecordingQueue, way: dict[str, str]
) -> None:
    done = send(home, queue, way, "-N", "success", "-Rhdrs", "-i", "joe")
    assert (done.code, done.err.count(b"\n"), len(queue.messages)) == (0, 1, 1)
    assert done.err.startswith(b"qmail-inject: warning: NOTIFY=SUCCESS RET=HDRS is not passed on: ")
    done = send(home, queue, way, "-N", "failure", "-R", "full", "-i", "joe")
    assert (done.code, done.err, len(queue.messages)) == (0, b"", 2)
    for _, envelope in queue.messages:
        assert envelope == b"Fjoe@mail.example.com\0Tjoe@mail.example.com\0\0"


UUCP = [
    (b"From joe Sat Nov 21 02:27:41 2026 remote from b.example\n", b"joe@b.example"),
    (b"From joe Sat Nov 21 02:27:41 2026 remote from b\n>From joe Sat remote from c.example\n", b"joe@c.example"),
    (b"From a!b.example!joe Sat Nov 21 02:27:41 2026\n", b"joe@b.example"),
    (b">From x@y.z Sat Nov 21 02:27:41 2026\n", b"x@y.z"),
    (b"From joe date date remote from pc\n", b"pc!joe@mail.example.com"),
    (b"From MAILER-DAEMON date\n", b""),
    (b"From <> date\n", b""),
    (b"", b"joe@mail.example.com"),
    (b"Fro: x\n", b"joe@mail.example.com"),
]


@pytest.mark.parametrize(("start", "sender"), UUCP)
def test_rmail_takes_the_sender_from_the_lines_before_the_header(
    home: str, queue: RecordingQueue, way: dict[str, str], start: bytes, sender: bytes
) -> None:
    message = start + b"Subject: s\n\nbody\nFrom x\n" + b"y" * 100_000 + b"\n"
    done = run(home, "rmail", "x@y.z", message=message, environment={**queue.environment, **way})
    assert (done.code, done.out, done.err) == (0, b"", b"")
    [(content, envelope)] = queue.messages
    assert envelope == b"F" + sender + b"\0Tx@y.z\0\0"
    assert content.endswith(b"Subject: s\n\nbody\nFrom x\n" + b"y" * 100_000 + b"\n")
    assert b"MBOX-Line" not in content


def test_rmail_without_recipients_or_input_fails(home: str, queue: RecordingQueue) -> None:
    assert run(home, "rmail", message=SAMPLE, environment=dict(queue.environment)).code == 64
    assert run(home, "rmail", "-y", "joe", message=SAMPLE, environment=dict(queue.environment)).code == 64
    done = run(home, "rmail", "joe", message=None, environment=dict(queue.environment))
    assert (done.code, done.err.count(b"\n")) == (75, 1)
    endless = b"From " + b"x" * 100_000
    assert run(home, "rmail", "-f", "", "joe", message=endless, environment=dict(queue.environment)).code == 0
    assert [envelope for _, envelope in queue.messages] == [b"F\0Tjoe@mail.example.com\0\0"]
