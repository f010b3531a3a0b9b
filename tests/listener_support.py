"""A listener in a process of its own, qmail-listen or tcpserver or the small service, and clients that talk to it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from tests.support import CHECKOUT, PATH, is_running, wait_for, wait_for_exit

SMALL = f"{CHECKOUT}/tests/small_service.py"


class Server:
    """A listening process; its words must make it print its port."""

    def __init__(
        self, folder: str, words: Sequence[str], environment: dict[str, str] | None = None, **more: Any
    ) -> None:
        """folder: for its log; more: for Popen."""
        self._log_path = f"{folder}/{len(os.listdir(folder))}.log"
        with open(self._log_path, "wb") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": PATH, **(environment or {})},
                start_new_session=True,
                **more,
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said, f"it does not listen; its log:\n{self.log()}"
        self.port = int(said)

    def log(self) -> str:
        with open(self._log_path, encoding="latin-1") as file:
            return file.read()

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """What fits this pattern in the log, as soon as there are so many."""

        def found() -> list[str]:
            matches = re.findall(pattern, self.log(), re.MULTILINE)
            return matches if len(matches) >= count else []

        return wait_for(found, lambda: f"{pattern} in the log:\n{self.log()}")

    def connect(self, address: str = "127.0.0.1", port: int | None = None) -> "Client":
        return Client(address, port or self.port)

    def heard(self) -> bytes:
        """Everything that a client who only listens is told."""
        with self.connect() as client:
            return client.rest()

    def workers(self) -> list[int]:
        return [pid for pid in all_children(self.process.pid) if is_running(pid)]

    def ready_workers(self) -> list[int]:
        """Those that have become who they are: they bear the program's name."""
        found = []
        for pid in self.workers():
            with suppress(FileNotFoundError), open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read().strip() == "qmail-smtpd":
                    found.append(pid)
        return found

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = wait_for_exit(self.process)
        self.close()
        return code

    def close(self) -> None:
        """Whatever happened, nothing stays."""
        if self.process.poll() is None:
            orphans = self.workers()  # they would go on to the end of their sessions
            self.process.kill()
            self.process.wait()
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not any(map(is_running, orphans)), "the end of the workers")
        if self.process.stdout is not None:
            self.process.stdout.close()


def all_children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def small_service(home: str, folder: str, *words: str, workers: int = 1, **more: Any) -> Server:
    """The small service.  words: options of qmail-listen."""
    return Server(
        folder,
        [
            sys.executable,
            "-P",
            "-B",
            SMALL,
            home,
            str(workers),
            *words,
            "-H",
            "-R",
            "-l",
            "here",
            "127.0.0.1",
            "0",
            "x",
        ],
        {"PYTHONPATH": os.path.realpath(f"{CHECKOUT}/lib/current"), "QMAILHOME": home},
        **more,
    )


class Client:
    """A TCP client that talks in lines."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((address, port), 20)
        self.port = self.socket.getsockname()[1]
        self._file = self.socket.makefile("rb")

    def line(self) -> bytes:
        return self._file.readline()

    def ask(self, words: bytes) -> bytes:
        """Say a line, hear a line, without their ends."""
        self.socket.sendall(words + b"\r\n")
        return self.line().rstrip(b"\r\n")

    def rest(self) -> bytes:
        try:
            return self._file.read()
        except ConnectionResetError:
            return b""

    def is_closed(self) -> bool:
        """Whether the server hangs up within a while; what it says before that is thrown away."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
