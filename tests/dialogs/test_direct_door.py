"""qmail-queued where there is no queue: whoever has no logins of his own sends by those of the host, and waits."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.wire import door as wire
from qmailpy.wire.envelope import Envelope
from tests.direct_support import MESSAGE, ONE, SENDER, TWO, Host
from tests.places import classic
from tests.queue_support import LIBRARY, answer, call, conversation, one_message
from tests.remote_support import Line, Peer, replies
from tests.smarthost import PASSWORD, USER, smarthost
from tests.support import give, read, wait_for, wait_for_exit, write

_CHANGED = """#!/usr/bin/python3 -IS
import sys
sys.path.insert(0, {library!r})
from qmailpy.receive.door import admission, caller, relaying
from qmailpy.wire import door
{settings}
from qmailpy.programs import start
start("qmail-queued", {home!r})
"""
ENVELOPE = Envelope(SENDER.encode(), [ONE.encode()]).encode()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    os.chmod(tmp_path, 0o711)
    host = Host(str(tmp_path / "home"))
    host.control("smtpauth", f"provider:{USER}:{PASSWORD}")
    os.chmod(f"{host.home}/control/smtpauth", 0o400)
    return host


@contextlib.contextmanager
def served(host: Host, settings: str = "", *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """The door of this host, open."""
    program = f"{host.home}/bin/qmail-queued"
    if settings:
        text = _CHANGED.format(library=LIBRARY, settings=settings, home=host.home)
        program = write(f"{host.home}/changed", text, 0o755)
    if os.geteuid() == 0:
        give(host.home, host.owner, host.owner)
    who = {"user": host.owner, "group": host.owner, "extra_groups": []} if os.geteuid() == 0 else {}
    with open(f"{host.home}.log", "ab") as log:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [program, *(words or ("service",))], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/", **who
        )
    try:
        wait_for(lambda: process.poll() is not None or is_open(host), "the door")
        assert process.poll() is None, read(f"{host.home}.log")
        yield process
        assert process.poll() is None, read(f"{host.home}.log")
    finally:
        process.terminate()
        wait_for_exit(process)
        process.stdin.close()


def is_open(host: Host) -> bool:
    try:
        call(host.home).close()
    except OSError:
        return False
    return True


def test_the_hosts_login_is_used_and_the_caller_waits_for_the_relay(host: Host, tmp_path: Path) -> None:
    with smarthost(str(tmp_path)) as relay, served(host):
        host.route_to(relay.port, f" tls=fingerprint fingerprint={relay.fingerprint} auth=provider")
        done = host.send(ONE, TWO)
        assert (done.returncode, done.stderr) == (0, b"")
        assert set(relay.logins) == {(USER.encode(), PASSWORD.encode())}
        [envelope] = relay.envelopes
        assert envelope.rcpt_tos == [ONE, TWO]
        head = f"invoked by uid {host.owner});".encode()
        assert head in envelope.content.partition(b"\n")[0]
        assert envelope.content.count(b"Received: ") == 1
        # who has logins of his own speaks for himself
        write(f"{host.caller}/.qmail-smtpauth", "provider:somebody:else\n", 0o600)
        assert host.send().returncode == 1
        assert relay.logins[-1] == (b"somebody", b"else")
    done = host.send()
    assert done.returncode == 1


@pytest.mark.parametrize("with_door", [True, False])
def test_wishes_about_reports_are_not_lost_in_silence(host: Host, with_door: bool) -> None:
    """The relay answers while the sender waits; what it should report later it cannot be told."""
    with Peer(replies()) as peer, served(host) if with_door else contextlib.nullcontext():
        host.route_to(peer.port)
        done = host.run("sendmail", "-N", "never", "-R", "hdrs", "-V", "job 7", "-f", SENDER, ONE)
    assert done.returncode == 0
    assert done.stderr.startswith(b"qmail-inject: warning: NOTIFY=NEVER RET=HDRS ENVID=job+207 is not passed on: ")
    assert len(peer.heard) == 1


@pytest.mark.parametrize("program", ["sendmail", "qmail-inject", "qmail-queue"])
@pytest.mark.parametrize(("reply", "is_for_good"), [(b"550 not you\r\n", True), (b"451 not now\r\n", False)])
def test_the_relays_no_is_the_callers(host: Host, program: str, reply: bytes, is_for_good: bool) -> None:
    with Peer(replies({"MAIL": reply})) as peer, served(host):
        host.route_to(peer.port)
        extra = {"QMAILQUEUE": f"{host.home}/bin/qmail-queue"} if program == "qmail-queue" else {}
        done = host.run("qmail-inject" if extra else program, ONE, **extra)
        code = 100 if is_for_good else 111
        assert done.returncode == (1 if program == "sendmail" else code), done
        assert reply.strip() in done.stderr
        assert len(peer.heard) == 1


def test_resident_callers_and_empty_messages_are_served(host: Host) -> None:
    with Peer(replies()) as peer, served(host):
        host.route_to(peer.port)
        for speaker in (wire.RESIDENT, wire.ONE_MESSAGE, wire.DIRECT):
            with call(host.home) as connection:
                connection.sendall(conversation(b"", ENVELOPE, speaker))
                heard = answer(connection)
            assert heard is not None
            assert (heard.code, heard.text) == (0, b"")
            assert (heard.qp == os.getpid()) is (speaker != wire.RESIDENT)
    assert len(peer.heard) == 3


def test_there_is_nothing_to_list_or_to_try(host: Host) -> None:
    with served(host):
        for program in ("mailq", "runq"):
            assert host.run(program).returncode == 0
        for speaker, expected in ((wire.LIST, wire.List(b"")), (wire.FLUSH, wire.Answer(0))):
            with call(host.home) as connection:
                connection.sendall(wire.greeting(speaker))
                assert connection.recv(100) == expected.encode()


def test_a_message_that_is_too_large_is_refused_while_it_comes(host: Host) -> None:
    with served(host, "relaying.LARGEST = 100_000"), call(host.home) as connection:
        connection.sendall(wire.greeting(wire.DIRECT))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                connection.sendall(wire.frame(b"m", bytes(60_000)))
        heard = answer(connection)
    assert heard is None or (heard.code == 82 and heard.text.startswith(b"Dmessage larger than"))


def test_messages_under_way_have_bounded_memory(host: Host) -> None:
    with Peer(replies()) as peer, served(host, "admission.Admission.may_hold = lambda self, uid: self._held < 300_000"):
        host.route_to(peer.port)
        with contextlib.ExitStack() as stack:
            refused = 0
            for _ in range(10):
                connection = stack.enter_context(call(host.home))
                connection.sendall(wire.greeting(wire.DIRECT) + wire.frame(b"m", bytes(60_000)))
                if heard := heard_at_once(connection):
                    assert (heard.code, heard.text) == (wire.BUSY, b"messages under way take too much memory")
                    refused += 1
            assert 3 <= refused <= 8
        assert host.send().returncode == 0  # all of it is free again


def heard_at_once(connection: socket.socket) -> wire.Answer | None:
    connection.settimeout(0.2)
    try:
        return answer(connection)
    except TimeoutError:
        return None


def test_so_many_are_at_work_at_a_time_and_end_when_their_callers_hang_up(host: Host) -> None:
    def silent(line: Line) -> None:
        line.hear(b"never")

    settings = "relaying._CHILDREN = 2"
    with Peer(silent) as peer, served(host, settings) as door:
        host.route_to(peer.port)
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                connection = stack.enter_context(call(host.home))
                connection.sendall(conversation(MESSAGE, ENVELOPE, wire.DIRECT))
            wait_for(lambda: len(children(door.pid)) == 2, "two children")
        # all have hung up: nobody is left at work
        wait_for(lambda: not children(door.pid), "the children's end")


def children(pid: int) -> list[bytes]:
    return read(f"/proc/{pid}/task/{pid}/children").split()


def test_a_child_that_ends_without_a_word_is_said(host: Host) -> None:
    settings = "from qmailpy.remote import direct; import posix; direct.relay = lambda *_: posix._exit(0)"
    with served(host, settings), call(host.home) as connection:
        connection.sendall(conversation(MESSAGE, ENVELOPE, wire.DIRECT))
        heard = answer(connection)
    assert heard is not None
    assert (heard.code, heard.text[:38]) == (82, b"Zwhat was to hand the message over has")


def test_a_bug_in_a_child_defers(host: Host) -> None:
    settings = "from qmailpy.remote import direct; direct.relay = None"
    with served(host, settings), call(host.home) as connection:
        connection.sendall(conversation(MESSAGE, ENVELOPE, wire.DIRECT))
        heard = answer(connection)
    assert heard is not None
    assert heard.code == 81
    assert b"TypeError" in heard.text


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.0\r\n",
        wire.greeting(b"x"),
        wire.greeting(wire.DIRECT) + b"x\0\0\0\1x",
        wire.greeting(wire.DIRECT) + wire.frame(b"E"),
        wire.greeting(wire.DIRECT) + wire.frame(b"M") + wire.frame(b"e", b"nonsense\0\0") + wire.frame(b"E"),
        conversation(MESSAGE, ENVELOPE, wire.RESIDENT) + one_message(MESSAGE, ENVELOPE),
        wire.greeting(wire.LIST) * 2,
        b"",
    ],
)
def test_a_strange_caller_does_no_harm(host: Host, said: bytes) -> None:
    with Peer(replies()) as peer, served(host):
        host.route_to(peer.port)
        for _ in range(5):
            with call(host.home) as connection, contextlib.suppress(ConnectionError):
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
        assert host.send().returncode == 0


def test_who_is_silent_is_hung_up_on(host: Host) -> None:
    with served(host, "relaying._CHORES = 0.05; door.IDLE = 0.2"), call(host.home) as connection:
        connection.sendall(wire.greeting(wire.DIRECT) + wire.frame(b"m", b"x"))
        heard = answer(connection)
        assert heard is not None
        assert heard.code == 72


def test_it_ends_with_its_starter_and_when_there_is_a_queue_again(host: Host) -> None:
    with served(host, "relaying._CHORES = 0.05", "qmail-queued") as door:
        assert door.stdin is not None
        door.stdin.close()
        assert wait_for_exit(door) == 0
        door.poll = lambda: None  # type: ignore[method-assign]
    with served(host, "relaying._CHORES = 0.05") as door:
        os.unlink(f"{host.home}/control/direct")
        assert wait_for_exit(door) == 0
        door.poll = lambda: None  # type: ignore[method-assign]


def test_a_door_with_a_queue_is_not_asked_to_hand_on(host: Host) -> None:
    os.unlink(f"{host.home}/control/direct")
    with Peer(replies()) as peer, served(host):
        host.route_to(peer.port)
        with call(host.home) as connection:
            connection.sendall(conversation(MESSAGE, ENVELOPE, wire.DIRECT))
            heard = answer(connection)
        assert heard is not None
        assert heard.code == wire.SPEECH
        host.control("direct", "")
        assert host.send().returncode == 0
    assert len(peer.heard) == 1
    assert os.listdir(f"{host.home}/queue/todo") == []


@pytest.mark.root
def test_on_a_machine_of_many_users_only_qmailr_reads_the_login(tmp_path: Path) -> None:
    place = classic({})
    home = place.home
    with smarthost(str(tmp_path)) as relay:
        route = f":127.0.0.1:{relay.port} tls=fingerprint fingerprint={relay.fingerprint} auth=provider\n"
        place.control("smtproutes", route)
        place.control("direct", "")
        secret = write(f"{home}/control/smtpauth", f"provider:{USER}:{PASSWORD}\n", 0o400)
        os.chown(secret, pwd.getpwnam("qmailr").pw_uid, 0)
        words = ["sendmail", "-f", SENDER, ONE]
        done = place.run(*words, stdin=MESSAGE)
        assert done.code == 1, done.errors  # nobody is there to read the login for him
        assert b"it cannot be opened" in done.errors
        # only root opens it
        done = place.run("qmail-queued", "service")
        assert (done.code, b"must be started by root" in done.errors) == (111, True)
        with open(f"{home}.log", "ab") as log:
            door = subprocess.Popen([place.program("qmail-queued"), "service"], stdout=log, stderr=log, cwd="/")
        try:
            wait_for(lambda: is_connectable(home), "the door")
            assert os.stat(f"/proc/{door.pid}").st_uid in (0, pwd.getpwnam("qmailr").pw_uid)
            assert f"Uid:\t{pwd.getpwnam('qmailr').pw_uid}" in read(f"/proc/{door.pid}/status").decode()
            for _ in range(2):
                done = place.run(*words, stdin=MESSAGE)
                assert (done.code, done.errors) == (0, b"")
            assert f"invoked by uid {place.uid});".encode() in relay.envelopes[-1].content
            assert len(relay.envelopes) == 2
            assert place.queue_is_empty()
            door.send_signal(signal.SIGTERM)
            assert wait_for_exit(door) == 0
            # the next one opens where its socket still lies
            door = subprocess.Popen([place.program("qmail-queued"), "service"], stderr=subprocess.DEVNULL, cwd="/")
            wait_for(lambda: is_connectable(home), "the next door")
            assert place.run(*words, stdin=MESSAGE).code == 0
        finally:
            door.terminate()
            wait_for_exit(door)


def is_connectable(home: str) -> bool:
    try:
        call(home).close()
    except OSError:
        return False
    return True
