"""boot/: the network services, the same under every supervisor: with which words, and what keeps them down."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.neighbours import is_answered, needs, started
from tests.reception_support import Client
from tests.support import CHECKOUT, PATH, bare_home, free_port, read, wait_for, write

ME = "mx.example.org"
SMTP = ["qmail-smtpd"]
POP3 = ["qmail-popup", ME, "qmail-checkpassword", "qmail-pop3d", "Maildir"]
RULES = ["-X", "-x", "/etc/tcp.smtp.cdb"]
# service -> more options, limit, port, program, variables, the file without which it does not start
SERVICES: dict[str, tuple[list[str], str, str, list[str], set[str], str]] = {
    "smtp": (RULES, "1000", "25", SMTP, set(), "control/rcpthosts"),
    "submission": ([], "1000", "587", SMTP, {"SUBMISSION"}, "control/servercert.pem"),
    "submissions": ([], "1000", "465", SMTP, {"SUBMISSION", "SMTPS"}, "control/servercert.pem"),
    "pop3": ([], "100", "110", POP3, set(), ""),
    "pop3s": ([], "100", "995", POP3, {"POP3S"}, "control/servercert.pem"),
    "qmtp": (RULES, "200", "209", ["qmail-qmtpd"], set(), "control/rcpthosts"),
    "qmqp": (["-x", "/etc/tcp.qmqp.cdb"], "200", "628", ["qmail-qmqpd"], set(), "/etc/tcp.qmqp.cdb"),
}
KINDS = {"daemontools": "softlimit", "runit": "chpst", "s6": "s6-softlimit"}
RECORDER = f"""#!{sys.executable} -IS
import json, os, sys
print(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], sorted(os.environ)]))
"""


class Machine:
    """A home with nothing but control files, and programs that say how they were started."""

    def __init__(self, folder: str) -> None:
        self.folder, self.home = folder, f"{folder}/home"
        write(f"{self.home}/control/me", ME + "\nnot this line\n")
        for name in ("rcpthosts", "servercert.pem"):
            write(f"{self.home}/control/{name}", "")
        write(f"{folder}/etc/tcp.qmqp.cdb", "")
        for name in ("qmail-listen", "sleep", *KINDS.values()):
            write(f"{self.home}/bin/{name}", RECORDER, 0o755)

    def here(self, text: bytes) -> str:
        """What a file of boot/ says, about this home."""
        return text.decode().replace("/var/qmail", self.home).replace("/etc/tcp.qmqp", f"{self.folder}/etc/tcp.qmqp")

    def remove(self, wanted: str) -> None:
        os.unlink(f"{self.folder}{wanted}" if wanted.startswith("/") else f"{self.home}/{wanted}")

    def become(self, *words: str) -> tuple[str, list[str], set[str], str]:
        """Name, arguments, variables of what it becomes; what it says first."""
        done = subprocess.run(
            words,
            env={"PATH": f"{self.home}/bin:/usr/bin:/bin", "SECRET": "x"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        *said, last = done.stdout.decode().splitlines()
        name, arguments, variables = json.loads(last)
        return name, arguments, set(variables) - {"LC_CTYPE", "PATH", "PWD", "SECRET"}, "\n".join(said)

    def run(self, kind: str, service: str) -> tuple[str, list[str], set[str], str]:
        text = self.here(read(f"{CHECKOUT}/boot/{kind}/{service}/run"))
        return self.become(write(f"{self.folder}/run", text, 0o755))


@pytest.fixture
def machine(tmp_path: object) -> Machine:
    return Machine(str(tmp_path))


def expected(machine: Machine, service: str) -> tuple[list[str], set[str]]:
    more, limit, port, program, variables, _ = SERVICES[service]
    words = ["-v", "-R", "-H", "-l", ME, *more, "-c", limit, "0", port, *program]
    return [machine.here(word.encode()) for word in words], variables


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_directory_listens_where_it_says(machine: Machine, kind: str, service: str) -> None:
    words, variables = expected(machine, service)
    assert machine.run(kind, f"qmail-listen-{service}") == ("qmail-listen", words, variables, "")
    assert os.access(f"{CHECKOUT}/boot/{kind}/qmail-listen-{service}/log/run", os.X_OK)


@pytest.mark.parametrize("service", [service for service, row in SERVICES.items() if row[5]])
@pytest.mark.parametrize("kind", KINDS)
def test_it_does_not_start_without_what_it_needs(machine: Machine, kind: str, service: str) -> None:
    wanted = SERVICES[service][5]
    machine.remove(wanted)
    name, words, _, said = machine.run(kind, f"qmail-listen-{service}")
    assert (name, words) == ("sleep", ["60"])
    assert said.startswith(f"qmail-listen-{service}: fatal: ")
    assert machine.here(wanted.encode()) in said
    assert "not started" in said


@pytest.mark.parametrize("kind", KINDS)
def test_the_classic_server_gets_the_memory_that_a_session_needs(machine: Machine, kind: str) -> None:
    """The ids are asked of the machine, which has no such accounts here."""
    name, words, _, _ = machine.run(kind, "qmail-smtpd")
    assert (name, words[0]) == (KINDS[kind], "-m")
    assert int(words[1]) >= 100_000_000
    assert words[2:7] == ["tcpserver", "-v", "-R", "-H", "-l"]
    assert words[-3:] == ["0", "25", "qmail-smtpd"]
    machine.remove("control/rcpthosts")
    assert machine.run(kind, "qmail-smtpd")[0] == "sleep"


@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_starts_the_same(machine: Machine, service: str) -> None:
    """The command line of ExecStart is one for /bin/sh; systemd itself turns $$ into $."""
    text = machine.here(read(f"{CHECKOUT}/boot/systemd/qmail-listen-{service}.service"))
    (script,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", text, re.MULTILINE)
    words, variables = expected(machine, service)
    name, found, _, _ = machine.become("/bin/sh", "-c", script.replace("$$", "$"))
    assert (name, found) == ("qmail-listen", words)
    assert set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)) == {"PATH", *variables}
    wanted = SERVICES[service][5] or "control/me"
    path = wanted if wanted.startswith("/") else f"/var/qmail/{wanted}"
    assert f"\nAssertPathExists={machine.here(path.encode())}\n" in text


@pytest.mark.parametrize("service", SERVICES)
def test_openrc_has_the_same_words(machine: Machine, service: str) -> None:
    text = machine.here(read(f"{CHECKOUT}/boot/openrc/qmail-listen"))
    script = write(f"{machine.folder}/words", text.partition("\nstart_pre()")[0] + "\nexec env $(words)\n", 0o755)
    words, variables = expected(machine, service)
    name, found, given, _ = machine.become("env", f"RC_SVCNAME=qmail-listen.{service}", "sh", script)
    assert (name, found, given - {"RC_SVCNAME"}) == ("qmail-listen", words, variables)


def test_the_run_directories_of_all_supervisors_differ_in_their_own_words_only() -> None:
    def lines(kind: str, service: str) -> list[bytes]:
        text = read(f"{CHECKOUT}/boot/{kind}/{service}/run").replace(KINDS[kind].encode() + b" -m", b"LIMIT")
        return [line for line in text.splitlines() if not line.startswith((b"#   ln", b"# svc", b"# sv ", b"# s6-svc"))]

    for service in [*(f"qmail-listen-{name}" for name in SERVICES), "qmail-smtpd"]:
        assert lines("daemontools", service) == lines("runit", service) == lines("s6", service)


def test_a_socket_that_accepts_gives_each_session_its_client(tmp_path: object) -> None:
    """What qmail-smtpd@.service is given by systemd: the connection on 0 and 1, the log on 2, and nothing else."""
    needs("systemd-socket-activate")
    home, port = bare_home(f"{tmp_path}/home"), free_port()
    write(f"{home}/control/rcpthosts", ME + "\n")
    with (
        open(f"{tmp_path}/log", "wb") as log,
        started(
            ["systemd-socket-activate", "--accept", "--inetd", "-l", f"127.0.0.1:{port}", f"{home}/bin/qmail-smtpd"],
            env={"PATH": PATH},
            stderr=log,
        ),
    ):
        wait_for(lambda: is_answered("127.0.0.1", port), "systemd-socket-activate")
        with Client("127.0.0.1", port) as client:
            assert client.line() == f"220 {ME} ESMTP"
            assert client.say("HELO x") == f"250 {ME}"
            assert client.say("MAIL FROM:<a@b.example>") == "250 ok"
            assert client.say("RCPT TO:<c@other.example>").startswith("553 ")
            assert client.quit() == f"221 {ME}"
        wait_for(lambda: b"qmail-smtpd: refused 127.0.0.1 rule=rcpthosts " in read(f"{tmp_path}/log"), "the log")
    unit = read(f"{CHECKOUT}/boot/systemd/qmail-smtpd@.service").decode()
    for line in ("User=qmaild", "StandardInput=socket", "StandardOutput=socket", "StandardError=journal"):
        assert f"\n{line}\n" in unit
    assert "\nAccept=yes\n" in read(f"{CHECKOUT}/boot/systemd/qmail-smtpd.socket").decode()
