"""Real POP3 clients fetch a user's mail, in clear and by TLS, from the real programs under Debian's tcpserver."""

import os
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pop3_support import HOST, PASSWORD, USER, User, give_to_user, tcpserver
from tests.queue_support import open_door, queued
from tests.support import CHECKOUT, NOBODY, PATH, has_program, read, wait_for, write
from tests.tls_support import Authority

TO = b"X-Envelope-To: joe@mx.example.org\nTo: joe@mx.example.org\n"
MAILS = [
    TO + b"Subject: one\nFrom: ann@example.org\n\nhello\n.\n..x\n",
    TO + b"Subject: two\nFrom: bob@example.org\n\n" + b"x" * 70 + b"\n" + b"line\n" * 20_000,
]
CLEAR, STLS, IMPLICIT = "clear", "STLS", "TLS"


def need(program: str) -> None:
    if not has_program(program):
        pytest.skip(f"needs {program}")


class Place:
    """A user with mail, served in every way.  ca: a file that clients trust; ports: by way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = User(folder)
        for number, mail in enumerate(MAILS):
            self.user.put(f"new/{number}.x.host", mail, 300 - number)
        authority = Authority(f"{folder}/authority")
        pair = authority.server("mx", "DNS:localhost,IP:127.0.0.1")
        self.ca = authority.certificate
        write(f"{self.user.qmail}/control/servercert.pem", read(pair.certificate) + read(pair.key), 0o600)
        self.ports: dict[str, int] = {}
        self.log = f"{folder}/popup.log"

    @property
    def left(self) -> list[str]:
        return self.user.names()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    need("tcpserver")
    tmp_path.chmod(0o755)
    place = Place(tmp_path)
    user = place.user
    with (
        tcpserver(user.service, user.environment(), place.log) as port,
        tcpserver(user.service, user.environment({"POP3S": ""}), place.log) as secret,
    ):
        place.ports = {CLEAR: port, STLS: port, IMPLICIT: secret}
        yield place


def allow_clear(place: Place, way: str) -> None:
    write(f"{place.user.qmail}/control/authplain", "1\n" if way == CLEAR else "0\n")


def run(
    command: list[str], place: Place, *, as_user: bool = False, **variables: str
) -> "subprocess.CompletedProcess[bytes]":
    """As nobody, if the tests run as root and the client does not want to."""
    home = f"{place.folder}/client"
    os.makedirs(home, exist_ok=True)
    if as_user:
        give_to_user(home)
    other = NOBODY if as_user and os.geteuid() == 0 else None
    return subprocess.run(
        command,
        cwd=home,
        env={"PATH": PATH, "HOME": home, "LC_ALL": "C", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
        user=other,
        group=other,
        extra_groups=None if other is None else [],
    )


def owned(path: str, *, as_user: bool = True) -> str:
    """A client's file with a password in it."""
    os.chmod(path, 0o600)
    if as_user:
        give_to_user(path)
    return path


def body(mail: bytes) -> bytes:
    return mail.partition(b"\n\n")[2].rstrip(b"\n")


def check_fetched(folder: str) -> None:
    """A Maildir has both mails; qmail has put an empty line behind each."""
    names = sorted(os.listdir(f"{folder}/new"))
    assert len(names) == len(MAILS)
    assert {body(read(f"{folder}/new/{name}").replace(b"\r", b"")) for name in names} == {body(mail) for mail in MAILS}


def maildir(place: Place) -> str:
    folder = f"{place.folder}/client/fetched"
    for part in ("new", "cur", "tmp"):
        os.makedirs(f"{folder}/{part}")
    give_to_user(folder)
    return folder


def getmail(place: Place, way: str) -> "subprocess.CompletedProcess[bytes]":
    need("getmail")
    kind = "SimplePOP3SSLRetriever" if way == IMPLICIT else "SimplePOP3Retriever"
    trust = f"ca_certs = {place.ca}\n" if way != CLEAR else ""
    rc = f"""[retriever]
type = {kind}
server = localhost
port = {place.ports[way]}
username = {USER}
password = {PASSWORD}
{trust}
[destination]
type = Maildir
path = {maildir(place)}/

[options]
delete = true
"""
    owned(write(f"{place.folder}/client/getmailrc", rc))
    return run(["getmail", "--getmaildir", f"{place.folder}/client", "--rcfile", "getmailrc"], place, as_user=True)


def mpop(place: Place, way: str) -> "subprocess.CompletedProcess[bytes]":
    need("mpop")
    tls = {CLEAR: "tls off", STLS: "tls on\ntls_starttls on", IMPLICIT: "tls on\ntls_starttls off"}[way]
    auth = "auth user" if way == CLEAR else "auth on"
    rc = f"""defaults
{tls}
tls_trust_file {place.ca}
account joe
host localhost
port {place.ports[way]}
user {USER}
password "{PASSWORD}"
{auth}
keep off
delivery maildir {maildir(place)}
uidls_file {place.folder}/client/uidls
"""
    owned(write(f"{place.folder}/client/mpoprc", rc))
    return run(["mpop", "-C", f"{place.folder}/client/mpoprc", "joe"], place, as_user=True)


