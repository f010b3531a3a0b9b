"""qmail-detach: a program in the background, its pid file, and what it says when that fails."""

import os
import signal
import subprocess

import pytest

from tests.support import LIBC_SIGNALS, bare_home, is_running, read, wait_for


@pytest.fixture
def home(tmp_path: object) -> str:
    return bare_home(f"{tmp_path}/home")


def detach(home: str, *words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    defaults: dict[str, object] = {"stdin": subprocess.DEVNULL, "capture_output": True}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [f"{home}/bin/qmail-detach", *words],
        env={"QMAILHOME": home, "PATH": "/usr/bin:/bin"},
        check=False,
        **{**defaults, **options},
    )


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_running(pid), f"the end of {pid}")


def test_it_runs_in_a_session_of_its_own_with_only_three_descriptors(home: str) -> None:
    pid_file = f"{home}/pid"
    done = detach(home, pid_file, "sleep", "1000")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    pid = int(read(pid_file))
    try:
        assert os.getsid(pid) not in (os.getsid(0), pid)  # and no session leader: it can never get a terminal
        assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert read(f"/proc/{pid}/cmdline") == b"sleep\x001000\x00"
        with open(f"/proc/{pid}/status", "rb") as file:
            masks = [line.split()[1] for line in file if line.startswith((b"SigIgn", b"SigBlk"))]
        assert [int(mask, 16) & ~LIBC_SIGNALS for mask in masks] == [0, 0]
    finally:
        stop(pid)


def test_a_second_one_is_refused(home: str) -> None:
    pid_file = f"{home}/pid"
    assert detach(home, pid_file, "sleep", "1000").returncode == 0
    pid = int(read(pid_file))
    try:
        done = detach(home, pid_file, "sleep", "1000")
        assert done.returncode == 111
        assert done.stderr == f"qmail-detach: fatal: it is running already: pid {pid}, says {pid_file}\n".encode()
    finally:
        stop(pid)
    assert detach(home, pid_file, "sleep", "1000").returncode == 0  # a stale file is no hindrance
    stop(int(read(pid_file)))


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(home: str) -> None:
    for words in ("no home", "no queue"):
        done = detach(home, f"{home}/pid", "sh", "-c", f"echo working; echo {words} >&2; exit 1")
        assert done.returncode == 111
        assert done.stderr == f"qmail-detach: fatal: sh ended at once: {words}\n".encode()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 100, b"usage"),
        (("PID",), 100, b"usage"),
        (("PID", "no-such-program"), 111, b"unable to find no-such-program"),
        (("/nonexistent/pid", "true"), 111, b"unable to write /nonexistent/pid.log: file does not exist"),
    ],
)
def test_what_cannot_be_started_is_one_line(home: str, words: tuple[str, ...], code: int, said: bytes) -> None:
    done = detach(home, *(word.replace("PID", f"{home}/pid") for word in words))
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_closed_descriptors_do_not_confuse_it(home: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {home}/bin/qmail-detach {home}/pid sleep 1000 0<&- 1>&- 2>&-"],
        env={"QMAILHOME": home, "PATH": "/usr/bin:/bin"},
        check=False,
    )
    pid = int(read(f"{home}/pid"))
    assert done.returncode == 0
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    stop(pid)
