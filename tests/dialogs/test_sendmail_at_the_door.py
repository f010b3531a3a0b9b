"""sendmail and qmail-inject with no queue program between them and the real door, in one process and exec'ed."""

import os
import signal
import subprocess
import time

import pytest

from tests.inject_support import HOST, fields_of, run
from tests.queue_support import LIBRARY, is_empty, new_home, open_door, queued
from tests.support import wait_for, wait_for_exit, write


@pytest.fixture(params=[{}, {"QMAILEXEC": "1"}], ids=["resident", "executed"])
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    found: dict[str, str] = request.param
    return found


@pytest.fixture
def home(tmp_path: object) -> str:
    path = new_home(tmp_path)
    write(f"{path}/control/me", HOST + "\n")
    return path


def test_a_message_is_in_the_queue_when_sendmail_ends(home: str, way: dict[str, str]) -> None:
    body = b"\n8-bit \xff\n.\nFrom x\n" + b"line\n" * 100 + b"end"
    with open_door(home):
        done = run(home, "sendmail", "-t", "-i", message=b"To: a, b\nBcc: c\nSubject: s\n" + body, environment=way)
        assert (done.code, done.out, done.err) == (0, b"", b"")
        done = run(home, "qmail-inject", "-f", "", "x@y.z", message=b"", environment=way)
        assert (done.code, done.err) == (0, b"")
        first, second = queued(home)
        if first.todo.sender == b"":
            first, second = second, first
    assert first.todo.sender == b"joe@mail.example.com"
    assert first.todo.recipients == [name + b"@mail.example.com" for name in (b"b", b"a", b"c")]
    assert fields_of(first.body)[2:] == [
        b"From: joe@mail.example.com",
        b"To: a@mail.example.com, b@mail.example.com",
        b"Subject: s",
    ]
    assert first.body.endswith(b"\nSubject: s\n" + body + b"\n")
    assert (second.todo.sender, second.todo.recipients) == (b"", [b"x@y.z"])


def test_a_large_message_is_streamed_whole(home: str, way: dict[str, str]) -> None:
    body = os.urandom(5 << 20).replace(b"\n", b"x") + b"\n"
    with open_door(home):
        assert run(home, "sendmail", "joe", message=b"Subject: s\n\n" + body, environment=way).code == 0
        [message] = queued(home)
    assert message.body.endswith(b"\nSubject: s\n\n" + body)


@pytest.mark.parametrize(("words", "code"), [(("a" * 1100,), 65), (("-f", "a" * 1100, "joe"), 65)])
def test_an_address_too_long_for_the_queue_is_permanent(
    home: str, way: dict[str, str], words: tuple[str, ...], code: int
) -> None:
    with open_door(home):
        done = run(home, "sendmail", *words, message=b"\nx\n", environment=way)
        assert done.code == code
        assert done.err.splitlines()[-1] == b"qmail-inject: fatal: envelope address too long for qq (#5.1.3)"
        assert is_empty(home)


def test_a_sendmail_that_is_killed_leaves_nothing(home: str) -> None:
    with open_door(home):
        environment = {"PATH": os.environ["PATH"], "QMAILHOME": home}
        sender = subprocess.Popen([f"{home}/bin/sendmail", "joe"], stdin=subprocess.PIPE, env=environment)
        assert sender.stdin is not None
        with sender.stdin as pipe:
            pipe.write(b"Subject: s\n\n" + b"x" * (3 << 20))  # more than it holds: a part is at the door
            sender.kill()
            sender.wait()
            try:
                pipe.flush()
            except BrokenPipeError:
                pass
        assert run(home, "sendmail", "joe", message=b"\n").code == 0  # the door has seen the first one go
        assert len(queued(home)) == 1