def fetchmail(
    place: Place, way: str, onward: str = "", *, as_user: bool = True
) -> "subprocess.CompletedProcess[bytes]":
    need("fetchmail")
    folder = f"{place.folder}/client/fetched"
    if not onward:
        maildir(place)
        deliver = write(
            f"{place.folder}/client/deliver",
            f"#!/bin/sh\ncat > '{folder}/tmp'/$$ && mv '{folder}/tmp'/$$ '{folder}/new'/$$\n",
            0o755,
        )
        onward = f"mda '{deliver}'"
    tls = {
        CLEAR: "sslproto ''",
        STLS: f"sslproto 'TLS1.2+' sslcertck sslcertfile '{place.ca}'",
        IMPLICIT: f"ssl sslcertck sslcertfile '{place.ca}'",
    }[way]
    rc = f"""poll localhost service {place.ports[way]} proto pop3
 user "{USER}" password "{PASSWORD}" is {USER} here {tls} fetchall no keep {onward}
"""
    rcfile = owned(write(f"{place.folder}/client/fetchmailrc", rc), as_user=as_user)
    words = ["fetchmail", "-f", rcfile, "--pidfile", f"{place.folder}/client/pid", "--nosyslog", "-v"]
    return run(words, place, as_user=as_user, QMAILHOME=place.user.qmail)


CLIENTS: list[tuple[Callable[[Place, str], "subprocess.CompletedProcess[bytes]"], str]] = [
    *((getmail, CLEAR), (getmail, IMPLICIT)),
    *((mpop, CLEAR), (mpop, STLS), (mpop, IMPLICIT)),
    *((fetchmail, CLEAR), (fetchmail, STLS), (fetchmail, IMPLICIT)),
]


@pytest.mark.parametrize(("client", "way"), CLIENTS, ids=[f"{one.__name__} {way}" for one, way in CLIENTS])
def test_a_client_fetches_all_and_deletes_it(
    place: Place, client: "Callable[[Place, str], subprocess.CompletedProcess[bytes]]", way: str
) -> None:
    allow_clear(place, way)
    os.makedirs(f"{place.folder}/client")
    done = client(place, way)
    assert done.returncode == 0, done.stdout.decode() + read(place.log).decode()
    check_fetched(f"{place.folder}/client/fetched")
    wait_for(lambda: not place.left, "an empty Maildir")
    tls = re.findall(rb"qmail-popup: tls 127\.0\.0\.1 TLSv1\.[23] \S+\n", read(place.log))
    assert len(tls) == (way != CLEAR)
    assert b"warning" not in read(place.log)


@pytest.mark.parametrize("way", [STLS, IMPLICIT])
def test_openssl_holds_a_session(place: Place, way: str) -> None:
    need("openssl")
    words = ["timeout", "30", "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", place.ca, "-crlf"]
    words += ["-connect", f"localhost:{place.ports[way]}", *(("-starttls", "pop3") if way == STLS else ())]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PATH": PATH}, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        replies = [] if way == STLS else [process.stdout.readline()]  # it has read the greeting itself
        for command in (f"USER {USER}", f"PASS {PASSWORD}", "STAT", "NOOP", "QUIT"):
            process.stdin.write(f"{command}\n".encode())
            replies.append(process.stdout.readline())
        process.stdin.close()
        assert process.wait(60) == 0
    assert replies[-5:-3] == [b"+OK \r\n"] * 2
    assert replies[-3] == b"+OK 2 %d\r\n" % sum(map(len, MAILS))


def secure(place: Place, line: socket.socket) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=place.ca)
    return context.wrap_socket(line, server_hostname="localhost")


def call(place: Place, way: str) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", place.ports[way]))
    line.settimeout(30)
    return line


def test_what_came_in_clear_behind_stls_is_never_answered_inside_tls(place: Place) -> None:
    with call(place, STLS) as line:
        assert line.recv(1000).startswith(b"+OK <")
        line.sendall(b"STLS\r\nCAPA\r\n")
        assert line.recv(1000) == b"-ERR STLS must be the last command before an answer\r\n"
        assert line.recv(1000) == b""


