"""Mail that comes in from the network: a port where qmail-smtpd or another program serves, and clients that bring mail.

Each journey runs twice: under Debian's tcpserver, where every session is a program of its own, and under qmail-listen,
where sessions of ours are resident.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from typing import Self

import pytest

from tests.neighbours import is_answered, needs, started
from tests.places import Place, identity
from tests.support import DOMAIN, read, wait_for, write

TCPSERVER, LISTENER = "tcpserver", "qmail-listen"
BOTH = pytest.mark.parametrize("kind", [TCPSERVER, LISTENER])
HERE = "127.0.0.1"


class Port:
    """A service that listens."""

    def __init__(self, address: str, number: int, log: str, process: "subprocess.Popen[bytes]") -> None:
        self.address, self.number, self._log, self._process = address, number, log, process

    def log(self) -> str:
        return read(self._log).decode("latin-1")

    def wait_for(self, pattern: str) -> str:
        """The first match in its log."""

        def found() -> str:
            match = re.search(pattern, self.log(), re.MULTILINE)
            return match.group() if match else ""

        return wait_for(found, lambda: f"{pattern} in the log:\n{self.log()}")

    def tell(self, number: signal.Signals) -> None:
        """HUP: the control files as they are now; when this returns every new session has them."""
        workers = self._workers()
        self._process.send_signal(number)
        wait_for(lambda: self._workers() and not self._workers() & workers, "new workers")

    def _workers(self) -> set[int]:
        return set(children_named(self._process.pid, "qmail-smtpd"))

    def smtp(self, *, source: str = "", helo: str = "far.example") -> "Client":
        """A client that has said who it is.  source: the address that it comes from."""
        client = Client(self.address, self.number, source)
        assert client.line().startswith("220 ")
        assert client.say(f"HELO {helo}") == f"250 {DOMAIN}"
        return client


class Client:
    """Somebody who types SMTP."""

    def __init__(self, address: str, port: int, source: str = "") -> None:
        self.socket = socket.create_connection((address, port), 30, (source, 0) if source else None)
        self._file = self.socket.makefile("rb")

    def line(self) -> str:
        return self._file.readline().decode("latin-1").removesuffix("\r\n")

    def say(self, words: str) -> str:
        """Say a line, hear a line."""
        self.socket.sendall(words.encode() + b"\r\n")
        return self.line()

    def mail(self, sender: str, *recipients: str, text: str = "Subject: from afar\n\nHello.\n") -> str:
        """A whole message, which is taken.  Result: the last answer."""
        assert self.say(f"MAIL FROM:<{sender}>") == "250 ok"
        for recipient in recipients:
            assert self.say(f"RCPT TO:<{recipient}>") == "250 ok", recipient
        assert self.say("DATA") == "354 go ahead"
        self.socket.sendall(text.replace("\n", "\r\n").encode())
        return self.say(".")

    def quit(self) -> str:
        """The answer; the server has closed the connection then."""
        said = self.say("QUIT")
        assert self._file.read() == b""
        self.close()
        return said

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def serving(
    place: Place,
    kind: str,
    number: int,
    program: Sequence[str] = ("qmail-smtpd",),
    *,
    address: str = HERE,
    rules: str = "",
    **environment: str,
) -> Iterator[Port]:
    """A program of the home's under one of both servers, as qmaild where there is one.

    rules: path of a table for -x; environment: of the server.
    """
    words = ["-v", "-R", "-H", "-l", DOMAIN, *(["-x", rules] if rules else [])]
    if kind == TCPSERVER:
        needs("tcpserver")
        account = [] if place.embedded else ["-u", str(place.uid_of("qmaild")), "-g", gid_of("qmaild")]
        words = ["tcpserver", *words, *account]
    else:
        words = [place.program("qmail-listen"), *words]
    log = f"{place.home}.{number}.log"
    owner = identity(place.uid, place.gid) if place.embedded else {}
    with (
        open(log, "wb") as file,
        started(
            [*words, address, str(number), *program],
            env={**place.environment, **environment},
            stdout=file,
            stderr=file,
            cwd="/",
            **owner,
        ) as process,
    ):
        wait_for(lambda: is_answered(address, number), lambda: f"{kind}: {read(log).decode()}")
        yield Port(address, number, log, process)


def children_named(pid: int, name: str) -> list[int]:
    """Children of a process that run, by the kernel's short name."""
    found = []
    for child in read(f"/proc/{pid}/task/{pid}/children").split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if read(f"/proc/{int(child)}/comm").decode().strip() == name:
                found.append(int(child))
    return found


def gid_of(account: str) -> str:
    done = subprocess.run(["id", "-g", account], capture_output=True, check=True)
    return done.stdout.decode().strip()


def make_rules(place: Place, text: str) -> str:
    """A table of who may connect, by our own compiler.  Result: its path."""
    path = f"{place.home}.rules.cdb"
    done = place.run("qmail-tcprules", path, f"{path}.tmp", stdin=text.encode(), uid=os.geteuid())
    assert (done.code, done.errors) == (0, b""), done.errors
    os.chmod(path, 0o644)
    return path


def is_resident(port: Port) -> bool:
    """Whether the last session had no process of its own: its number has a dot."""
    numbers: list[str] = re.findall(r"^\S+: ok (\S+) ", port.log(), re.MULTILINE)
    return "." in numbers[-1]


def sink_route(place: Place, domain: str, port: int) -> None:
    """Mail for this domain goes to a port of this machine."""
    write(f"{place.home}/control/smtproutes", f"{domain}:{HERE}:{port}\n")
    if place.embedded and os.geteuid() == 0:
        os.chown(f"{place.home}/control/smtproutes", place.uid, place.gid)
