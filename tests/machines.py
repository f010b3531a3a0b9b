"""Machines for root's tests, each started as a copy of one process that has everything imported and collected.

To start pytest anew for every test would cost a second of the processor each time; a copy costs a few hundredths. What
is in a machine says tests/namespaces.py. Run as a program this file is that process, the nursery: it takes orders from
the session of tests that started it, and ends with it, and every machine with it.
"""

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

import pytest

from tests import namespaces

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LONGEST = 600  # seconds for one test
ORDER = 65536  # bytes of the longest order
INSIDE = ["-q", "-p", "no:xdist", "--basetemp=/var/tmp/inside"]  # how pytest runs in a machine
NOT_THEIRS = ("TMPDIR", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST")


# --- outside ---


class Nursery:
    """The process that machines are copied from."""

    def __init__(self, files: list[str]) -> None:
        """files: of all the tests that will be asked for."""
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if name not in NOT_THEIRS}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-B", "-m", "tests.machines", str(theirs.fileno()), *files],
                cwd=CHECKOUT,
                env={**environment, namespaces.REPORTS: "-1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(self, number: int, test: str, scratch: str, descriptors: list[int]) -> None:
        order = {"start": number, "test": test, "scratch": scratch}
        with contextlib.suppress(BrokenPipeError):  # it is gone: the test will not come to its end
            socket.send_fds(self._orders, [json.dumps(order).encode()], descriptors)

    def finish(self, number: int, seconds: float) -> bool:
        """Wait so long for a machine, then end it.  Result: whether it had ended by itself."""
        try:
            self._orders.send(json.dumps({"finish": number, "seconds": seconds}).encode())
            return self._orders.recv(ORDER) == b"in time"
        except (BrokenPipeError, ConnectionResetError):
            return False

    def close(self) -> None:
        """Nothing of it is left."""
        self._orders.close()
        self._process.wait()


class Machine:
    """One test, running in a machine of its own from the moment this is made."""

    def __init__(self, nursery: Nursery, number: int, test: str, scratch: str) -> None:
        """test: its node id; scratch: a directory on a real file system that will be made, and removed in the end."""
        self._nursery, self._number, self._test, self._scratch = nursery, number, test, scratch
        os.makedirs(f"{scratch}/qmail")
        self._reports, self._output = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        nursery.start(number, test, scratch, [self._reports.fileno(), self._output.fileno()])
        self._is_there = True

    def result(self) -> tuple[list[Any], str]:
        """Pytest's reports as data, and everything else that was printed, when it has ended."""
        if not self._finish(LONGEST):
            print(f"{self._test} has not ended in {LONGEST} s, or its machine was lost", file=sys.stderr)
        self._reports.seek(0)
        self._output.seek(0)
        found = [json.loads(line) for line in self._reports.read().splitlines()]
        return found, self._output.read().decode(errors="replace")

    def _finish(self, seconds: float) -> bool:
        self._is_there = False
        return self._nursery.finish(self._number, seconds)

    def end(self) -> None:
        """Nothing of it is left."""
        if self._is_there:
            self._finish(0)
        self._reports.close()
        self._output.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


# --- the nursery ---


def main(orders: socket.socket, files: list[str]) -> None:
    """Import and collect everything once; then a copy for each test that is asked for, until nobody asks any more."""
    pytest.main([*INSIDE, "--collect-only", *files])
    gc.collect()
    gc.freeze()  # or looking for garbage would copy all of it into each machine
    running: dict[int, int] = {}
    try:
        while True:
            text, descriptors, _, _ = socket.recv_fds(orders, ORDER, 2, socket.MSG_CMSG_CLOEXEC)
            if not text:
                return
            order = json.loads(text)
            if "start" in order:
                running[order["start"]] = start(orders, order["test"], order["scratch"], *descriptors)
            else:
                in_time = finish(running.pop(order["finish"]), order["seconds"])
                orders.send(b"in time" if in_time else b"late")
    except BrokenPipeError:  # the session was killed
        return
    finally:
        for pid in running.values():
            finish(pid, 0)


def start(orders: socket.socket, test: str, scratch: str, reports: int, output: int) -> int:
    """Result: the pid of the process that stands for the machine and ends with it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            orders.close()
            os.setsid()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ[namespaces.REPORTS] = str(reports)
            code = live(test, scratch)
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(code)
    os.close(reports)
    os.close(output)
    return pid


def live(test: str, scratch: str) -> int:
    """A machine: its first process prepares it, starts pytest and buries every orphan until that ends."""
    first = namespaces.separate()
    if first:
        return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 255
    namespaces.prepare(scratch)
    worker = os.fork()
    if worker == 0:
        return int(pytest.main([*INSIDE, test]))
    while True:
        pid, status = os.wait()
        if pid == worker:
            return os.waitstatus_to_exitcode(status) & 255


def finish(pid: int, seconds: float) -> bool:
    """Wait so long for a child, then kill it.  Result: whether it had ended by itself."""
    descriptor = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    in_time = bool(poller.poll(seconds * 1000))
    os.close(descriptor)
    os.kill(pid, signal.SIGKILL)  # and the kernel takes the machine with it
    os.waitpid(pid, 0)
    return in_time


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
