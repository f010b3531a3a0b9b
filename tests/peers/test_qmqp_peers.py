"""Real QMQP clients hand their mail to qmail-qmqpd under Debian's tcpserver: Postfix' generator, and nullmailer."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pop3_support import tcpserver
from tests.queue_support import new_home, open_door, queued
from tests.support import CHECKOUT, PATH, has_program, read, write

SERVER = f"{CHECKOUT}/bin/qmail-qmqpd"
MESSAGE = b"Subject: hello\nTo: you@there.example\n\n.\nhow are you\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[str]:
    """With its door open."""
    if not has_program("tcpserver"):
        pytest.skip("needs tcpserver")
    home = new_home(tmp_path)
    with open_door(home):
        yield home


def log_of(home: str) -> str:
    return f"{home}/../qmqpd.log"


def environment(home: str) -> dict[str, str]:
    return {"PATH": PATH, "QMAILHOME": home}


def test_qmqp_source_gets_every_message_in(home: str) -> None:
    if not has_program("qmqp-source"):
        pytest.skip("needs qmqp-source, from Debian's postfix")
    words = ["-s", "8", "-m", "30", "-l", "3000", "-f", "me@here.example", "-t", "you@there.example"]
    with tcpserver([SERVER], environment(home), log_of(home)) as port:
        done = subprocess.run(
            ["qmqp-source", *words, f"127.0.0.1:{port}"],
            env={"PATH": PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr.decode() + read(log_of(home)).decode()
    found = queued(home)
    assert len(found) == 30
    assert {(message.todo.sender, *message.todo.recipients) for message in found} == {
        (b"me@here.example", b"you@there.example")
    }
    assert all(b"with QMQP; " in message.body for message in found)


@pytest.fixture(scope="session")
def nullmailer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its QMQP client; the package cannot be installed where Postfix is."""
    program = "/usr/lib/nullmailer/qmqp"
    if os.path.exists(program):
        return program
    if shutil.which("apt-get", path=PATH) is None or shutil.which("dpkg-deb", path=PATH) is None:
        pytest.skip("needs nullmailer, and this is no Debian to fetch it from")
    folder = tmp_path_factory.mktemp("nullmailer")
    folder.chmod(0o777)  # apt-get fetches as a user of its own
    try:
        subprocess.run(
            ["apt-get", "-q", "download", "nullmailer"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("needs nullmailer: apt-get download takes too long")
    packages = sorted(folder.glob("nullmailer_*.deb"))
    if not packages:
        pytest.skip("needs nullmailer: apt-get download has brought nothing")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(folder / "root")], check=True, timeout=60)
    found = f"{folder}/root{program}"
    if subprocess.run([found, "--help"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs nullmailer: its program does not start here")
    return found


def hand_over(client: str, port: int, folder: str) -> "subprocess.CompletedProcess[bytes]":
    """One message of nullmailer's queue: sender, recipients, an empty line, the message."""
    path = write(f"{folder}/mail", b"me@here.example\nyou@there.example\nann@there.example\n\n" + MESSAGE)
    with open(path, "rb") as file:
        return subprocess.run(
            ["sh", "-c", '"$0" 3<&1 >&2', client],
            input=f"host=127.0.0.1\nport={port}\n".encode(),
            stdout=file,
            stderr=subprocess.PIPE,
            env={"PATH": PATH},
            check=False,
            timeout=60,
        )


def test_nullmailer_hands_its_mail_over(home: str, nullmailer: str) -> None:
    with tcpserver([SERVER], environment(home), log_of(home)) as port:
        done = hand_over(nullmailer, port, f"{home}/..")
    assert done.returncode == 0, done.stderr.decode()
    [message] = queued(home)
    assert message.todo.recipients == [b"you@there.example", b"ann@there.example"]
    assert message.body.endswith(MESSAGE)


def test_nullmailer_keeps_its_mail_while_the_queue_has_trouble(home: str, nullmailer: str) -> None:
    os.rmdir(f"{home}/queue/intd")
    with tcpserver([SERVER], environment(home), log_of(home)) as port:
        done = hand_over(nullmailer, port, f"{home}/..")
    assert 0 < done.returncode < 32  # from there on it would be for good
    assert b"trouble creating files in queue" in done.stderr
