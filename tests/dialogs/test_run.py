"""make run: home, daemons, one message, the log, and nothing left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import leftovers
from tests.support import CHECKOUT, NOBODY, wait_for, wait_for_exit

pytestmark = pytest.mark.slow

TREES = ("qmailpy", "bin", "boot", "man", "control", "alias", "tools", "PIC")


class Run:
    """One make run, its terminal a file."""

    def __init__(self, checkout: str) -> None:
        self.checkout = checkout
        self.home = f"{checkout}/var/qmail"
        self._output = f"{checkout}/output"
        with open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-B", f"{checkout}/tools/run.py"],
                cwd=checkout,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def text(self) -> str:
        with open(self._output, "rb") as file:
            return file.read().decode(errors="replace")

    def wait_for(self, words: str) -> None:
        """Until it says so; fails at once if it ends before."""

        def said() -> bool:
            return words in self.text() or self.process.poll() is not None

        wait_for(said, f"{words!r} in:\n{self.text()}", 120)
        assert words in self.text(), self.text()

    def interrupt(self, number: int) -> None:
        """As a terminal does: the whole foreground process group."""
        os.killpg(self.process.pid, number)
        assert wait_for_exit(self.process, 120) == 0, self.text()

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            wait_for_exit(self.process, 150)


@pytest.fixture
def checkout(tmp_path: object) -> Iterator[str]:
    """A copy of the project that an ordinary user owns, so that the test leaves ./var alone."""
    path = f"{tmp_path}/checkout"
    os.mkdir(path)
    for name in TREES:
        if os.path.isdir(f"{CHECKOUT}/{name}"):
            shutil.copytree(f"{CHECKOUT}/{name}", f"{path}/{name}", ignore=shutil.ignore_patterns("__pycache__"))
    if os.geteuid() == 0:
        os.chmod(str(tmp_path), 0o755)
        os.chown(path, NOBODY, NOBODY)
    yield path
    assert leftovers.processes([path]) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_message_arrives_and_a_signal_ends_everything(checkout: str, number: int) -> None:
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        text = run.text()
        in_order = [
            "log: status: local 0/",
            "log: new msg",
            "log: starting delivery 1",
            "log: end msg",
            "Delivered: ",
            "Subject:",
        ]
        places = [text.index(words) for words in in_order]
        assert places == sorted(places)
        assert f"{run.home}/bin/sendmail" in text
        run.interrupt(number)
        assert "All daemons have ended." in run.text()
        assert "killing" not in run.text()


def test_a_second_start_finds_its_queue_again(checkout: str) -> None:
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        run.interrupt(signal.SIGTERM)
    user = os.stat(f"{checkout}/var/qmail").st_uid
    done = subprocess.run(  # nobody is there to deliver: it waits in drop/ or, through root's own way, in the queue
        [f"{checkout}/var/qmail/bin/sendmail", "-i", "-oi", "root@localhost"],
        input=b"Subject: Hello from make run\n\nOf another time.\n",
        user=user if os.geteuid() == 0 else None,
        check=False,
    )
    assert done.returncode == 0
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        wait_for(lambda: run.text().count("log: end msg") >= 2, "the message of the time before", 60)
        shown = run.text().partition("Delivered: ")[2].partition("It runs.")[0]
        assert "Of another time." not in shown  # what it shows is the very message that it sent
        assert shown.count("    Message-ID: <") == 1
        run.interrupt(signal.SIGINT)


def test_two_at_once_are_refused(checkout: str) -> None:
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        second = subprocess.run(
            [sys.executable, "-P", "-B", f"{checkout}/tools/run.py"],
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert second.returncode == 1
        words = f"run: fatal: another make run is at work in {run.home}: pid {run.process.pid}\n"
        assert words in second.stdout.decode()
        run.interrupt(signal.SIGTERM)


def test_the_daemons_end_with_a_make_run_that_is_killed(checkout: str) -> None:
    """They are idle: no line of the log comes that could not be written."""
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        assert leftovers.processes([run.home]) != []
        run.process.kill()
        run.process.wait()
        wait_for(lambda: not leftovers.processes([run.home]), "the end of all daemons")
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        run.interrupt(signal.SIGTERM)


def test_daemons_that_do_not_start_are_a_clear_sentence(checkout: str) -> None:
    with open(f"{checkout}/qmailpy/programs/qmail_send.py", "w", encoding="ascii") as file:
        file.write('"""Broken."""\nraise OSError\n')
    with contextlib.closing(Run(checkout)) as run:
        assert wait_for_exit(run.process, 120) == 1
        assert "run: fatal: the daemons did not start" in run.text()


@pytest.mark.root
def test_a_checkout_that_only_root_can_read_has_its_home_elsewhere(checkout: str) -> None:
    os.chown(checkout, 0, 0)
    os.chmod(checkout, 0o700)
    with contextlib.closing(Run(checkout)) as run:
        run.wait_for("It runs.")
        (home,) = [f"/var/tmp/{name}" for name in os.listdir("/var/tmp") if name.startswith("qmailpy-65534-")]
        assert f"uid 65534 cannot reach {checkout}; the home is {home}" in run.text()
        assert os.stat(home).st_uid == NOBODY
        run.interrupt(signal.SIGINT)
        assert "All daemons have ended." in run.text()
    shutil.rmtree(home)
