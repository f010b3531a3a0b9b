"""qmail-send, killed before every system call that changes something, once and again; then the mail goes on.

A ledger outside the queue holds what the spawners have delivered. Whatever happens: every recipient is delivered to or
bounced, at most one more time than was under way at each crash, and nothing stays in the queue but litter.
"""

import os
import re
import select
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from qmailpy.wire.parameters import Parameters, RecipientParameters
from tests.send_support import SENDER, PlayedSpawner, Sender, Store
from tests.support import PATIENCE, RecordingQueue, bare_home, read, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")]

# what changes a file or is heard by a neighbour; reads in between change nothing that a later call would not show
CALLS = ("unlink", "utimensat", "pwrite64", "fsync", "write")
SCENARIOS = {
    "straight": [b"ok@mx.example.org"],
    "straight_failure": [b"no@there.example"],
    "straight_deferral": [b"later@mx.example.org"],
    "silence": [b"never@there.example"],  # refused, and its sender does not want to hear of it
    "both_channels": [b"ok@mx.example.org", b"no@mx.example.org", b"later@there.example", b"ok@there.example"],
}


class Ledger:
    """What the world outside the queue has seen."""

    def __init__(self) -> None:
        self.tried: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()

    def answer(self, spawner: PlayedSpawner) -> None:
        """One command: ok@ is delivered, no@ and never@ are refused, later@ is delivered at its second attempt."""
        command = spawner.command()
        recipient = command.recipient
        self.tried[recipient] += 1
        if recipient.startswith((b"no@", b"never@")):
            letter, text = b"D", b"no mailbox\n"
        elif recipient.startswith(b"later@") and self.tried[recipient] == 1:
            letter, text = b"Z", b"later\n"
        else:
            letter, text = b"K", b"ok\n"
            self.delivered[recipient] += 1
        try:
            spawner.report(command.slot, letter, text)
        except BrokenPipeError:  # killed; what was delivered stays delivered
            return


