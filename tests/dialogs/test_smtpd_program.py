"""qmail-smtpd as a program: on pipes, on sockets, under tcpserver, with the door and without it."""

import os
import smtplib
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.queue_support import open_door, queued
from tests.smtp_support import lines
from tests.support import (
    PATH,
    PATIENCE,
    RecordingQueue,
    bare_home,
    free_port,
    has_program,
    wait_for,
    wait_for_exit,
    write,
)

SAY = lines(b"HELO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<joe@mx.example.org>", b"DATA")
MESSAGE = lines(b"Subject: x", b"", b"..text", b".")
DOMAIN = "mx.example.org"


@pytest.fixture
def home(tmp_path: Path) -> str:
    found = bare_home(str(tmp_path / "home"))
    write(f"{found}/control/rcpthosts", f"{DOMAIN}\n")
    write(f"{found}/control/recipientcheck", "0\n")
    return found


@pytest.fixture
def queue(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(str(tmp_path / "queue"))


def talk(
    home: str, said: bytes, environment: Mapping[str, str] | None = None, *, code: int = 0
) -> "subprocess.CompletedProcess[bytes]":
    """A session on pipes."""
    done = subprocess.run(
        [f"{home}/bin/qmail-smtpd"],
        input=said,
        env={"PATH": PATH, "QMAILHOME": home, **(environment or {})},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == code, done
    return done


def test_a_session_on_pipes(home: str, queue: RecordingQueue) -> None:
    done = talk(home, SAY + MESSAGE + lines(b"QUIT"), {"TCPREMOTEIP": "192.0.2.7", **queue.environment})
    replies = done.stdout.split(b"\r\n")
    assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"354", b"250", b"221", b""]
    ((content, envelope),) = queue.messages
    assert content.startswith(b"Received: from unknown (HELO x) (192.0.2.7)\n  by unknown with SMTP; ")
    assert content.endswith(b"\nSubject: x\n\n.text\n")
    assert envelope == b"Fa@b.example\0Tjoe@mx.example.org\0\0"
    assert done.stderr == b""


def test_through_the_door_into_the_queue(home: str) -> None:
    with open_door(home):
        talk(home, SAY + MESSAGE + SAY + MESSAGE, code=1)
    first, second = queued(home)
    assert first.body.endswith(b"Subject: x\n\n.text\n")
    assert (first.todo.sender, first.todo.recipients) == (b"a@b.example", [b"joe@mx.example.org"])
    assert first.todo.pid != second.todo.pid


@pytest.mark.parametrize(
    ("code", "text", "reply"),
    [
        (31, "", b"554 mail server permanently rejected message (#5.3.0)"),
        (53, "", b"451 qq write error or disk full (#4.3.0)"),
        (82, "Dspam is not wanted (#5.7.1)", b"554 spam is not wanted (#5.7.1)"),
        (82, "Zcome again", b"451 come again"),
        (0, "", b"250 ok "),
    ],
)
def test_a_program_in_the_queues_place_decides(home: str, tmp_path: Path, code: int, text: str, reply: bytes) -> None:
    environment = RecordingQueue(str(tmp_path / "other"), code, text).environment
    done = talk(home, SAY + MESSAGE + lines(b"QUIT"), environment)
    assert done.stdout.split(b"\r\n")[5].startswith(reply)


def test_a_queue_program_that_is_not_there_defers(home: str) -> None:
    done = talk(home, SAY + MESSAGE + lines(b"QUIT"), {"QMAILQUEUE": "/nowhere"})
    assert done.stdout.split(b"\r\n")[5] == b"451 unable to exec qq (#4.3.0)"


def test_a_message_that_is_cut_off_is_not_queued(home: str, queue: RecordingQueue) -> None:
    done = talk(home, SAY + MESSAGE[:-1], queue.environment, code=1)
    assert done.stdout.split(b"\r\n")[-2] == b"354 go ahead"
    assert all(envelope == b"" for _, envelope in queue.messages)


def test_an_unreadable_control_file_is_said_to_the_client_and_to_the_log(home: str) -> None:
    os.mkdir(f"{home}/control/databytes")
    done = talk(home, b"", code=1)
    assert done.stdout == b"421 unable to read controls (#4.3.0)\r\n"
    assert b"control/databytes" in done.stderr


@pytest.mark.parametrize(
    ("program", "said", "code"),
    [
        ("qmail-smtpd", b"421 this host takes no mail from others (#4.3.2)\r\n", 1),
        ("qmail-qmtpd", b"", 111),
        ("qmail-qmqpd", b"", 111),
        ("qmail-listen", b"", 111),
    ],
)
def test_where_mail_leaves_without_a_queue_none_is_taken_from_others(
    home: str, program: str, said: bytes, code: int
) -> None:
    write(f"{home}/control/direct", "")
    words = ["-RHl0", "127.0.0.1", "0", f"{home}/bin/qmail-smtpd"] if program == "qmail-listen" else []
    done = subprocess.run(
        [f"{home}/bin/{program}", *words],
        env={"PATH": PATH, "QMAILHOME": home},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (code, said)
    assert b"control/direct is there: mail leaves without a queue" in done.stderr


def test_without_memory_the_client_is_told_to_come_again(home: str) -> None:
    """As much as is enough to load the program, but not for a command of 12 kB a thousand times."""
    program = f"{home}/bin/qmail-smtpd"
    hungry = write(
        f"{home}/hungry",
        "#!/usr/bin/python3 -IS\nimport sys\n"
        f"sys.path.insert(0, {os.path.realpath(home + '/lib/current')!r})\n"
        "from qmailpy.receive.smtp import envelope\n"
        "def fail(*_):\n    raise MemoryError\n"
        "envelope.path = fail\n"
        "from qmailpy.programs import start\n"
        f"start('qmail-smtpd', {home!r})\n",
        0o755,
    )
    os.rename(hungry, program)
    done = talk(home, SAY, code=111)
    assert done.stdout.split(b"\r\n")[2] == b"421 out of memory (#4.3.0)"
    assert done.stderr.startswith(b"qmail-smtpd: warning: out of memory: ")


def test_it_loads_little_of_the_standard_library(home: str, queue: RecordingQueue) -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-X", "importtime", f"{home}/bin/qmail-smtpd"],
        input=SAY + MESSAGE + lines(b"QUIT"),
        env={"PATH": PATH, "QMAILHOME": home, **queue.environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    loaded = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert "qmailpy.receive.smtp.session" in loaded
    for name in ("ssl", "asyncio", "socket", "re", "enum", "typing", "ipaddress", "dns", "logging", "argparse"):
        assert name not in loaded, name


@contextmanager
def on_socket(home: str, environment: Mapping[str, str], *, errors: bool = False) -> "Iterator[socket.socket]":
    """A session as inetd and systemd (Accept=yes) give it: the connection on 0 and 1, and on 2 with inetd."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        served, _ = listener.accept()
        with served:
            process = subprocess.Popen(
                [f"{home}/bin/qmail-smtpd"],
                stdin=served.fileno(),
                stdout=served.fileno(),
                stderr=served.fileno() if errors else subprocess.DEVNULL,
                env={"PATH": PATH, "QMAILHOME": home, **environment},
            )
        client.settimeout(PATIENCE)
        try:
            yield client
        finally:
            client.close()
            wait_for_exit(process)


def hear_all(client: socket.socket) -> bytes:
    heard = b""
    while piece := client.recv(65536):
        heard += piece
    return heard


def test_on_a_bare_socket_the_kernel_says_who_is_there(home: str, queue: RecordingQueue) -> None:
    with on_socket(home, {**queue.environment, "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "4000"}) as client:
        client.sendall(SAY + MESSAGE + lines(b"QUIT"))
        assert b"\r\n221 " in hear_all(client)
    ((content, _),) = queue.messages
    assert b"(127.0.0.1)\n  by 127.0.0.1 with SMTP; " in content


def test_where_the_log_would_be_the_client_there_is_no_line_of_it(home: str) -> None:
    with on_socket(home, {}, errors=True) as client:
        client.sendall(lines(b"MAIL FROM:<>", b"RCPT TO:<x@else.example>", b"QUIT"))
        heard = hear_all(client)
    assert [reply[:3] for reply in heard.split(b"\r\n")] == [b"220", b"250", b"553", b"221", b""]
    assert b"refused" not in heard


def test_a_client_that_says_all_and_ends_its_side_hears_the_answers(home: str, queue: RecordingQueue) -> None:
    with on_socket(home, queue.environment) as client:
        client.sendall(SAY + MESSAGE)
        client.shutdown(socket.SHUT_WR)
        assert b"\r\n250 ok " in hear_all(client)
    assert len(queue.messages) == 1


def test_a_client_that_reads_nothing_and_goes_leaves_nothing(home: str, queue: RecordingQueue) -> None:
    with on_socket(home, queue.environment) as client:
        client.sendall(lines(*[b"HELP"] * 900))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert queue.messages == []


@contextmanager
def under_tcpserver(home: str, *arguments: str, log: str, **environment: str) -> Iterator[int]:
    """Result: the port."""
    if not has_program("tcpserver"):
        pytest.skip("needs tcpserver (Debian: ucspi-tcp)")
    port = free_port()
    with open(log, "ab") as errors:
        process = subprocess.Popen(
            ["tcpserver", "-RHl", "here.example", "127.0.0.1", str(port), f"{home}/bin/qmail-smtpd", *arguments],
            env={"PATH": PATH, "QMAILHOME": home, **environment},
            stderr=errors,
        )
    try:
        wait_for(lambda: answers(port), "tcpserver")
        yield port
    finally:
        process.terminate()
        wait_for_exit(process)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_under_tcpserver(home: str, queue: RecordingQueue, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with (
        under_tcpserver(home, log=log, **queue.environment) as port,
        smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client,
    ):
        client.sendmail("a@b.example", ["joe@mx.example.org"], "Subject: x\n\n.text\n")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@b.example", ["joe@else.example"], "")
    ((content, _),) = queue.messages
    assert b" (127.0.0.1)\n  by here.example with SMTP; " in content
    with open(log, "rb") as file:
        assert b"qmail-smtpd: refused 127.0.0.1 rule=rcpthosts helo=" in file.read()


def test_sendmail_bs_takes_mail_for_anybody(home: str, queue: RecordingQueue) -> None:
    done = subprocess.run(
        [f"{home}/bin/sendmail", "-bs"],
        input=SAY.replace(DOMAIN.encode(), b"else.example") + MESSAGE + lines(b"QUIT"),
        env={"PATH": PATH, "QMAILHOME": home, **queue.environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    ((content, envelope),) = queue.messages
    assert envelope == b"Fa@b.example\0Tjoe@else.example\0\0"
    assert content.startswith(b"Received: from localhost (HELO x) (sendmail-bs@127.0.0.1)\n  by localhost with SMTP; ")
