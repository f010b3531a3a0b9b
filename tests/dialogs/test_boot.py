"""boot/: what each script starts, with which words and which environment."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.neighbours import needs
from tests.support import CHECKOUT, bare_home, is_running, read, wait_for, write

FORWARD = "|dot-forward .forward\n"
CLASSIC = {
    "home": "./Mailbox",
    "maildir": "./Maildir/",
    "proc": "|preline procmail",
    "binm1": '|preline -f /usr/libexec/mail.local -r "${SENDER:-MAILER-DAEMON}" -d "$USER"',
    "binm2": '|preline -f /bin/mail -r "${SENDER:-MAILER-DAEMON}" -d "$USER"',
    "binm3": '|preline -f /bin/mail -f "${SENDER:-MAILER-DAEMON}" -d "$USER"',
}
RECORDER = f"""#!{sys.executable} -IS
import json, os, sys
print(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], {{name: os.environ[name] for name in os.environ}}]))
"""


@pytest.fixture
def stubs(tmp_path: object) -> str:
    """Programs that say how they were started, in the place of all that boot/ names."""
    folder = f"{tmp_path}/stubs"
    for name in ("qmail-start", "setuidgid", "chpst", "s6-setuidgid", "tcpserver"):
        write(f"{folder}/{name}", RECORDER, 0o755)
    return folder


def start(path: str, stubs: str) -> tuple[str, list[str], dict[str, str]]:
    """Name, arguments and environment of what the script became."""
    done = subprocess.run(
        [path],
        env={"PATH": f"{stubs}:/usr/bin:/bin", "SECRET": "x"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    name, arguments, environment = json.loads(done.stdout)
    environment.pop("LC_CTYPE", None)  # the interpreter's own
    return name, arguments, environment


@pytest.mark.parametrize("script", sorted(CLASSIC))
def test_a_classic_script_starts_qmail_with_its_delivery_and_a_clean_environment(script: str, stubs: str) -> None:
    name, arguments, environment = start(f"{CHECKOUT}/boot/{script}", stubs)
    assert (name, arguments) == ("qmail-start", [CLASSIC[script], "splogger", "qmail"])
    assert environment == {"PATH": f"/var/qmail/bin:{stubs}:/usr/bin:/bin"}


@pytest.mark.parametrize("script", sorted(set(CLASSIC) - {"maildir"}))
def test_the_same_with_forward_files_first(script: str, stubs: str) -> None:
    _, arguments, _ = start(f"{CHECKOUT}/boot/{script}+df", stubs)
    assert arguments == [FORWARD + CLASSIC[script], "splogger", "qmail"]


@pytest.mark.parametrize("kind", ["daemontools", "runit", "s6"])
def test_a_run_directory_starts_what_it_says(kind: str, stubs: str) -> None:
    boot = f"{CHECKOUT}/boot/{kind}"
    assert start(f"{boot}/qmail-send/run", stubs)[:2] == ("qmail-start", ["./Maildir/"])
    assert start(f"{boot}/qmail-send-splogger/run", stubs)[:2] == ("qmail-start", ["./Maildir/", "splogger", "qmail"])
    name, arguments, environment = start(f"{boot}/qmail-queued/run", stubs)
    assert name in ("setuidgid", "chpst", "s6-setuidgid")
    assert arguments[-3:] == ["qmailq", "qmail-queued", "service"]
    assert list(environment) == ["PATH"]
    for service in ("qmail-send", "qmail-queued", "qmail-smtpd"):
        assert os.access(f"{boot}/{service}/log/run", os.X_OK)


def test_every_file_says_what_it_is_for() -> None:
    for folder, _, files in os.walk(f"{CHECKOUT}/boot"):
        for name in files:
            text = read(f"{folder}/{name}").decode()
            assert name == "README" or "\n# " in text or text.startswith("# "), f"{folder}/{name}"


class InitScript:
    """boot/init.d/qmail over a home whose qmail-start is a stand-in that runs until TERM."""

    def __init__(self, folder: str) -> None:
        self.home = bare_home(f"{folder}/home")
        self.pid_file = f"{folder}/qmail.pid"
        text = read(f"{CHECKOUT}/boot/init.d/qmail").decode()
        text = text.replace("/var/qmail", self.home).replace("/run/qmail.pid", self.pid_file)
        self.path = write(f"{folder}/qmail", text, 0o755)
        self.signals = f"{folder}/signals"
        self.stand_in(
            f"trap 'echo HUP >>{self.signals}' HUP; trap 'exit 0' TERM; echo up >>{self.signals}; "
            "while :; do sleep 0.05; done"
        )

    def stand_in(self, body: str) -> None:
        write(f"{self.home}/bin/qmail-start", f"#!/bin/sh\n{body}\n", 0o755)

    def __call__(self, word: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.path, word], env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    @property
    def pid(self) -> int:
        return int(read(self.pid_file))


@pytest.fixture
def init(tmp_path: object) -> InitScript:
    return InitScript(str(tmp_path))


def test_an_init_script_starts_reloads_and_stops(init: InitScript) -> None:
    assert init("status")[0] == 3
    assert init("start") == (0, "Starting qmail\n")
    pid = init.pid
    try:
        assert init("status") == (0, f"qmail is running, pid {pid}\n")
        assert init("start") == (0, f"qmail is running already, pid {pid}\n")
        assert init("reload")[0] == 0
        wait_for(lambda: b"HUP" in read(init.signals), "the signal")
        assert init("stop")[0] == 0
        assert not is_running(pid)
        assert not os.path.exists(init.pid_file)
        assert init("reload")[0] == 7
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_an_init_script_says_why_nothing_started(init: InitScript) -> None:
    init.stand_in("echo 'qmail-start: fatal: unable to find user qmails' >&2; exit 111")
    code, text = init("start")
    assert code == 111
    assert "qmail-detach: fatal: qmail-start ended at once: qmail-start: fatal: unable to find user qmails\n" in text


def test_an_init_script_knows_that_qmail_died(init: InitScript) -> None:
    init("start")
    pid = init.pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(pid), "its end")
    assert init("status")[0] == 1
    assert init("start")[0] == 0
    assert init("stop")[0] == 0


@pytest.mark.parametrize("proc", ["/proc/", "/nonexistent/"])
def test_an_init_script_takes_a_zombie_for_dead(init: InitScript, proc: str) -> None:
    """Where pid 1 waits for nobody, what has ended stays in the table of processes; and not every system has /proc."""
    if proc != "/proc/":
        needs("ps")
        write(init.path, read(init.path).replace(b"/proc/", proc.encode()), 0o755)
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    try:
        write(init.pid_file, f"{zombie.pid}\n")
        assert init("status") == (1, f"qmail is dead, but {init.pid_file} exists\n")
        assert init("reload")[0] == 7
        assert init("stop") == (0, "qmail is not running\n")
        write(init.pid_file, f"{os.getpid()}\n")
        assert init("status") == (0, f"qmail is running, pid {os.getpid()}\n")
    finally:
        zombie.wait()


def test_an_init_script_stops_what_nobody_waits_for(init: InitScript) -> None:
    """The stand-in is our own child, and we look away until the script has seen it end."""
    child = subprocess.Popen([f"{init.home}/bin/qmail-start"], start_new_session=True)
    try:
        wait_for(lambda: os.path.exists(init.signals), "its start")
        write(init.pid_file, f"{child.pid}\n")
        assert init("stop") == (0, "Stopping qmail: running deliveries may end first\n")
        assert not os.path.exists(init.pid_file)
    finally:
        child.kill()
        child.wait()


def test_an_unknown_word_is_usage(init: InitScript) -> None:
    code, text = init("dance")
    assert (code, "usage: " in text) == (2, True)


def test_shells_that_are_not_bash_understand_the_scripts() -> None:
    shells = [shell for shell in ("dash", "busybox", "ksh", "mksh") if shutil.which(shell)]
    if not shells:
        pytest.skip("needs dash, busybox or ksh")
    for shell in shells:
        words = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
        subprocess.run([*words, f"{CHECKOUT}/boot/init.d/qmail"], check=True)
