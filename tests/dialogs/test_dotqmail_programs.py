"""The programs for .qmail, really executed: each exit code and sentence of spec/01-programs.md 3."""

import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.support import CHECKOUT, RecordingQueue, wait_for, wait_for_exit, write

ENVIRONMENT = {
    "USER": "joe",
    "LOCAL": "joe",
    "HOST": "example.org",
    "SENDER": "a@b.org",
    "NEWSENDER": "joe-owner@example.org",
    "DTLINE": DTLINE.decode(),
    "RPLINE": "Return-Path: <a@b.org>\n",
    "UFLINE": "From a@b.org Sat Nov 21 02:27:41 2026\n",
}
HEAD = "".join(ENVIRONMENT[name] for name in ("UFLINE", "RPLINE", "DTLINE")).encode()
LARGE = b"Subject: large\n\n" + b"x" * 62 + b"\n"
LARGE += (b"y" * 62 + b"\n") * 20000  # more than a pipe holds


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    joe = joe_in(str(tmp_path))
    joe.environment.update(ENVIRONMENT, PATH=f"{CHECKOUT}/bin:{joe.environment['PATH']}")
    return joe


@pytest.fixture
def queue(joe: Joe, tmp_path: Path) -> RecordingQueue:
    queue = RecordingQueue(f"{tmp_path}/queued")
    joe.environment.update(queue.environment)
    return queue


def refusing(joe: Joe, folder: Path, code: int) -> None:
    """The queue program exits with this code."""
    joe.environment.update(RecordingQueue(f"{folder}/refusing", code).environment)


def argv(*words: str | bytes) -> list[bytes]:
    name, *rest = [word.encode() if isinstance(word, str) else word for word in words]
    return [f"{CHECKOUT}/bin/".encode() + name, *rest]


def said(code: int, line: str) -> Done:
    return Done(code, b"", line.encode() + b"\n")


def script(joe: Joe, name: str, text: str) -> str:
    """A program of joe's.  Result: its path."""
    joe.put(name, text, 0o700)
    return f"{joe.home}/{name}"


def envelope(sender: bytes, *recipients: bytes) -> bytes:
    return b"F" + sender + b"\0" + b"".join(b"T" + one + b"\0" for one in recipients) + b"\0"


# forward


def test_forward_queues_the_message_with_our_line_for_all_addresses(joe: Joe, queue: RecordingQueue) -> None:
    done = joe.run(argv("forward", "x@y.org", b"\xff b"))
    assert (done.code, done.out) == (0, b"")
    assert done.err.startswith(b"forward: qp ")
    assert int(done.err.split()[-1]) > 0
    assert queue.messages == [(DTLINE + MESSAGE, envelope(b"joe-owner@example.org", b"x@y.org", b"\xff b"))]


def test_forward_takes_the_message_from_where_a_filter_left_it(joe: Joe, queue: RecordingQueue) -> None:
    done = joe.run([b"/bin/sh", b"-c", b"read -r line; sed s/body/changed/ | forward x@y.org"])
    assert done.code == 0
    assert [message for message, _ in queue.messages] == [DTLINE + b"\nchanged\n"]


def test_forward_sends_a_large_message_whole(joe: Joe, queue: RecordingQueue) -> None:
    assert joe.run(argv("forward", "x@y.org"), LARGE).code == 0
    assert [message for message, _ in queue.messages] == [DTLINE + LARGE]


def test_forward_to_nobody_is_a_mistake(joe: Joe, queue: RecordingQueue) -> None:
    assert joe.run(argv("forward")) == said(100, "forward: usage: forward address ...")
    assert queue.messages == []


@pytest.mark.parametrize(
    ("name", "words", "missing"),
    [
        ("forward", ["x@y"], "NEWSENDER"),
        ("forward", ["x@y"], "DTLINE"),
        ("condredirect", ["x@y", "true"], "SENDER"),
        ("condredirect", ["x@y", "true"], "DTLINE"),
        ("preline", ["cat"], "UFLINE"),
        ("preline", ["cat"], "RPLINE"),
        ("preline", ["cat"], "DTLINE"),
        ("qreceipt", ["joe@example.org"], "SENDER"),
        *(("qsmhook", ["cat"], one) for one in ("DTLINE", "RPLINE", "UFLINE", "LOCAL", "HOST", "SENDER")),
    ],
)
def test_a_missing_variable_is_named(
    joe: Joe, queue: RecordingQueue, name: str, words: list[str], missing: str
) -> None:
    del joe.environment[missing]
    assert joe.run(argv(name, *words)) == said(100, f"{name}: fatal: {missing} not set")
    assert queue.messages == []


