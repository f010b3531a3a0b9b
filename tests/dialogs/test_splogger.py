"""splogger against a syslog socket of the test: form of the lines, and that nothing ever makes it wait."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from qmailpy.programs.splogger import PIECE, priority_of, stamp
from qmailpy.system import syslog
from tests.support import CHECKOUT, wait_for, wait_for_exit

# the real main, but for the path of the socket, which no environment can change
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from qmailpy.programs import splogger
from qmailpy.system.syslog import Syslog
splogger.copy(0, Syslog(b"qmail", path=sys.argv[2].encode()))
"""
LINE = re.compile(rb"<(\d+)>([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) qmail: (\d+\.\d{6})([ +])(.*)", re.DOTALL)


class Daemon:
    """A log daemon: hears datagrams (or a stream), can end and come back."""

    def __init__(self, path: str, kind: socket.SocketKind = socket.SOCK_DGRAM) -> None:
        self.path, self._kind = path, kind
        self.socket = self._listen()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, self._kind)
        listener.bind(self.path)
        listener.settimeout(10)
        if self._kind == socket.SOCK_STREAM:
            listener.listen()
        return listener

    def hear(self) -> bytes:
        return self.socket.recv(65536)

    def hear_all(self) -> list[bytes]:
        """What is there now."""
        self.socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.socket.recv(65536))
        except BlockingIOError:
            return found
        finally:
            self.socket.settimeout(10)

    def end(self) -> None:
        self.socket.close()
        os.unlink(self.path)

    def come_back(self) -> None:
        self.socket = self._listen()


@pytest.fixture
def daemon(tmp_path: object) -> Iterator[Daemon]:
    heard = Daemon(f"{tmp_path}/log")
    yield heard
    heard.socket.close()


def start(path: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-B", "-c", PROGRAM, CHECKOUT, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )


def say(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(content)
    process.stdin.flush()


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.close()
    assert wait_for_exit(process) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def log(path: str, content: bytes) -> None:
    process = start(path)
    say(process, content)
    finish(process)


def parts(message: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Priority with facility, stamp, separator, text."""
    match = LINE.fullmatch(message)
    assert match, message
    return int(match[1]), match[3], match[4], match[5]


def test_a_line_is_stamped_and_goes_out_as_mail_info(daemon: Daemon) -> None:
    log(daemon.path, b"new msg 4711\n")
    priority, _, separator, text = parts(daemon.hear())
    assert (priority, separator, text) == (2 << 3 | syslog.INFO, b" ", b"new msg 4711")


@pytest.mark.parametrize(
    ("line", "priority"),
    [
        (b"warning: trouble", syslog.WARNING),
        (b"alert: cannot start", syslog.ALERT),
        (b"info: nothing", syslog.INFO),
        (b" alert: not at the beginning", syslog.INFO),
    ],
)
def test_the_beginning_of_a_line_is_its_priority(line: bytes, priority: int) -> None:
    assert priority_of(line) == priority


def test_unprintable_bytes_are_question_marks_and_blank_lines_are_nothing(daemon: Daemon) -> None:
    log(daemon.path, b"\n\na\tb\x00c\xe4d\x7f~\n\n")
    heard = daemon.hear_all()
    assert [parts(message)[3] for message in heard] == [b"a?b?c?d?~"]


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1])
def test_a_long_line_goes_out_in_pieces_with_one_stamp(daemon: Daemon, length: int) -> None:
    line = b"warning: " + b"x" * (length - 9)
    log(daemon.path, line + b"\nnext\n")
    *heard, last = [parts(message) for message in daemon.hear_all()]
    assert b"".join(text for _, _, _, text in heard) == line
    assert len(heard) == -(-length // PIECE)
    assert {stamp for _, stamp, _, _ in heard} == {heard[0][1]}
    assert [separator for _, _, separator, _ in heard] == [b" ", *[b"+"] * (len(heard) - 1)]
    assert {priority for priority, _, _, _ in heard} == {2 << 3 | syslog.WARNING}
    assert last[2:] == (b" ", b"next")


def test_a_last_line_without_its_end_is_logged(daemon: Daemon) -> None:
    log(daemon.path, b"status: exiting\nlast words")
    assert [parts(message)[3] for message in daemon.hear_all()] == [b"status: exiting", b"last words"]


def test_a_stamp_has_six_digits_of_microseconds() -> None:
    assert stamp(1795228061_000045_999) == b"1795228061.000045"


def test_without_a_log_daemon_it_goes_on_and_ends(tmp_path: object) -> None:
    log(f"{tmp_path}/nobody", b"one\ntwo\n" * 10000)


def test_a_log_daemon_that_comes_later_is_told_how_many_lines_were_lost(tmp_path: object) -> None:
    path = f"{tmp_path}/log"
    process = start(path)
    say(process, b"".join(b"lost %d\n" % number for number in range(3)))
    wait_for(lambda: is_waiting(process.pid), "splogger to have read it")
    daemon = Daemon(path)
    say(process, b"heard\n")
    first, second = parts(daemon.hear()), parts(daemon.hear())
    assert first[0] == 2 << 3 | syslog.WARNING
    assert first[3].startswith(b"warning: splogger lost 3 lines")
    assert second[3] == b"heard"
    finish(process)
    daemon.end()


def is_waiting(pid: int) -> bool:
    """Whether it sleeps in read(2) on descriptor 0."""
    with open(f"/proc/{pid}/wchan", "rb") as file:
        where = file.read()
    with open(f"/proc/{pid}/syscall", "rb") as file:
        return file.read().startswith(b"0 0x0 ") or b"pipe" in where


def test_it_finds_a_log_daemon_that_was_restarted(daemon: Daemon) -> None:
    process = start(daemon.path)
    say(process, b"before\n")
    assert parts(daemon.hear())[3] == b"before"
    daemon.end()
    daemon.come_back()
    say(process, b"after\n")
    assert parts(daemon.hear())[3] == b"after"
    finish(process)


def test_a_log_daemon_that_does_not_read_costs_one_short_wait(daemon: Daemon) -> None:
    """Far more lines than the socket's queue takes: splogger ends, in seconds, and says what was lost."""
    process = start(daemon.path)
    say(process, b"line\n" * 5000)
    wait_for(lambda: is_waiting(process.pid), "splogger to have read it all", 20)
    heard = daemon.hear_all()
    assert 0 < len(heard) < 5000
    say(process, b"again\n")
    assert parts(daemon.hear())[3].startswith(b"warning: splogger lost %d lines" % (5000 - len(heard)))
    assert parts(daemon.hear())[3] == b"again"
    finish(process)


def test_a_stream_socket_is_spoken_to_as_well(tmp_path: object) -> None:
    daemon = Daemon(f"{tmp_path}/log", socket.SOCK_STREAM)
    process = start(daemon.path)
    say(process, b"one\ntwo\n")
    connection, _ = daemon.socket.accept()
    connection.settimeout(10)
    finish(process)
    heard = b""
    while piece := connection.recv(4096):
        heard += piece
    connection.close()
    daemon.end()
    assert [parts(message)[3] for message in heard.split(b"\0")[:-1]] == [b"one", b"two"]
