"""A home with a certificate and a password, and qmail-smtpd there: on a socket of a test's own, or under tcpserver."""

import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.neighbours import is_answered, needs, started
from tests.support import (
    PATH,
    PATIENCE,
    RecordingQueue,
    bare_home,
    free_port,
    read,
    wait_for,
    wait_for_exit,
    write,
)
from tests.tls_support import Authority

NAME = "mx.example.org"
# Reads login, password and challenge from descriptor 3; runs its program only for joe, whose password is secret
CHECKPASSWORD = """#!/bin/sh
tr '\\0' '\\n' <&3 >{folder}/asked
test "$(sed -n 1,2p {folder}/asked | tr '\\n' :)" = joe:secret: || exit 1
exec "$@"
"""


class Service:
    """A home with a certificate and a password, and sessions with it."""

    def __init__(self, folder: str, authority: Authority) -> None:
        self.home = bare_home(f"{folder}/home")
        self.queue = RecordingQueue(f"{folder}/queue")
        self.log = f"{folder}/log"
        server = authority.server("server", f"DNS:{NAME}")
        self.control(rcpthosts=NAME + "\n", recipientcheck="0\n")
        write(f"{self.home}/control/servercert.pem", read(server.certificate) + read(server.key), 0o600)
        self.check = write(f"{folder}/checkpassword", CHECKPASSWORD.format(folder=folder), 0o755)
        self.context = ssl.create_default_context(cafile=authority.certificate)

    def control(self, **content: str) -> None:
        for name, text in content.items():
            write(f"{self.home}/control/{name}", text)

    @contextmanager
    def session(self, *, auth: bool = True, **environment: str) -> Iterator[socket.socket]:
        ours, theirs = socket.socketpair()
        words = [NAME, self.check, "true"] if auth else []
        with theirs, open(self.log, "ab") as log:
            process = subprocess.Popen(
                [f"{self.home}/bin/qmail-smtpd", *words],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=log,
                env={"PATH": PATH, "QMAILHOME": self.home, "TCPREMOTEIP": "192.0.2.7", **self.queue.environment}
                | environment,
            )
        ours.settimeout(PATIENCE)
        try:
            yield ours
        finally:
            ours.close()
            wait_for_exit(process)

    @contextmanager
    def client(self, *, secure: bool = True, auth: bool = True, **environment: str) -> Iterator[smtplib.SMTP]:
        """smtplib's, after EHLO and, if wanted, STARTTLS."""
        with self.session(auth=auth, **environment) as connection:
            client = smtplib.SMTP(timeout=PATIENCE, local_hostname="client.example")
            client.sock = connection
            client._host = NAME  # type: ignore[attr-defined]  # for the certificate's sake
            try:
                assert client.getreply()[0] == 220
                client.ehlo()
                if secure:
                    assert client.starttls(context=self.context)[0] == 220
                    client.ehlo()
                yield client
            finally:
                client.close()

    @contextmanager
    def listening(self, *, auth: bool = True, **environment: str) -> Iterator[int]:
        """Under tcpserver.  Result: the port."""
        needs("tcpserver")
        port = free_port()
        words = [NAME, self.check, "true"] if auth else []
        with (
            open(self.log, "ab") as log,
            started(
                ["tcpserver", "-RHl", NAME, "127.0.0.1", str(port), f"{self.home}/bin/qmail-smtpd", *words],
                env={"PATH": PATH, "QMAILHOME": self.home, **self.queue.environment, **environment},
                stderr=log,
            ),
        ):
            wait_for(lambda: is_answered("127.0.0.1", port), "tcpserver")
            yield port