@pytest.mark.parametrize(
    ("code", "expected", "sentence"),
    [
        (53, 111, "qq write error or disk full (#4.3.0)"),
        (31, 100, "mail server permanently rejected message (#5.3.0)"),
        (120, 111, "unable to exec qq (#4.3.0)"),
        (1, 111, "qq temporary problem (#4.3.0)"),
    ],
)
@pytest.mark.parametrize(
    "words", [["forward", "x@y"], ["condredirect", "x@y", "true"], ["qreceipt", "joe@example.org"]], ids=lambda w: w[0]
)
def test_what_the_queue_refuses_is_said(
    joe: Joe, tmp_path: Path, code: int, expected: int, sentence: str, words: list[str]
) -> None:
    refusing(joe, tmp_path, code)
    message = b"Notice-Requested-Upon-Delivery-To: joe@example.org\n\n"
    assert joe.run(argv(*words), message) == said(expected, f"{words[0]}: fatal: {sentence}")


def test_a_missing_queue_program_defers(joe: Joe) -> None:
    joe.environment["QMAILQUEUE"] = "/nonexistent"
    assert joe.run(argv("forward", "x@y")) == said(111, "forward: fatal: unable to exec qq (#4.3.0)")


def test_what_cannot_be_read_is_sent_to_nobody(joe: Joe, queue: RecordingQueue) -> None:
    descriptor = os.open(f"{joe.folder}/message", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        done = joe.run_on(argv("forward", "x@y"), descriptor)
    finally:
        os.close(descriptor)
    assert done == said(111, "forward: fatal: unable to read message: file descriptor not open")
    assert [pair[1] for pair in queue.messages] in ([], [b""])


# bouncesaying, condredirect, except: a question and an exit code

ANSWERS = [
    ("exit 0", 0),
    ("exit 1", 1),
    ("exit 99", 99),
    ("exit 100", 100),
    ("exit 111", 111),
    ("kill -9 $$", -9),
]


@pytest.mark.parametrize(("text", "answer"), ANSWERS)
def test_the_answer_decides(joe: Joe, queue: RecordingQueue, text: str, answer: int) -> None:
    program = script(joe, "ask", f"#!/bin/sh\n{text}\n")
    bounced = joe.run(argv("bouncesaying", "go away", program))
    redirected = joe.run(argv("condredirect", "x@y", program))
    excepted = joe.run(argv("except", program))
    if answer in (111, -9):
        words = "temporary child error" if answer == 111 else "child crashed"
        assert bounced == said(111, f"bouncesaying: fatal: {words}")
        assert redirected == said(111, f"condredirect: fatal: {words}")
        assert excepted == said(111, f"except: fatal: {words}")
    elif answer == 0:
        assert bounced == said(100, "go away")
        assert (redirected.code, redirected.out) == (99, b"")
        assert redirected.err.startswith(b"condredirect: qp ")
        assert excepted == Done(100, b"", b"")
    else:
        assert (bounced, redirected, excepted) == (Done(0, b"", b""),) * 3
    expected = [(DTLINE + MESSAGE, envelope(b"a@b.org", b"x@y"))]
    assert queue.messages == (expected if answer == 0 else [])


def test_bouncesaying_without_a_program_always_bounces(joe: Joe) -> None:
    assert joe.run(argv("bouncesaying", "This address is closed. (#5.1.1)")) == said(
        100, "This address is closed. (#5.1.1)"
    )


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["bouncesaying"], "bouncesaying: usage: bouncesaying error [ program [ arg ... ] ]"),
        (["condredirect"], "condredirect: usage: condredirect newaddress program [ arg ... ]"),
        (["condredirect", "x"], "condredirect: usage: condredirect newaddress program [ arg ... ]"),
        (["except"], "except: usage: except program [ arg ... ]"),
        (["preline"], "preline: usage: preline [ -frdFRD ] cmd [ arg ... ]"),
        (["preline", "-f"], "preline: usage: preline [ -frdFRD ] cmd [ arg ... ]"),
        (["qreceipt"], "qreceipt: usage: qreceipt deliveryaddress"),
        (["qsmhook"], "qsmhook: usage: qsmhook [ -DFMmnsPl ] [ -x prefix ] program [ arg ... ]"),
        (["predate"], "predate: usage: predate child"),
    ],
)
def test_usage(joe: Joe, words: list[str], usage: str) -> None:
    assert joe.run(argv(*words)) == said(100, usage)


