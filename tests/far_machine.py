"""Another machine: a network namespace with an address of its own, where a whole mail system of an ordinary user lives.

Only inside a machine of a test's own (tests/namespaces.py). It is far.example, 203.0.113.2; its user is nobody.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

from tests.logs import Log
from tests.places import make_maildir
from tests.support import NOBODY, PATH, give, make_home, wait_for, wait_for_files, write

NAME = "far.example"
USER = f"nobody@{NAME}"
ADDRESS, OURS = "203.0.113.2", "203.0.113.1"
ZONE = f"@ IN MX 10 mx\nmx IN A {ADDRESS}\n"  # of far.example
_INSIDE = ["ip", "netns", "exec", "far"]
_AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _connect() -> None:
    """A cable between both, and port 25 for everybody there."""
    for words in (
        "ip netns add far",
        "ip link add here type veth peer name there netns far",
        f"ip address add {OURS}/24 dev here",
        "ip link set here up",
        "ip -n far link set lo up",
        f"ip -n far address add {ADDRESS}/24 dev there",
        "ip -n far link set there up",
        f"ip -n far route add default via {OURS}",
        "ip netns exec far sysctl -qw net.ipv4.ip_unprivileged_port_start=0",
    ):
        subprocess.run(words.split(), check=True, stdin=subprocess.DEVNULL)


class Far:
    """The other machine, running."""

    def __init__(self, folder: str) -> None:
        """folder: for its home; everybody may go through it afterwards."""
        _connect()
        os.chmod(folder, 0o711)
        self.home = make_home(f"{folder}/far", NOBODY, me=NAME)
        write(f"{self.home}/control/smtproutes", f":{OURS}\n")
        make_maildir(f"{self.home}/home/Maildir")
        give(self.home, NOBODY, NOBODY)
        self._log_path = f"{folder}/far.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.log = Log(self._lines)

    def _lines(self) -> list[str]:
        with open(self._log_path, "rb") as file:
            return file.read().decode("latin-1").split("\n")[:-1]

    def words(self, *words: str) -> list[str]:
        """A command of the user's there."""
        return [*_INSIDE, *_AS_NOBODY, "env", "-i", f"PATH={self.home}/bin:{PATH}", "USER=nobody", *words]

    def _start(self, *words: str) -> None:
        with open(self._log_path, "ab") as log:
            self._processes.append(
                subprocess.Popen(
                    self.words(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )

    def start(self) -> None:
        self._start("qmail-start", "./Maildir/")
        self.log.wait("status", local="0", remote="0")
        self._start("qmail-listen", "-vRHl", NAME, "0", "25", "qmail-smtpd")
        wait_for(lambda: "qmail-listen: status: 0/40" in self._lines(), "the other machine's port 25")

    def run(self, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(self.words(*words), input=stdin, capture_output=True, check=False, timeout=60)

    def send(self, recipient: str, text: str = "Subject: from afar\n\nHello.\n") -> None:
        done = self.run("sendmail", "-f", USER, recipient, stdin=text.encode())
        assert done.returncode == 0, done.stderr

    def mail(self, count: int = 1) -> list[str]:
        """What its user has got, oldest first."""
        found = []
        for path in wait_for_files(f"{self.home}/home/Maildir/new", count):
            with open(path, "rb") as file:
                found.append(file.read().decode())
        return found

    def close(self) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            process.wait(20)


@contextlib.contextmanager
def far_machine(folder: str) -> Iterator[Far]:
    """It runs until the end of the block."""
    far = Far(folder)
    try:
        far.start()
        yield far
    finally:
        far.close()
