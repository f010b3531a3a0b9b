"""POP3 on a real machine: root asks for the password, qmaild speaks TLS, and the user alone sees his mail."""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from tests.places import Place, classic, name_of
from tests.pop3_support import HOST, tcpserver
from tests.support import PATH, give, has_program, read, wait_for, write
from tests.tls_support import Authority

pytestmark = pytest.mark.root

PASSWORD = "s3cret of joe"


@pytest.fixture
def place() -> Iterator[Place]:
    if not has_program("tcpserver"):
        pytest.skip("needs tcpserver")
    place = classic({})
    subprocess.run(["chpasswd"], input=f"joe:{PASSWORD}\nroot:{PASSWORD}\n".encode(), check=True)
    path = write("/home/joe/Maildir/new/1.x", b"Subject: x\n\nx\n")
    os.utime(path, (1, 1))
    give("/home/joe", place.uid, place.uid)
    yield place
    place.close()


def service(place: Place) -> list[str]:
    """As the manual page has it."""
    programs = [f"{place.home}/bin/{name}" for name in ("qmail-popup", "qmail-checkpassword", "qmail-pop3d")]
    return [programs[0], HOST, *programs[1:], "Maildir"]


def ask(line: socket.socket, command: str) -> bytes:
    line.sendall(f"{command}\r\n".encode())
    return line.recv(1000)


def owners(program: str) -> list[str]:
    """Whose the processes are whose command line has this word."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if program.encode() in read(f"/proc/{pid}/cmdline").split(b"\0")[1:3][-1:]:
                found.append(name_of(os.stat(f"/proc/{pid}").st_uid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found)


def test_a_user_of_the_machine_reads_his_mail_by_tls(place: Place) -> None:
    authority = Authority("/run/authority")
    pair = authority.server("mx", "DNS:localhost")
    write(f"{place.home}/control/servercert.pem", read(pair.certificate) + read(pair.key), 0o600)
    context = ssl.create_default_context(cafile=authority.certificate)
    with tcpserver(service(place), {"PATH": PATH}, "/run/popup.log") as port:
        with socket.create_connection(("127.0.0.1", port), 30) as line:
            assert line.recv(1000).startswith(b"+OK <")
            assert ask(line, "USER joe") == b"-ERR STLS first: passwords are not taken in clear\r\n"
            assert ask(line, "STLS") == b"+OK \r\n"
            with context.wrap_socket(line, server_hostname="localhost") as secret:
                assert ask(secret, "NOOP") == b"+OK \r\n"
                popup = f"{place.home}/bin/qmail-popup"
                wait_for(lambda: owners(popup) == ["qmaild", "root"], lambda: f"two processes: {owners(popup)}")
                ask(secret, "USER joe")
                assert ask(secret, f"PASS {PASSWORD}") == b"+OK \r\n"
                assert owners(f"{place.home}/bin/qmail-pop3d") == ["joe"]
                assert ask(secret, "STAT") == b"+OK 1 14\r\n"
                assert ask(secret, "QUIT") == b"+OK \r\n"
                assert secret.recv(1000) == b""
        wait_for(lambda: not owners(f"{place.home}/bin/qmail-popup"), "the end of all processes")
    assert os.listdir("/home/joe/Maildir/cur") == ["1.x:2,"]


def test_nobody_reads_mail_as_root_and_a_wrong_password_is_logged(place: Place) -> None:
    with tcpserver(service(place), {"PATH": PATH}, "/run/popup.log") as port:
        for login, password in (("root", PASSWORD), ("joe", "wrong"), ("nobody-has-this", "x")):
            with socket.create_connection(("127.0.0.1", port), 30) as line:
                line.recv(1000)
                ask(line, f"USER {login}")
                assert ask(line, f"PASS {password}") == b"-ERR authorization failed\r\n"
                assert line.recv(1000) == b""
    log = read("/run/popup.log")
    for login in ("root", "joe", "nobody-has-this"):
        words = f"qmail-popup: refused 127.0.0.1 rule=password login=<{login}> method=PASS port={port}\n"
        assert words.encode() in log
    assert PASSWORD.encode() not in log