@pytest.mark.parametrize("name", ["preline", "qsmhook"])
def test_an_unknown_option_is_named(joe: Joe, name: str) -> None:
    done = joe.run(argv(name, "-z", "cat"))
    assert done.code == 100
    assert done.err.startswith(f"{name}: illegal option -- z\n{name}: usage: ".encode())


def test_the_program_reads_the_message_and_so_does_who_comes_after(joe: Joe, queue: RecordingQueue) -> None:
    program = script(joe, "ask", "#!/bin/sh\ngrep -q ^Subject:\n")
    assert joe.run(argv("condredirect", "x@y", program)).code == 99
    assert queue.messages[0][0] == DTLINE + MESSAGE


def test_the_words_reach_the_program_as_they_are(joe: Joe) -> None:
    program = script(joe, "show", '#!/bin/sh\nprintf "<%s>" "$@"\nexit 1\n')
    for words in (["bouncesaying", "no"], ["condredirect", "x@y"], ["except"]):
        done = joe.run(argv(*words, program, "a b", "$HOME;`id`", b"\xff", ""))
        assert done == Done(0, b"<a b><$HOME;`id`><\xff><>", b"")


def test_a_message_on_a_pipe_cannot_be_redirected(joe: Joe, queue: RecordingQueue) -> None:
    done = joe.run([b"/bin/sh", b"-c", b"cat | condredirect x@y true"])
    assert done == said(111, "condredirect: fatal: unable to rewind: unseekable descriptor")
    assert queue.messages == []


@pytest.mark.parametrize("words", [["bouncesaying", "no"], ["condredirect", "x@y"], ["except"]], ids=lambda w: w[0])
def test_a_program_that_is_not_there_says_no_aloud(joe: Joe, queue: RecordingQueue, words: list[str]) -> None:
    script(joe, "local-one", "#!/bin/sh\nexit 0\n")  # in the current directory, which is not meant
    done = joe.run(
        [b"/bin/sh", b"-c", b'cd "$1"; shift; exec "$@"', b"sh", joe.home.encode(), *argv(*words, "local-one")]
    )
    assert done == said(0, "unable to run local-one: file does not exist")
    joe.put("closed", "#!/bin/sh\n", 0o600)
    assert joe.run(argv(*words, f"{joe.home}/closed")) == said(0, f"unable to run {joe.home}/closed: access denied")
    assert queue.messages == []


def test_a_script_without_its_first_line_is_the_shells(joe: Joe) -> None:
    program = script(joe, "old", "echo $0 $1; exit 0\n")
    assert joe.run(argv("except", program, "x")) == Done(100, f"{program} x\n".encode(), b"")


def test_the_program_gets_default_signals(joe: Joe) -> None:
    program = script(joe, "signals", "#!/bin/sh\ngrep SigIgn /proc/self/status; exit 3\n")
    done = joe.run(argv("except", program))
    assert int(done.out.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


# preline


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ([], HEAD),
        (["-f"], HEAD.partition(b"\n")[2]),
        (["-r"], HEAD.replace(b"Return-Path: <a@b.org>\n", b"")),
        (["-d"], HEAD.replace(DTLINE, b"")),
        (["-frd"], b""),
        (["-frd", "-F"], HEAD.partition(b"\n")[0] + b"\n"),
        (["-frd", "-RD"], HEAD.partition(b"\n")[2]),
        (["-fF"], HEAD),
        (["--"], HEAD),
    ],
)
def test_preline_puts_the_lines_of_an_mbox_first(joe: Joe, options: list[str], head: bytes) -> None:
    assert joe.run(argv("preline", *options, "cat")) == Done(0, head + MESSAGE, b"")


def test_options_behind_the_program_are_the_programs(joe: Joe) -> None:
    assert joe.run(argv("preline", "echo", "-f", "x")) == Done(0, b"-f x\n", b"")


@pytest.mark.parametrize("code", [0, 1, 67, 99, 100, 111, 255])
def test_preline_exits_with_the_programs_code(joe: Joe, code: int) -> None:
    assert joe.run(argv("preline", "sh", "-c", f"cat >/dev/null; exit {code}")).code == code