def test_a_message_that_the_door_refuses_early_is_not_read_to_its_end(home: str) -> None:
    write(f"{home}/control/queuebytes", "2000000\n")
    with open_door(home), open("/dev/zero", "rb") as endless:
        environment = {"PATH": os.environ["PATH"], "QMAILHOME": home}
        command = ["/bin/sh", "-c", '{ echo; cat; } | "$0" joe', f"{home}/bin/sendmail"]
        done = subprocess.run(command, stdin=endless, env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 65, done.stderr
        assert done.stderr.startswith(b"qmail-inject: fatal: ")
        assert is_empty(home)


def test_a_slow_writer_of_a_large_message_does_not_lose_the_door(home: str) -> None:
    settings = "door.IDLE = 0.5; server._CHORES = 0.1"
    with open_door(home, settings=settings):
        environment = {"PATH": os.environ["PATH"], "QMAILHOME": home}
        program = write(
            f"{home}/../sendmail",
            "#!/usr/bin/python3 -IS\nimport sys\nsys.path.insert(0, %r)\nfrom qmailpy.wire import door\n"
            "door.KEEP_ALIVE = 0.1\nfrom qmailpy.programs import start\nstart('sendmail', %r)\n" % (LIBRARY, home),
            0o755,
        )
        with subprocess.Popen([program, "joe"], stdin=subprocess.PIPE, env=environment) as sender:
            assert sender.stdin is not None
            sender.stdin.write(b"\n" + b"x" * (3 << 20))
            sender.stdin.flush()
            silent_until = time.monotonic() + 1.5  # three times what the door suffers
            wait_for(lambda: time.monotonic() > silent_until, "the end of a silence")
            sender.stdin.write(b"end\n")
            sender.stdin.close()
            assert wait_for_exit(sender) == 0
        [message] = queued(home)
    assert message.body.endswith(b"xend\n")


NEPAL = "import os, time; os.environ['TZ'] = 'XXX-5:45'; time.tzset()"


def test_date_and_received_are_in_local_time_where_the_control_file_says_so(home: str, way: dict[str, str]) -> None:
    def dates() -> tuple[bool, bool]:
        done = run(home, "sendmail", "joe", message=b"\n", environment={"TZ": "XXX8", **way})
        assert (done.code, done.err) == (0, b"")
        [message] = queued(home)
        for name in ("todo", "intd", f"mess/{message.number % 23}"):
            os.unlink(f"{home}/queue/{name}/{message.number}")
        received, _, rest = message.content.partition(b"\n")
        date = rest.partition(b"\n")[0]
        zones = [line.rpartition(b" ")[2] for line in (received, date)]
        assert zones[0] in (b"-0000", b"+0545")
        assert zones[1] in (b"-0000", b"-0800")
        return zones[0] != b"-0000", zones[1] != b"-0000"

    with open_door(home, settings=NEPAL) as door:
        assert dates() == (False, False)
        write(f"{home}/control/localtime", "1\n")
        assert dates() == (False, True)  # qmail-queued has not heard of it yet
        door.process.send_signal(signal.SIGHUP)
        wait_for(lambda: dates() == (True, True), "local time in Received")
        write(f"{home}/control/localtime", "0\n")
        assert dates() == (True, False)


def test_others_see_public_addresses_and_local_mail_stays_local(home: str, way: dict[str, str]) -> None:
    write(f"{home}/control/generic", "# public addresses\njoe:joe.doe@example.com\nroot:it@example.com\n")
    write(f"{home}/control/masquerade", "header example.com\nenvelope bounces@example.com\n")
    message = b"From: Ann <ann>\nTo: root, Joe <joe>\nReply-To: x@example.net\nSubject: s\n\nroot@mail.example.com\n"
    with open_door(home):
        assert run(home, "sendmail", "-t", message=message, environment=way).code == 0
        assert run(home, "sendmail", "-f", "ann", "root", message=b"\n", environment=way).code == 0
        assert run(home, "sendmail", "-f", "<>", "root", message=b"\n", environment=way).code == 0
        found = {message.todo.sender: message for message in queued(home)}
    assert sorted(found) == [b"", b"bounces@example.com", b"joe.doe@example.com"]
    first = found[b"joe.doe@example.com"]
    assert first.todo.recipients == [b"joe@mail.example.com", b"root@mail.example.com"]
    assert fields_of(first.body)[2:] == [
        b"From: Ann <ann@example.com>",
        b"To: it@example.com, Joe <joe.doe@example.com>",
        b"Reply-To: x@example.net",
        b"Subject: s",
    ]
    assert first.body.endswith(b"\n\nroot@mail.example.com\n")
    assert b"\nFrom: ann@example.com\n" in found[b"bounces@example.com"].body


def test_a_mistake_in_masquerading_sends_nothing(home: str, way: dict[str, str]) -> None:
    write(f"{home}/control/generic", "joe joe.doe@example.com\n")
    with open_door(home):
        done = run(home, "sendmail", "joe", message=b"\n", environment=way)
        text = b"control/generic or control/masquerade: not local:public: joe joe.doe@example.com\n"
        assert (done.code, done.err) == (75, b"qmail-inject: fatal: " + text)
        assert is_empty(home)
