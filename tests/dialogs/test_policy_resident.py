"""The policy in a listener that holds many sessions in one process: its questions are answered by children."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listener_support import Server
from tests.places import identity
from tests.policy_support import control
from tests.support import NOBODY, bare_home, give, write

UID, GID = (NOBODY, NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    tmp_path.chmod(0o755)
    home = control(
        bare_home(f"{tmp_path}/home"),
        rcpthosts="mx.example.org\nhere.example\n",
        morercpthosts_cdb="not a database",
        smtpplugins='[rcpt]\nplugins/check\n[data]\n:test -z "$SCAN" || echo SQMAILQUEUE=/bin/true\n',
    )
    write(
        f"{home}/plugins/check",
        "#!/bin/sh\ncase $SMTPRCPTTO in bad@*) echo E553 bad;; scan@*) echo SSCAN=1; esac\n",
        0o755,
    )
    give(home, UID, GID)
    (tmp_path / "logs").mkdir()
    words = [f"{home}/bin/qmail-listen", "-1", "-H", "-R", "-l", "here", "127.0.0.1", "0", f"{home}/bin/qmail-smtpd"]
    server = Server(str(tmp_path / "logs"), words, {"QMAILHOME": home}, **identity(UID, GID))
    yield server
    server.close()


def test_sessions_of_one_process_ask_their_own_questions(server: Server) -> None:
    with server.connect() as one, server.connect() as other:
        for client in (one, other):
            assert client.line().startswith(b"220 ")
            assert client.ask(b"HELO c") == b"250 mx.example.org"
            assert client.ask(b"MAIL FROM:<a@b>") == b"250 ok"
        assert one.ask(b"RCPT TO:<bad@here.example>") == b"553 bad"
        assert other.ask(b"RCPT TO:<scan@here.example>") == b"250 ok"
        assert one.ask(b"RCPT TO:<missing@mx.example.org>") == b"550 sorry, no mailbox here by that name (#5.1.1)"
        assert one.ask(b"RCPT TO:<x@elsewhere.example>") == b"421 unable to read controls (#4.3.0)"
        assert one.rest() == b""
        # a scanner that a plugin wants, and that this process cannot run, is not left out
        assert other.ask(b"DATA").startswith(b"354 ")
        said = other.ask(b"Subject: x\r\n\r\nx\r\n.")
        assert said == b"451 a plugin names a queue program, and the client's rules do not (#4.3.5)"
    refused = "qmail-smtpd: refused 127.0.0.1 rule="
    found = server.wait_for(f"^{refused}.*$", 4)
    assert [line.removeprefix(refused).split()[0] for line in found] == [
        "plugin:check",
        "recipient",
        "controls",
        "queue",
    ]