def test_a_program_that_does_not_want_all_of_it_is_content(joe: Joe) -> None:
    assert joe.run(argv("preline", "head", "-n", "1"), LARGE) == Done(0, HEAD.partition(b"\n")[0] + b"\n", b"")
    assert joe.run(argv("preline", "sh", "-c", "exit 75"), LARGE) == Done(75, b"", b"")
    assert joe.run(argv("preline", "sh", "-c", "exec <&-; exit 3"), LARGE) == Done(3, b"", b"")


def test_preline_passes_a_large_message_on(joe: Joe) -> None:
    assert joe.run(argv("preline", "cat"), LARGE) == Done(0, HEAD + LARGE, b"")


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        (["sh", "-c", "kill -9 $$"], 111, "child crashed"),
        (["no-such-program"], 100, None),
        (["/"], 100, None),
    ],
)
@pytest.mark.parametrize("name", ["preline", "qsmhook", "predate"])
def test_a_program_that_fails_to_run(joe: Joe, name: str, program: list[str], code: int, words: str | None) -> None:
    reason = "access denied" if program == ["/"] else "file does not exist"
    expected = words or f"unable to run {program[0]}: {reason}"
    code = 111 if name == "predate" else code
    assert joe.run(argv(name, *program)) == said(code, f"{name}: fatal: {expected}")


@pytest.mark.parametrize("name", ["preline", "qsmhook", "predate"])
def test_a_message_that_cannot_be_read_to_its_end_is_not_delivered_in_part(joe: Joe, name: str) -> None:
    write(f"{joe.home}/out", b"")
    joe.own(f"{joe.home}/out")
    program = script(joe, "deliver", f"#!/bin/sh\ncat >/dev/null && echo delivered > '{joe.home}/out'\n")
    done = joe.run([b"/bin/sh", b"-c", b'exec "$@" 0>/dev/null', b"sh", *argv(name, program)])
    assert done == said(111, f"{name}: fatal: unable to copy input: file descriptor not open")
    assert joe.file("out") == b""


# qsmhook


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ([], ENVIRONMENT["UFLINE"].encode()),
        (["-n"], b""),
        (["-nP"], b"Return-Path: <a@b.org>\n"),
        (["-l", "-P"], HEAD),
        (["-DFMms", "-n"], b""),
    ],
)
def test_qsmhook_puts_the_lines_that_are_wanted_first(joe: Joe, options: list[str], head: bytes) -> None:
    assert joe.run(argv("qsmhook", *options, "cat")) == Done(0, head + MESSAGE, b"")


@pytest.mark.parametrize(
    ("options", "word", "expected"),
    [
        ([], "%u@%h", b"Joe-x@example.org"),
        ([], "<%g>", b"<a@b.org>"),
        ([], "100%%", b"100%"),
        ([], "%%u", b"%u"),
        ([], "%z%", b""),
        ([], "a%zb%%%%c", b"ab%%c"),
        ([], "$(id)", b"$(id)"),
        (["-x", "jOE-"], "%u", b"x"),
        (["-x", "other"], "%u", b"Joe-x"),
        (["-xjoe", "-x-"], "%u", b"x"),
    ],
)
def test_qsmhook_fills_in_what_percent_letters_mean(joe: Joe, options: list[str], word: str, expected: bytes) -> None:
    joe.environment["LOCAL"] = "Joe-x"
    assert joe.run(argv("qsmhook", *options, "printf", "[%%s]", word)) == Done(0, b"[" + expected + b"]", b"")


def test_qsmhook_knows_a_senders_percent_signs_from_its_own(joe: Joe) -> None:
    joe.environment["SENDER"] = "%u%%@x"
    assert joe.run(argv("qsmhook", "echo", "%g")) == Done(0, b"%u%%@x\n", b"")


# qreceipt

NOTICE = b"""From: DELIVERY NOTICE SYSTEM <a@b.org>
To: <a@b.org>
Subject: success notice

Hi! This is the qreceipt program. Your message was delivered to the
following address: joe@example.org. Thanks for asking.
"""
REQUEST = b"Notice-Requested-Upon-Delivery-To: joe@example.org\n"


def test_who_asks_is_told(joe: Joe, queue: RecordingQueue) -> None:
    assert joe.run(argv("qreceipt", "joe@example.org"), REQUEST + b"\nbody") == Done(0, b"", b"")
    assert queue.messages == [(NOTICE, envelope(b"", b"a@b.org"))]


