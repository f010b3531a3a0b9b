"""Peers that mean harm, met by bin/qmail-remote itself: exact reports, and no word of a secret anywhere."""

import contextlib
import os
import subprocess
import sys
from typing import Any

import pytest

from qmailpy.rules.report import reduce
from qmailpy.wire import sasl
from tests.hostile_support import (
    DIED,
    DIED_AFTER_DOT,
    HALF,
    PIPELINING,
    SILENT,
    STEPS,
    TAKEN,
    UNANSWERED,
    by_table,
    follow,
)
from tests.remote_support import GOOD, Line, Peer, Place, Script
from tests.support import CHECKOUT, PATH, PATIENCE, read, write


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


class Remote:
    """A qmail-remote under way."""

    def __init__(self, place: Place, host: str) -> None:
        argv = [sys.executable, "-P", "-B", f"{CHECKOUT}/bin/qmail-remote", host, "from@here.example", f"to@{host}"]
        environment = {"PATH": PATH, "QMAILHOME": place.path}
        with open(place.message, "rb") as file:
            self.process = subprocess.Popen(
                argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=environment
            )

    def end(self) -> bytes:
        """Its report.  It exits 0 and says nothing else."""
        report, words = self.process.communicate(timeout=PATIENCE)
        assert (self.process.returncode, words) == (0, b"")
        return bytes(report)


def waits(port: int) -> bytes:
    return b"Mail waits for the relay 127.0.0.1 port %d.\n\0" % port


def marked(report: bytes, port: int) -> bytes:
    """With the line that says that mail waits for a relay."""
    return report.removesuffix(b"\0") + waits(port) if report != TAKEN else report


def scripted(*words: Any) -> Script:
    return lambda line: follow(line, by_table(*words))


def test_the_program_reports_every_break_of_the_dialogue_byte_by_byte(place: Place) -> None:
    place.control("timeoutremote", "1")
    rows: list[tuple[Script, bytes]] = []
    for step in STEPS:
        items = b"r\0" if step in ("DATA", "dot") else b""
        lost = items + (DIED_AFTER_DOT if step == "dot" else DIED)
        rows += [(scripted({"EHLO": PIPELINING}, (step, what)), lost) for what in (UNANSWERED, HALF, SILENT)]
    rows.append((scripted(), TAKEN))
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(script)) for script, _ in rows]
        routes = [f"{at}.example:127.0.0.1:{peer.port}" for at, peer in enumerate(peers)]
        place.control("smtproutes", "\n".join(routes))
        running = [Remote(place, f"{at}.example") for at in range(len(rows))]
        for (_, report), peer, remote in zip(rows, peers, running, strict=True):
            assert remote.end() == marked(report, peer.port)


# what nobody may see

PASSWORD = b"correct:horse battery"
SECRETS = (
    PASSWORD,
    PASSWORD.hex().encode(),
    *(sasl.encoded(bytes(before) + PASSWORD)[2:-4] for before in range(3)),
    sasl.encoded(b"\0joe\0" + PASSWORD),
)


LOGINS = [
    *(
        (b"PLAIN", reply)
        for reply in (b"535 no", b"454 later", b"421 bye", b"235 in", b"334 ?", b"what", b"535-no\r\n235 in")
    ),
    *((mechanism, b"535 no") for mechanism in (b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-256")),
    *((mechanism, b"334 ?") for mechanism in (b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-256")),
]


def asks_for_login(mechanism: bytes, reply: bytes, shown: list[bytes]) -> Script:
    """A server that repeats what it hears.  shown: gets what everybody can see of our processes meanwhile."""

    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(b"250-peer\r\n250 AUTH " + mechanism + b"\r\n")
        heard = line.hear().rstrip()
        if mechanism == b"LOGIN":
            line.say(b"334 VXNlcm5hbWU6\r\n")
            line.hear()
            line.say(b"334 UGFzc3dvcmQ6\r\n")
            heard = line.hear().rstrip()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                shown.append(read(f"/proc/{pid}/cmdline") + read(f"/proc/{pid}/environ"))
        line.say(reply + b" " + heard + b"\r\n")
        while True:
            line.say(b"550 no " + heard + line.hear())

    return script


def test_a_refused_login_holds_the_mail_and_is_seen_nowhere(place: Place) -> None:
    write(f"{place.path}/control/embedded", "")
    write(f"{place.path}/control/smtpauth", b"isp:joe:" + PASSWORD + b"\n", 0o600)
    shown: list[bytes] = []
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(asks_for_login(*row, shown))) for row in LOGINS]
        routes = [f"{at}.example:127.0.0.1:{peer.port} tls=none auth=isp" for at, peer in enumerate(peers)]
        place.control("smtproutes", "\n".join(routes))
        running = [Remote(place, f"{at}.example") for at in range(len(LOGINS))]
        reports = [remote.end() for remote in running]
    for row, report in zip(LOGINS, reports, strict=True):
        assert reduce(report, 0, 0)[0] == (b"D" if row[1] == b"235 in" else b"Z"), row
        assert b"log in" in report or b"login" in report or b"makes no sense" in report, row
    assert len(shown) > len(LOGINS)
    for secret in SECRETS:
        assert len(secret) > 15
        assert secret not in b"".join(reports)
        assert secret not in b"".join(shown)


# surroundings in which no program can do its work

SURROUNDINGS = [
    *(f"ulimit -v {kilobytes}" for kilobytes in range(14_000, 32_000, 3_000)),
    *(f"ulimit -n {descriptors}" for descriptors in range(3, 8)),
    *("ulimit -f 0", "exec 0<&-", "exec 2<&-", "mkdir gone; cd gone; rmdir ../gone"),
]


def test_what_keeps_the_program_from_its_work_keeps_the_mail(place: Place, tmp_path: object) -> None:
    program = [sys.executable, "-P", "-B", f"{CHECKOUT}/bin/qmail-remote", "there.example", "s@x", "to@there.example"]
    outcomes = {}
    with Peer(scripted()) as peer, contextlib.ExitStack() as stack:
        place.route_to(peer)
        running = {
            words: stack.enter_context(
                subprocess.Popen(
                    ["/bin/sh", "-c", f'{words} || exit 111; exec "$@"', "sh", *program],
                    stdin=stack.enter_context(open(place.message, "rb")),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=str(tmp_path),
                    env={"PATH": PATH, "QMAILHOME": place.path},
                )
            )
            for words in SURROUNDINGS
        }
        for words, process in running.items():
            output, _ = process.communicate(timeout=PATIENCE)
            outcomes[words] = reduce(output, max(process.returncode, 0), max(-process.returncode, 0))
    assert {letter for letter, _ in outcomes.values()} <= {b"K", b"Z"}, outcomes