def test_what_was_said_before_stls_is_forgotten(place: Place) -> None:
    allow_clear(place, CLEAR)
    with call(place, STLS) as line:
        line.recv(1000)
        line.sendall(b"USER joe\r\n")
        assert line.recv(1000) == b"+OK \r\n"
        line.sendall(b"STLS\r\n")
        assert line.recv(1000) == b"+OK \r\n"
        with secure(place, line) as secret:
            for command, reply in (
                (b"PASS " + PASSWORD.encode(), b"-ERR USER first\r\n"),
                (b"STLS", b"-ERR authorization first\r\n"),
                (b"QUIT", b"+OK \r\n"),
            ):
                secret.sendall(command + b"\r\n")
                assert secret.recv(1000) == reply
            assert secret.recv(1000) == b""  # with TLS's farewell: without it this raises


def test_who_speaks_no_tls_is_hung_up_on(place: Place) -> None:
    with call(place, IMPLICIT) as line:
        line.sendall(b"USER joe\r\nPASS x\r\n")
        heard = b""
        while piece := line.recv(1000):
            heard += piece
    assert b"ERR" not in heard
    wait_for(lambda: b"qmail-popup: warning: TLS: " in read(place.log), "a word in the log")


# the other way round: what clients deliver by


def test_fetchmail_delivers_by_our_sendmail(place: Place) -> None:
    home = place.user.qmail
    os.makedirs(f"{place.folder}/client")
    with open_door(home):
        done = fetchmail(place, IMPLICIT, f"mda '{CHECKOUT}/bin/sendmail -i -f %F -- %T'", as_user=False)
        assert done.returncode == 0, done.stdout.decode()
        found = sorted(queued(home), key=lambda message: len(message.body))
    assert [message.todo.recipients[0].partition(b"@")[0] for message in found] == [b"joe"] * 2
    assert [message.todo.sender for message in found] == [b"ann@example.org", b"bob@example.org"]
    assert [body(message.body) for message in found] == [body(mail) for mail in MAILS]
    wait_for(lambda: not place.left, "an empty Maildir")


def test_fetchmail_delivers_by_our_smtp_server(place: Place) -> None:
    home = place.user.qmail
    write(f"{home}/control/rcpthosts", f"{HOST}\n")
    write(f"{home}/control/recipientcheck", "0\n")
    os.makedirs(f"{place.folder}/client")
    server = [f"{CHECKOUT}/bin/qmail-smtpd"]
    with open_door(home), tcpserver(server, place.user.environment(), place.log) as port:
        done = fetchmail(place, IMPLICIT, f"smtphost localhost/{port} smtpname joe@{HOST}", as_user=False)
        assert done.returncode == 0, done.stdout.decode()
        found = sorted(queued(home), key=lambda message: len(message.body))
    assert [message.todo.recipients for message in found] == [[f"joe@{HOST}".encode()]] * 2
    assert [body(message.body) for message in found] == [body(mail) for mail in MAILS]
    wait_for(lambda: not place.left, "an empty Maildir")


def getmail_to(place: Place, destination: str, *, as_user: bool = True) -> "subprocess.CompletedProcess[bytes]":
    need("getmail")
    rc = f"""[retriever]
type = MultidropPOP3SSLRetriever
envelope_recipient = x-envelope-to:1
server = localhost
port = {place.ports[IMPLICIT]}
username = {USER}
password = {PASSWORD}
ca_certs = {place.ca}

[destination]
{destination}

[options]
delete = true
delivered_to = false
"""
    os.makedirs(f"{place.folder}/client", exist_ok=True)
    owned(write(f"{place.folder}/client/getmailrc", rc))
    words = ["getmail", "--getmaildir", f"{place.folder}/client", "--rcfile", "getmailrc"]
    return run(words, place, as_user=as_user, QMAILHOME=place.user.qmail)


def test_getmail_delivers_by_our_inject(place: Place) -> None:
    home = place.user.qmail
    destination = f"""type = MDA_external
path = {CHECKOUT}/bin/qmail-inject
arguments = ("-a", "-f%(sender)", "joe@{HOST}")
allow_root_commands = true
"""
    with open_door(home):
        done = getmail_to(place, destination, as_user=False)
        assert done.returncode == 0, done.stdout.decode()
        found = sorted(queued(home), key=lambda message: len(message.body))
    assert [body(message.body) for message in found] == [body(mail) for mail in MAILS]
    assert {message.todo.recipients[0] for message in found} == {b"joe@" + HOST.encode()}


def test_getmail_delivers_by_our_qmail_local(place: Place) -> None:
    home = f"{place.folder}/client/home"
    for part in ("new", "cur", "tmp"):
        os.makedirs(f"{home}/fetched/{part}")
    give_to_user(home)
    destination = f"""type = MDA_qmaillocal
qmaillocal = {CHECKOUT}/bin/qmail-local
user = nobody
homedir = {home}
localdomain = {HOST}
defaultdelivery = ./fetched/
"""
    done = getmail_to(place, destination)
    assert done.returncode == 0, done.stdout.decode()
    check_fetched(f"{home}/fetched")
