"""Other people's programs around ours: a DNS server, an SMTP server, a supervisor, a syslog socket.

Real ones, from Debian; each is a context manager that leaves nobody behind.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping

import pytest

from tests.support import PATH, read, wait_for, wait_for_files, write


def needs(*names: str) -> None:
    """Skip the test, aloud, where one of these programs is missing."""
    missing = [name for name in names if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@contextlib.contextmanager
def started(words: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end of the block, with everything it started."""
    defaults = {"stdin": subprocess.DEVNULL, "start_new_session": True, "env": {"PATH": PATH}}
    process = subprocess.Popen(words, **{**defaults, **options})  # type: ignore[call-overload]
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_answered(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


ZONE = """$TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
"""


@contextlib.contextmanager
def dns_server(folder: str, zones: Mapping[str, str]) -> Iterator[None]:
    """Knot as the authority for these zones, on 127.0.0.1:53, which resolv.conf names in a machine of a test's own.

    zones: name -> records, in the format of a zone file, besides SOA and NS.
    """
    needs("knotd")
    os.makedirs(folder, exist_ok=True)
    words = [f"server:\n  listen: 127.0.0.1@53\n  rundir: {folder}\ndatabase:\n  storage: {folder}\nzone:\n"]
    for name, records in zones.items():
        write(f"{folder}/{name}.zone", ZONE + records)
        words.append(f"  - domain: {name}\n    file: {folder}/{name}.zone\n    journal-content: none\n")
    write(f"{folder}/knot.conf", "".join(words))
    with (
        open(f"{folder}/output", "wb") as output,
        started(["knotd", "-c", f"{folder}/knot.conf"], stdout=output, stderr=output),
    ):
        wait_for(lambda: is_answered("127.0.0.1", 53), f"knotd, see {folder}/output")
        yield


class Sink:
    """A real SMTP server, Postfix's smtp-sink, that accepts everything and keeps it in files."""

    def __init__(self, folder: str, pid: int) -> None:
        self.folder = folder
        self._descriptors = f"/proc/{pid}/fd"

    def mail(self, count: int = 1) -> list[bytes]:
        """The messages, each with the sink's X-Helo-Args, X-Mail-Args and X-Rcpt-Args on top."""
        paths = wait_for_files(self.folder, count)
        wait_for(lambda: self._open_files().isdisjoint(paths), "smtp-sink has written them to their ends")
        return [read(path) for path in paths]

    def _open_files(self) -> set[str]:
        opened = set()
        for name in os.listdir(self._descriptors):
            with contextlib.suppress(FileNotFoundError):
                opened.add(os.readlink(f"{self._descriptors}/{name}"))
        return opened


@contextlib.contextmanager
def smtp_sink(folder: str, address: str, port: int = 25, *options: str) -> Iterator[Sink]:
    """options: for smtp-sink(1), for example -f RCPT (refuse)."""
    needs("smtp-sink")
    os.makedirs(folder, mode=0o777, exist_ok=True)
    os.chmod(folder, 0o777)
    os.chmod(os.path.dirname(folder), 0o711)  # it gives root up before it opens a file
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    host = f"[{address}]" if ":" in address else address
    words = ["smtp-sink", *user, *options, "-d", f"{folder}/%s.", f"{host}:{port}", "100"]
    with started(words, cwd=folder) as process:
        wait_for(lambda: process.poll() is not None or is_answered(address, port), "smtp-sink")
        assert process.poll() is None, "smtp-sink has ended; what it said is in the test's output"
        yield Sink(folder, process.pid)


POSTFIX_SERVICES = """
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
anvil unix - - n - 1 anvil
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
"""  # of master.cf, for mail that goes on to another host


def make_spool(path: str) -> None:
    """Postfix's queue, as its own set-up makes it."""
    os.makedirs(f"{path}/pid")
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved"):
        os.makedirs(f"{path}/{name}", mode=0o700)
        shutil.chown(f"{path}/{name}", "postfix")
    for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
        os.makedirs(f"{path}/{name}")
        shutil.chown(f"{path}/{name}", "postfix", "postdrop")
        os.chmod(f"{path}/{name}", mode)


class Syslog:
    """The machine's /dev/log, heard by the test."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        os.chmod(path, 0o666)
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._socket.recv(65536):
                self.received.append(piece)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def lines(self) -> list[str]:
        """What splogger handed over, without priority, time, tag and its own time stamp."""
        return [text_of(piece) for piece in list(self.received) if b" qmail: " in piece]


def text_of(piece: bytes) -> str:
    """`<22>Nov 21 02:27:41 qmail: 1795228061.123456 new msg 7` -> `new msg 7`."""
    words = piece.rstrip(b"\0\n").decode("latin-1")
    head, found, line = words.partition(" qmail: ")
    assert found, words
    assert head.startswith("<"), words
    stamp, _, text = line.partition(" ")
    seconds, dot, micros = stamp.partition(".")
    assert dot, words
    assert seconds.isdigit(), words
    assert len(micros) == 6, words
    return text


@contextlib.contextmanager
def syslog() -> Iterator[Syslog]:
    heard = Syslog("/dev/log")
    try:
        yield heard
    finally:
        heard.close()
        os.unlink("/dev/log")


class Service:
    """A run directory under svscan, by svc and svstat."""

    def __init__(self, path: str) -> None:
        self.path = path

    def svc(self, option: str) -> None:
        subprocess.run(["svc", option, self.path], check=True)

    def state(self) -> str:
        return subprocess.run(["svstat", self.path], capture_output=True, check=True).stdout.decode()

    @property
    def pid(self) -> int:
        """Of what the run file became; 0 while it is down."""
        words = self.state().split("(pid ")
        return int(words[1].partition(")")[0]) if len(words) > 1 else 0

    def wait_up(self) -> int:
        return wait_for(lambda: self.pid, f"{self.path} to come up")

    def wait_down(self) -> None:
        wait_for(lambda: ": down" in self.state(), f"{self.path} to go down")


@contextlib.contextmanager
def svscan(folder: str = "/etc/service") -> Iterator[None]:
    """Debian's svscan over this directory; at the end it, its supervises and their services get TERM, as one group."""
    needs("svscan", "svc", "svstat")
    os.makedirs(folder, exist_ok=True)
    with started(["svscan", folder]):
        yield
