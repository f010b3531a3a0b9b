"""tcp-env on real TCP connections of both kinds, with and without somebody who says whose they are."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from qmailpy.system import accepted
from tests.inject_support import run
from tests.support import PATH, bare_home

SHOW = ["/bin/sh", "-c", "env | grep -E '^(PROTO|TCP)' | sort"]


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"))


def can_use(address: str) -> bool:
    try:
        with socket.create_server((address, 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def on_connection(home: str, address: str, *words: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """What the program sees that tcp-env runs on the server's side of a connection to this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener, socket.socket(family) as client:
        client.connect(listener.getsockname()[:2])
        served, _ = listener.accept()
        with served:
            done = subprocess.run(
                [f"{home}/bin/tcp-env", *words],
                stdin=served.fileno(),
                env={"PATH": PATH, "QMAILHOME": home, **(environment or {})},
                capture_output=True,
                check=False,
            )
        assert (done.returncode, done.stderr) == (0, b"")
        seen = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
        if "TCPREMOTEPORT" in seen and "keep" not in (environment or {}):
            assert int(seen.pop("TCPREMOTEPORT")) == client.getsockname()[1]
            assert int(seen.pop("TCPLOCALPORT")) == listener.getsockname()[1]
        return seen


def test_both_ends_of_a_connection_are_described(home: str) -> None:
    seen = on_connection(home, "127.0.0.1", "-R", *SHOW, environment={"TCPREMOTEINFO": "forged", "TCPREMOTEHOST": "x"})
    for end in ("TCPLOCALHOST", "TCPREMOTEHOST"):  # what the machine calls itself, if it has a name for it
        assert seen.pop(end, "localhost") != "x"
    assert seen == {"PROTO": "TCP", "TCPLOCALIP": "127.0.0.1", "TCPREMOTEIP": "127.0.0.1"}


def test_ipv6_is_described_too(home: str) -> None:
    if not can_use("::1"):
        pytest.skip("no IPv6 loopback on this machine")
    seen = on_connection(home, "::1", "-R", *SHOW)
    assert (seen["TCPLOCALIP"], seen["TCPREMOTEIP"]) == ("::1", "::1")


def test_nothing_is_changed_where_it_is_known_already(home: str) -> None:
    known = {"PROTO": "TCP", "TCPREMOTEIP": "1.2.3.4", "TCPREMOTEPORT": "5", "keep": "1"}
    assert on_connection(home, "127.0.0.1", *SHOW, environment=known) == {
        "PROTO": "TCP",
        "TCPREMOTEIP": "1.2.3.4",
        "TCPREMOTEPORT": "5",
    }


def test_nobody_answers_whose_connection_it_is(home: str) -> None:
    assert "TCPREMOTEINFO" not in on_connection(home, "127.0.0.1", "-r", "-t1", *SHOW)


BAD = [
    ((), b"tcp-env: fatal: usage: tcp-env [-rR] [-tseconds] program [argument...]\n"),
    (("-x",), b"tcp-env: fatal: illegal option -- x\nusage: tcp-env [-rR] [-tseconds] program [argument...]\n"),
    (("true",), b"tcp-env: fatal: descriptor 0 is not a TCP connection\n"),
]


@pytest.mark.parametrize(("words", "text"), BAD)
def test_what_is_wrong_is_said_in_one_sentence(home: str, words: tuple[str, ...], text: bytes) -> None:
    done = run(home, "tcp-env", *words)
    assert (done.code, done.err) == (111, text)


def test_a_program_that_is_not_there_is_temporary(home: str) -> None:
    done = run(home, "tcp-env", "no-such-program", environment={"PROTO": "TCP"})
    assert (done.code, done.err) == (111, b"tcp-env: fatal: unable to run no-such-program: file does not exist\n")


@pytest.mark.parametrize(
    ("said", "heard"),
    [([b"1,2:USERID:UNIX:joe\r\nmore"], b"1,2:USERID:UNIX:joe\r\nmore"), ([b"ab", b"cd"], b"abcd"), ([], b"")],
)
def test_a_server_is_asked_and_heard_to_its_line_end_or_close(said: list[bytes], heard: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            served, _ = listener.accept()
            served.recv(100)
            for piece in said:
                served.sendall(piece)
            os._exit(0)
        end = accepted.End("127.0.0.1", 0)
        assert accepted.ask(end, end, listener.getsockname()[1], b"question\r\n", (10.0, 1000)) == heard
        assert os.waitpid(child, 0)[1] == 0


def test_a_silent_server_is_left_after_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = accepted.End("127.0.0.1", 0)
        assert accepted.ask(end, end, listener.getsockname()[1], b"question\r\n", (0.2, 1000)) == b""
    assert accepted.ask(end, end, 1, b"question\r\n", (0.2, 1000)) == b""
