"""make run: the whole system in a home of its own, one message through it, and the log as it happens.

Needs no root, no accounts and no port under 1024 (the embedded way). Root first becomes the owner of the checkout, or
65534 where that is root. The home is var/qmail in the checkout; a second start finds its queue again.
Ctrl-C or TERM ends it: TERM goes to qmail-send, which lets running deliveries end; nothing is left behind. If this
program is killed, its end of the log's pipe is gone, and qmail-send does the same by itself.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from qmailpy.install import ground, order
from qmailpy.programs.qmail_detach import ends_within
from qmailpy.programs.table import PROGRAMS
from qmailpy.system import identity
from qmailpy.verdict import Die

CHECKOUT = os.fsencode(sys.path[0])
MODES = {program.name: program.mode for program in PROGRAMS.values()}
HOLDER = b"/make-run.pid"  # in the home: locked by who runs it, and holds its pid
START_PATIENCE = 30.0  # seconds until the log's first line must be there
DELIVERY_PATIENCE = 60.0  # seconds for one message to one Maildir on this machine
STOP_PATIENCE = 120.0  # seconds for running deliveries to end
LEFTOVER_PATIENCE = 10.0  # seconds for a daemon to see that the others have ended
READY = b"status: local 0/"
FINISHED = b"end msg "


class Trouble(Exception):
    """Something failed: one sentence for whoever typed make run."""


def say(line: str) -> None:
    """One line, at once."""
    print(line.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), flush=True)


def show(name: str, line: bytes) -> None:
    """A line that one of the programs said."""
    say(f"{name}: {line.decode('utf-8', 'replace')}")


class System:
    """The daemons in a session of their own, and their log."""

    def __init__(self, home: bytes) -> None:
        """Nothing runs yet."""
        self.home = home
        self.wanted_down = False
        self._process: subprocess.Popen[bytes] | None = None
        self._line = b""
        self._lines: list[bytes] = []  # of the log, since it was last looked at

    def start(self) -> None:
        """Start qmail-start, and wait for qmail-send's first status."""
        environment = {b"PATH": self.home + b"/bin:" + os.environb.get(b"PATH", b"/usr/bin:/bin")}
        self._process = subprocess.Popen(
            [self.home + b"/bin/qmail-start", b"./Maildir/"],
            env=environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if not self.wait_for(READY, START_PATIENCE):
            raise Trouble("the daemons did not start: their last words are above")

    def wait_for(self, beginning: bytes, patience: float) -> bool:
        """Show the log until a line begins so.  Result: whether one came in time and the system still runs."""
        deadline = time.monotonic() + patience
        while not self.wanted_down and (left := deadline - time.monotonic()) > 0:
            more = self.read(left)
            if any(line.startswith(beginning) for line in self._lines):
                self._lines.clear()
                return True
            self._lines.clear()
            if not more:
                return False
        return False

    def read(self, patience: float | None) -> bool:
        """Show what the log says within this time.  Result: False at its end: everybody who could write has gone."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor, WAKE[0]], [], [], patience)
        if WAKE[0] in ready:
            os.read(WAKE[0], 512)
        if descriptor not in ready:
            return True
        piece = os.read(descriptor, 65536)
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            show("log", line)
            self._lines.append(line)
        return bool(piece)

    def follow(self) -> bool:
        """Show the log until somebody wants the end.  Result: False if the system ended by itself."""
        while not self.wanted_down:
            if not self.read(None):
                return False
        return True

    def stop(self) -> None:
        """TERM to qmail-send, wait for all of the session to end, kill what does not."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE
        while (left := deadline - time.monotonic()) > 0 and self.read(left):
            pass
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say("run: qmail-send does not end; killing it (its mail stays in the queue)")
            self._process.kill()
            self._process.wait()
        for pid in members(self._process.pid):
            if ends_within(pid, LEFTOVER_PATIENCE):
                continue
            say(f"run: killing process {pid}, which was left over")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.stdout.close()  # type: ignore[union-attr]


def members(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, _, _, of_session = file.read().rpartition(b") ")[2].split()[:4]
        except OSError:
            continue
        if int(of_session) == session and state not in (b"Z", b"X"):
            found.append(int(name))
    return found


WAKE = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # a caught signal writes here, so that a wait for the log ends


def catch_signals(system: System) -> None:
    """Ctrl-C, TERM and a closed terminal all mean: end in order."""

    def end(_number: int, _frame: object) -> None:
        system.wanted_down = True

    signal.set_wakeup_fd(WAKE[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def send(home: bytes, recipient: bytes) -> bytes:
    """Hand one message to our sendmail, as any program on this machine would.  Result: the field that only it has."""
    mark = b"Message-ID: <%d.%d@make-run.invalid>" % (time.time_ns(), os.getpid())
    message = (
        b"From: " + recipient + b"\nTo: " + recipient + b"\nSubject: Hello from make run\n" + mark + b"\n\n"
        b"This message went from sendmail through the door into the queue,\nand from there to this Maildir.\n"
    )
    try:
        done = subprocess.run(
            [home + b"/bin/sendmail", recipient],
            input=message,
            env={**os.environb, b"USER": recipient, b"LOGNAME": recipient},
            capture_output=True,
            timeout=DELIVERY_PATIENCE,
            check=False,
            start_new_session=True,  # Ctrl-C is for us: a message half handed over helps nobody
        )
    except subprocess.TimeoutExpired:
        raise Trouble("sendmail did not return: the door does not answer") from None
    for line in (done.stdout + done.stderr).splitlines():
        show("sendmail", line)
    if done.returncode:
        raise Trouble(f"sendmail refused the message: exit code {done.returncode}")
    return mark


def delivered(home: bytes, known: set[bytes], mark: bytes) -> bytes | None:
    """Where the message with this field lies; mail of an earlier time may arrive before it."""
    folder = home + b"/home/Maildir/new"
    for name in sorted(set(os.listdir(folder)) - known):
        with open(folder + b"/" + name, "rb") as file:
            if b"\n" + mark + b"\n" in file.read().partition(b"\n\n")[0] + b"\n":
                return folder + b"/" + name
    return None


def show_delivered(path: bytes) -> None:
    """The message that came, as it lies in the Maildir."""
    say(f"\nDelivered: {os.fsdecode(path)}")
    with open(path, "rb") as file:
        for line in file.read().splitlines():
            say("    " + line.decode("utf-8", "replace"))


def one_message(system: System, name: bytes) -> None:
    """Send a message to ourselves and see it arrive."""
    new = system.home + b"/home/Maildir/new"
    known = set(os.listdir(new))
    say(f"\nSending a message to {os.fsdecode(name)} with {os.fsdecode(system.home)}/bin/sendmail")
    mark = send(system.home, name)
    path = None
    while path is None:
        if not system.wait_for(FINISHED, DELIVERY_PATIENCE):
            if system.wanted_down:
                return
            raise Trouble("the message was accepted, but not delivered in time: see the log above")
        path = delivered(system.home, known, mark)
    show_delivered(path)


def tell_how_to_go_on(home: bytes, name: bytes) -> None:
    """What to type next."""
    shown, user = os.fsdecode(home), os.fsdecode(name)
    say(f"\nIt runs. More mail, from another terminal:\n    echo hello | {shown}/bin/sendmail {user}")
    say(f"    echo oh dear | {shown}/bin/sendmail nonexistent      (bounces)")
    say(f"What is in the queue: {shown}/bin/qmail-qread     How all is set: {shown}/bin/qmail-showctl")
    say(f"The user's .qmail files: {shown}/home/     Aliases: {shown}/alias/     Control files: {shown}/control/")
    say("Ctrl-C ends it; the queue stays for the next time.\n")


def be_the_only_one(home: bytes) -> int:
    """Result: a descriptor that holds the home's lock as long as it is open.  Errors: Trouble names who has it."""
    lock = os.open(home + HOLDER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        raise Trouble(f"another make run is at work in {os.fsdecode(home)}: pid {pid}") from None
    os.ftruncate(lock, 0)
    os.write(lock, b"%d\n" % os.getpid())
    return lock


def main() -> int:
    """Home, daemons, one message, and then whatever comes until somebody ends it."""
    home, uid = ground.choose_home(CHECKOUT, say)
    order.embedded(CHECKOUT, home, MODES, say, uid=uid)
    os.chdir(home)
    lock = be_the_only_one(home)
    user = identity.my_name()
    system = System(home)
    catch_signals(system)
    try:
        system.start()
        one_message(system, user)
        if not system.wanted_down:
            tell_how_to_go_on(home, user)
        if not system.follow():
            raise Trouble("the daemons ended by themselves: their last words are above")
    finally:
        say("\nEnding: running deliveries end first")
        system.stop()
        os.close(lock)
    say("All daemons have ended. What is in the queue stays for the next time.")
    return 0


if __name__ == "__main__":
    try:
        CODE = main()
    except Trouble as trouble:
        say(f"run: fatal: {trouble}")
        CODE = 1
    except Die as death:
        say(f"run: fatal: {os.fsdecode(death.text)}")
        CODE = 1
    sys.exit(CODE)