@pytest.mark.parametrize(
    "field",
    [
        REQUEST,
        b"notice-requested-upon-delivery-to : joe@example.org\n",
        b'Notice-Requested-Upon-Delivery-To: x@y,\n "Joe" <joe@example.org> (him),\n\tz@y\n',
        b"X: y\nNotice-Requested-Upon-Delivery-To: x@y\n" + REQUEST,
        b"Notice-Requested-Upon-Delivery-To: us: joe@example.org;\n",
    ],
)
def test_the_field_is_a_list(joe: Joe, queue: RecordingQueue, field: bytes) -> None:
    joe.run(argv("qreceipt", "joe@example.org"), field + b"Message-ID: <1@b>\n  (folded)\n\nbody\n")
    assert [message for message, _ in queue.messages] == [NOTICE + b"Your Message-ID: <1@b>\n  (folded)\n"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\n" + REQUEST,
        b"Notice-Requested-Upon-Delivery-To: Joe@example.org\n\n",
        b"Notice-Requested-Upon-Delivery-To: joe\n\n",
        b"X-" + REQUEST + b"\n",
        b"no field\n" + REQUEST,
    ],
)
def test_nobody_else_is(joe: Joe, queue: RecordingQueue, message: bytes) -> None:
    assert joe.run(argv("qreceipt", "joe@example.org"), message) == Done(0, b"", b"")
    assert queue.messages == []


@pytest.mark.parametrize("sender", ["", "#@[]"])
def test_a_bounce_gets_no_notice(joe: Joe, queue: RecordingQueue, sender: str) -> None:
    joe.environment["SENDER"] = sender
    assert joe.run(argv("qreceipt", "joe@example.org"), REQUEST + b"\n") == Done(0, b"", b"")
    assert queue.messages == []


def test_a_request_that_cannot_be_read_is_refused(joe: Joe, queue: RecordingQueue) -> None:
    field = b"Notice-Requested-Upon-Delivery-To: joe@example.org (\n"
    done = joe.run(argv("qreceipt", "joe@example.org"), field + b"\n")
    assert done == Done(100, b"", b"qreceipt: fatal: unable to parse this: " + field)
    assert queue.messages == []


def test_a_hostile_sender_writes_no_field_of_the_notice(joe: Joe, queue: RecordingQueue) -> None:
    joe.environment["SENDER"] = 'a"\nBcc: x@y'
    assert joe.run(argv("qreceipt", "joe@example.org"), REQUEST).code == 0
    assert b'\nTo: <"a\\"\\_Bcc: x"@y>\nSubject: ' in queue.messages[0][0]


# qbiff


@pytest.fixture
def terminal(joe: Joe) -> Iterator[tuple[int, str]]:
    """Our end of a terminal, and the path of joe's."""
    ours, his = pty.openpty()
    path = os.ttyname(his)
    os.chown(path, joe.uid, -1)
    os.set_blocking(ours, False)
    yield ours, path
    os.close(ours)
    os.close(his)


