"""Mail comes from the network through qmail-listen into a Maildir: resident and by exec, in each way to live."""

import os
import pwd
import shutil
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from qmailpy.wire import netstring, qmtp
from tests.listener_support import Server
from tests.places import ROOMS, Place, identity
from tests.support import is_running, wait_for, wait_for_exit

Listen = Callable[..., Server]
MESSAGE = "Subject: hello\r\n\r\nHello.\r\n"


@pytest.fixture
def listen(place: Place, tmp_path: Path) -> Iterator[Listen]:
    """Starts qmail-listen as whoever starts the home's daemons."""
    os.makedirs(tmp_path / "logs")
    started: list[Server] = []

    def start(program: str, *options: str, host: str = "127.0.0.1", **more: Any) -> Server:
        owner = identity(place.uid, place.gid) if place.embedded else {}
        words = [place.program("qmail-listen"), "-1", "-v", "-H", "-R", "-l", place.domain, *options, host, "0"]
        environment = {**place.environment, "QMAILHOME": place.home, **more}
        started.append(Server(str(tmp_path / "logs"), [*words, place.program(program)], environment, cwd="/", **owner))
        return started[-1]

    yield start
    for one in started:
        one.close()


def send(place: Place, server: Server, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", server.port, "client.example.org", 20) as client:
        client.sendmail("sender@example.org", [place.address], f"Subject: {subject}\r\n\r\nHello.\r\n")


def uids_of(pid: int) -> set[int]:
    """Real, effective, saved and file-system uid."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {int(word) for line in file if line.startswith("Uid:") for word in line.split()[1:]}


def groups_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return [int(word) for line in file if line.startswith("Groups:") for word in line.split()[1:]]


def test_a_message_comes_by_smtp(place: Place, listen: Listen) -> None:
    place.start()
    server = listen("qmail-smtpd")
    for count in (1, 2):
        send(place, server, "hello")
        message = place.mail(count)[0]
    assert b"\nSubject: hello\n\nHello.\n" in message
    assert b"client.example.org" in message.partition(b"\n\n")[0]
    server.wait_for("^qmail-listen: end [0-9.]+ status 0$", 2)
    (who, *_) = server.wait_for("^qmail-listen: pid ([0-9.]+) from 127.0.0.1$", 2)
    assert ("." in who) != place.exec_forced
    assert server.end() == 0
    place.stop()


@pytest.mark.parametrize("place", [ROOMS[0], ROOMS[2]], indirect=True)
def test_who_is_who(place: Place, listen: Listen) -> None:
    """The master keeps what it was started as; a worker is qmaild, and has no other group."""
    server = listen("qmail-smtpd")
    (worker, *_) = wait_for(server.ready_workers, "workers")
    wanted = place.uid_of("qmaild")
    assert uids_of(worker) == {wanted}
    assert uids_of(server.process.pid) == {place.uid if place.embedded else 0}
    if not place.embedded:
        assert groups_of(worker) == [pwd.getpwnam("qmaild").pw_gid]
    with smtplib.SMTP("127.0.0.1", server.port, "client", 20) as client:
        client.noop()


@pytest.mark.parametrize("place", ROOMS[2:3], indirect=True)
def test_the_user_and_group_of_the_command_line(listen: Listen) -> None:
    nobody = pwd.getpwnam("qmaild")
    for options, more in (
        (["-u", str(nobody.pw_uid), "-g", str(nobody.pw_gid)], {}),
        (["-U"], {"UID": str(nobody.pw_uid), "GID": str(nobody.pw_gid)}),
    ):
        server = listen("qmail-smtpd", *options, **more)
        with smtplib.SMTP("127.0.0.1", server.port, "client", 20) as client:
            client.noop()
            (who,) = server.wait_for("^qmail-listen: ok ([0-9]+)")
            assert uids_of(int(who)) == {nobody.pw_uid}
            assert groups_of(int(who)) == [nobody.pw_gid]
        assert server.end() == 0


@pytest.mark.parametrize("place", ROOMS[2:3], indirect=True)
def test_a_key_that_only_root_can_read(place: Place, listen: Listen, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    make_certificate(place, tmp_path)
    place.start()
    server = listen("qmail-smtpd")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", server.port, "client", 20) as client:
        client.starttls(context=context)
        client.sendmail("sender@example.org", [place.address], MESSAGE)
    assert len(place.mail(1)) == 1
    place.stop()


def make_certificate(place: Place, folder: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
    words += ["-subj", f"/CN={place.domain}", "-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run(words, check=True, capture_output=True)
    both = (folder / "key").read_text() + (folder / "certificate").read_text()
    place.control("servercert.pem", both)
    os.chmod(f"{place.home}/control/servercert.pem", 0o600)


@pytest.mark.parametrize("place", ROOMS[:1], indirect=True)
def test_a_message_comes_by_qmtp(place: Place, listen: Listen) -> None:
    place.control("rcpthosts", f"{place.domain}\n")
    place.start()
    server = listen("qmail-qmtpd")
    said = qmtp.request(b"\nSubject: hello\n\n", b"sender@example.org", [place.address.encode()])
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    assert netstring.unpack(answer)[0].startswith(b"K"), answer
    assert len(place.mail(1)) == 1
    place.stop()


@pytest.mark.parametrize("place", [ROOMS[0], ROOMS[3]], indirect=True)
def test_a_new_version_takes_over_and_sessions_go_on(place: Place, listen: Listen) -> None:
    place.start()
    server = listen("qmail-smtpd")
    pid = server.process.pid
    with smtplib.SMTP("127.0.0.1", server.port, "client", 20) as client:
        client.ehlo()
        before = [] if place.exec_forced else server.ready_workers()
        new = install_another(place)

        def taken_over() -> bool:
            return runs(pid, new) and (place.exec_forced or any(runs(one, new) for one in server.ready_workers()))

        wait_for(taken_over, "the new version")
        client.sendmail("sender@example.org", [place.address], MESSAGE)
    assert len(place.mail(1)) == 1
    send(place, server, "after")
    assert len(place.mail(2)) == 2
    wait_for(lambda: not any(is_running(one) for one in before), "the end of the old workers")
    server.process.terminate()
    assert wait_for_exit(server.process) == 0
    place.stop()


def install_another(place: Place) -> str:
    """The same library under another name, switched to in one rename.  Result: its path."""
    old, new = os.readlink(f"{place.home}/lib/current"), f"{place.home}/lib/another-version"
    shutil.copytree(old, new, symlinks=True)
    owner = os.stat(old)
    for folder, _, files in os.walk(new):
        for name in ("", *files):
            os.chown(os.path.join(folder, name), owner.st_uid, owner.st_gid, follow_symlinks=False)
    os.symlink(new, f"{place.home}/lib/.next")
    os.rename(f"{place.home}/lib/.next", f"{place.home}/lib/current")
    return new


def runs(pid: int, library: str) -> bool:
    """Whether this process has something of this library in its memory."""
    with suppress(FileNotFoundError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return library in file.read()
    return False