def serve(sender: Sender, store: Store, ledger: Ledger) -> bool:
    """Play both spawners until the queue has nothing more to do (True) or qmail-send is dead (False)."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if sender.poll() is not None:
            return False
        try:
            asked = [spawner for spawner in (sender.local, sender.remote) if spawner.has_command()]
            for spawner in asked:
                ledger.answer(spawner)
        except AssertionError:  # the pipe is closed
            sender.wait()
            return False
        if asked:
            continue
        if not sender.lines():
            wait_for_commands(sender)
            continue
        left = {name.partition("/")[0] for name in store.files()}
        if not left & {"todo", "info", "local", "remote", "bounce"}:
            return True
        sender.signal(signal.SIGALRM)
        wait_for_commands(sender)
    raise AssertionError(f"the queue does not become empty: {store.files()}\n{sender.log.text()}")


def crash_and_recover(folder: str, recipients: list[bytes], call: str, kill_at: int, times: int) -> int:
    """One message, so many crashes at the so-manieth such call, then a whole run.  Result: how many crashes."""
    home = home_in(folder)
    store, ledger = Store(home), Ledger()
    bounces = RecordingQueue(f"{folder}/bounces")
    number = store.put(recipients, pull=False, parameters=wishes(recipients))
    crashes = 0
    strace = shutil.which("strace") or ""
    for _ in range(times):
        sender = Sender(
            home,
            environment=bounces.environment,
            wrapper=(
                *(strace, "-D", "-qq", "-o", "/dev/null", "-e", f"trace={call}"),
                *("-e", f"inject={call}:signal=KILL:when={kill_at}"),
            ),
        )
        with sender:
            crashes += not serve(sender, store, ledger)
        check_states(store, number)
    with Sender(home, environment=bounces.environment) as sender:
        assert serve(sender, store, ledger), sender.log.text()
        assert sender.term() == 0
        assert not any(line.kind == "?" for line in sender.log.lines)
    check_ledger(ledger, bounces, recipients, crashes)
    assert not {name for name in store.files() if not re.match(r"(mess|intd)/", name)}, store.files()
    return crashes


def wishes(recipients: list[bytes]) -> Parameters:
    """Never@ wants no bounce."""
    never = RecipientParameters.parse(b"NOTIFY=NEVER")
    return Parameters(None, [never if each.startswith(b"never@") else None for each in recipients])


def home_in(folder: str) -> str:
    """A home; where there is one, without the litter and the bounces of whatever was tried in it.  Result: its path."""
    home = f"{folder}/home"
    if not os.path.isdir(home):
        return bare_home(home)
    shutil.rmtree(f"{folder}/bounces")
    os.unlink(f"{home}.log")
    for name in Store(home).files():
        os.unlink(f"{home}/queue/{name}")
    return home


def check_states(store: Store, number: int) -> None:
    """Only the states of spec/02 2 exist, whenever it dies."""
    state = store.state(number)
    if state and "todo" not in state and state & {"info", "local", "remote", "bounce"}:
        assert {"mess", "info"} <= state, state
    if "todo" in state:
        assert "mess" in state, state


def check_ledger(ledger: Ledger, bounces: RecordingQueue, recipients: list[bytes], crashes: int) -> None:
    failed = [recipient for recipient in recipients if recipient.startswith(b"no@")]
    for recipient in recipients:
        if recipient.startswith(b"never@"):
            assert ledger.tried[recipient] <= 1 + crashes
        elif recipient not in failed:
            assert 1 <= ledger.delivered[recipient] <= 1 + crashes, ledger.delivered
    found = bounces.messages
    assert all(envelope == b"F\0T%s\0\0" % SENDER for _, envelope in found)
    assert bool(found) == bool(failed)
    assert len(found) <= 1 + crashes
    for recipient in failed:
        assert any(b"<%s>:\nno mailbox\n" % recipient in message for message, _ in found), "a failure was forgotten"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_call_loses_nothing(tmp_path: Path, scenario: str, call: str) -> None:
    for kill_at in range(1, 100):
        if not crash_and_recover(str(tmp_path), SCENARIOS[scenario], call, kill_at, 1):
            break
    else:
        raise AssertionError("it never came to its end")
    assert kill_at > 1 or (scenario, call) not in ALWAYS, "nothing was killed"


ALWAYS = {(scenario, "write") for scenario in SCENARIOS} | {("both_channels", call) for call in CALLS}


@pytest.mark.parametrize("call", CALLS)
def test_crashes_during_the_recovery_lose_nothing(tmp_path: Path, call: str) -> None:
    for kill_at in range(1, 12, 2):
        crash_and_recover(str(tmp_path), SCENARIOS["both_channels"], call, kill_at, 3)


@pytest.mark.parametrize(("call", "count"), [("unlink", 14), ("utimensat", 2), ("pwrite64", 3), ("fsync", 10)])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_failure_of_any_call_delays_and_loses_nothing(tmp_path: Path, call: str, count: int, error: str) -> None:
    """What failed is tried again after a while; here after a restart, which comes to the same."""
    said = 0
    for fail_at in range(1, count):
        home = home_in(str(tmp_path))
        store, ledger = Store(home), Ledger()
        bounces = RecordingQueue(f"{tmp_path}/bounces")
        store.put(SCENARIOS["both_channels"], pull=False)
        inject = f"inject={call}:error={error}:when={fail_at}"
        wrapper = (shutil.which("strace") or "", "-D", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        with Sender(home, environment=bounces.environment, wrapper=wrapper) as sender:
            serve_for(sender, store, ledger)
            assert sender.term() == 0, sender.log.text()
            assert "internal error" not in sender.log.text()
            said += any(line.kind in ("warning", "alert") for line in sender.log.lines)
        with Sender(home, environment=bounces.environment) as sender:
            assert serve(sender, store, ledger), sender.log.text()
            assert sender.term() == 0
        check_ledger(ledger, bounces, SCENARIOS["both_channels"], 1)
    assert said, "nothing failed"


def test_what_a_removal_stands_on_is_on_disk_before_it(tmp_path: Path) -> None:
    """A power cut keeps what was fsynced, names too: info/N and local/N before todo/N, the failure before its mark."""
    home = bare_home(f"{tmp_path}/home")
    store, ledger = Store(home), Ledger()
    number = store.put([b"no@mx.example.org", b"later@mx.example.org"], pull=False)
    trace = f"{tmp_path}/trace"
    words = ("-D", "-qq", "-y", "-s", "100", "-o", trace, "-e", "trace=fsync,write,pwrite64,exit_group")
    with Sender(home, wrapper=(shutil.which("strace") or "", *words)) as sender:
        while sum(ledger.tried.values()) < 2:
            ledger.answer(sender.local)
        wait_for(lambda: "bounce" in store.state(number), "the failure")
        assert sender.term() == 0
    wait_for(lambda: b"exited with" in read(trace) or b"exit_group" in read(trace), "the end of the trace")
    calls = read(trace).decode().splitlines()

    def place(pattern: str) -> int:
        found = [at for at, call in enumerate(calls) if re.search(pattern, call)]
        assert found, f"no {pattern}"
        return found[0]

    part = number % 23
    todo_goes = place(rf'write\(5<.*"todo/{number}\\0')
    for name in ("info", "local"):
        assert place(rf"fsync\(\d+<.*/queue/{name}/{part}/{number}>\) *= 0") < place(
            rf"fsync\(\d+<.*/queue/{name}/{part}>\) *= 0"
        )
        assert place(rf"fsync\(\d+<.*/queue/{name}/{part}>\) *= 0") < todo_goes
    mark = place(rf'pwrite64\(\d+<.*/queue/local/{part}/{number}>, "D"')
    assert place(rf"fsync\(\d+<.*/queue/bounce/{number}>\) *= 0") < mark
    assert place(r"fsync\(\d+<.*/queue/bounce>\) *= 0") < mark


def serve_for(sender: Sender, store: Store, ledger: Ledger) -> None:
    """As serve(), until nothing has happened for a while."""
    quiet = 0
    while quiet < 10 and sender.poll() is None:
        asked = [spawner for spawner in (sender.local, sender.remote) if spawner.has_command()]
        for spawner in asked:
            ledger.answer(spawner)
        if asked or not sender.lines():
            quiet = 0
            wait_for_commands(sender, 0 if asked else 0.02)
            continue
        quiet += 1
        if not store.files():
            return
        sender.signal(signal.SIGALRM)
        wait_for_commands(sender, 0.03)


def wait_for_commands(sender: Sender, seconds: float = 0.02) -> None:
    """Until qmail-send wants something, or for a moment."""
    select.select([sender.local.commands, sender.remote.commands], [], [], seconds)