def shown(terminal: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(terminal, 4096)
    return b""


def test_a_user_who_wants_it_is_told_of_mail(joe: Joe, terminal: tuple[int, str]) -> None:
    os.chmod(terminal[1], 0o700)
    message = b"X: y\nSubject:  hello \x1b[2J\nTo: joe\n\nFirst\xff line\n" + b"z" * 100
    assert joe.run(argv("qbiff"), message, {"SENDER": "a\x07@b", "LOCAL": "joe-x"}) == Done(0, b"", b"")
    text = b"    hello /[2J//First/ line/" + b"z" * 50
    expected = b"\r\n\a*** TO <joe-x> FROM <a_@b>\r\n" + text + b"\r\n"
    assert len(text) == 78
    assert shown(terminal[0]).replace(b"\r\r\n", b"\r\n") == expected


def test_one_who_does_not_is_not(joe: Joe, terminal: tuple[int, str]) -> None:
    os.chmod(terminal[1], 0o620)
    assert joe.run(argv("qbiff")) == Done(0, b"", b"")
    assert shown(terminal[0]) == b""


@pytest.mark.skipif(os.getuid() != 0, reason="only root has a terminal that is somebody else's")
def test_anothers_terminal_is_let_alone(joe: Joe, terminal: tuple[int, str]) -> None:
    os.chmod(terminal[1], 0o777)
    os.chown(terminal[1], 0, -1)
    assert joe.run(argv("qbiff")) == Done(0, b"", b"")
    assert shown(terminal[0]) == b""


def test_qbiff_never_fails(joe: Joe) -> None:
    for missing in ("USER", "SENDER", "LOCAL"):
        environment = {name: value for name, value in joe.environment.items() if name != missing}
        joe.environment, kept = environment, joe.environment
        assert joe.run(argv("qbiff")) == Done(0, b"", b"")
        joe.environment = kept
    assert joe.run([b"/bin/sh", b"-c", b"qbiff <&-"]) == Done(0, b"", b"")


def test_a_terminal_that_stands_still_holds_no_mail_up(joe: Joe, terminal: tuple[int, str]) -> None:
    os.chmod(terminal[1], 0o700)
    full = os.open(terminal[1], os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(full, b"x" * 4096)
    os.close(full)
    assert joe.run(argv("qbiff")) == Done(0, b"", b"")


# through qmail-local


def delivery(joe: Joe, text: str, message: bytes = MESSAGE) -> Done:
    joe.put(".qmail", text)
    return joe.run(joe.argv(), message)


def test_a_delivery_forwards_through_a_filter(joe: Joe, queue: RecordingQueue) -> None:
    joe.put(".qmail-owner", "")
    done = delivery(joe, "|tr a-z A-Z | forward x@y.org\n")
    assert (done.code, done.out) == (0, b"did 0+0+1\n")
    assert done.err.startswith(b"forward: qp ")
    assert queue.messages[0][0].startswith(DTLINE + b"SUBJECT: HI\n")
    assert queue.messages[0][1].startswith(b"Fjoe-owner@example.org\0Tx@y.org\0")


def test_a_delivery_gives_procmail_its_lines(joe: Joe) -> None:
    assert delivery(joe, "|preline cat > got\n").code == 0
    lines = joe.file("got").split(b"\n", 3)
    assert lines[0].startswith(b"From a@b.org ")
    assert lines[1:3] == [b"Return-Path: <a@b.org>", DTLINE.rstrip(b"\n")]
    assert lines[3] == MESSAGE


def test_a_delivery_is_refused_only_if_a_test_says_so(joe: Joe) -> None:
    line = "|bouncesaying 'No lists here. (#5.7.1)' grep -q '^List-Id:'\n./Mailbox\n"
    assert delivery(joe, line) == Done(0, b"did 1+0+1\n", b"")
    assert delivery(joe, line, b"List-Id: x\n\n") == said(100, "No lists here. (#5.7.1)")
    assert joe.file("Mailbox").count(b"From a@b.org ") == 1


def test_a_delivery_that_was_redirected_ends_there(joe: Joe, queue: RecordingQueue) -> None:
    line = "|condredirect other@y.org grep -q '^X-Spam: yes'\n./Mailbox\n"
    done = delivery(joe, line, b"X-Spam: yes\n\n")
    assert (done.code, done.out) == (0, b"did 0+0+1\n")
    assert queue.messages == [(DTLINE + b"X-Spam: yes\n\n", envelope(b"a@b.org", b"other@y.org"))]
    assert not os.path.exists(f"{joe.home}/Mailbox")
    assert delivery(joe, line) == Done(0, b"did 1+0+1\n", b"")
    assert len(queue.messages) == 1
    assert joe.file("Mailbox").endswith(MESSAGE + b"\n")


def test_a_delivery_turns_a_test_round(joe: Joe) -> None:
    line = "|except grep -q '^X-Spam:'\n./Mailbox\n"
    assert delivery(joe, line).out == b"did 1+0+1\n"
    assert delivery(joe, line, b"X-Spam: yes\n\n") == Done(100, b"", b"")


def test_a_redirection_that_the_queue_cannot_take_is_tried_again(joe: Joe, tmp_path: Path) -> None:
    refusing(joe, tmp_path, 53)
    done = delivery(joe, "|condredirect x@y true\n./Mailbox\n")
    assert done == said(111, "condredirect: fatal: qq write error or disk full (#4.3.0)")
    assert not os.path.exists(f"{joe.home}/Mailbox")


def test_a_program_in_a_pipe_ends_with_its_message(joe: Joe) -> None:
    """Preline waits for its program, and a program for its input: neither holds a pipe's end that it does not need."""
    process = subprocess.Popen(
        argv("preline", "cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=joe.environment,
        cwd="/",
        **joe.identity,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(MESSAGE)
    process.stdin.flush()
    first = wait_for(lambda: os.read(process.stdout.fileno(), 4096) if process.stdout else b"", "its output")
    assert first.startswith(HEAD[:20])
    process.stdin.close()
    assert wait_for_exit(process) == 0
    process.stdout.close()
