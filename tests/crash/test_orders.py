"""An order to qmail-send, which is killed before any call that changes something; then it starts again.

Whatever happens: an order that was answered is carried out, one that was not is done or not begun, and every recipient
is delivered to, or in the bounce, or in another queue, or deleted; nothing stays in the queue but litter.
"""

import re
import shutil
from pathlib import Path

import pytest

from qmailpy.disk.queue import orders
from qmailpy.wire import asking
from tests.dialogs.test_answering import ask
from tests.send_support import LOCAL, REMOTE, Sender, Store
from tests.support import RecordingQueue, bare_home, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")]

CALLS = ("unlink", "rename", "fsync", "write")
# where to begin, shortly before the order: kills before are tests/crash/test_send's; and at least so many kills
BEGIN = {"fsync": (6, 1), "unlink": (2, 0), "rename": (2, 0), "write": (3, 3)}


def one_life(folder: Path, verb: bytes, call: str, kill_at: int) -> bool:
    """Result: whether it was killed."""
    store = Store(bare_home(f"{folder}/home"))
    bounces, other = RecordingQueue(f"{folder}/bounces"), RecordingQueue(f"{folder}/other")
    text = other.path.encode() if verb == asking.MOVE else b"no"
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={kill_at}")
    strace = (shutil.which("strace") or "", "-D", "-qq", "-o", "/dev/null", *inject)
    number = store.put([LOCAL, REMOTE], pull=False)
    key = orders.key_of(store.paths, number)
    assert key is not None
    answer: list[bytes] | None = None
    with Sender(store.home, environment=bounces.environment, wrapper=strace) as sender:
        try:
            for spawner in (sender.local, sender.remote):
                spawner.serve(b"Z", b"later\n")
            wait_for(lambda: sender.poll() is not None or deferrals(sender) == 2, "the deferrals")
            answer = ask(store.home, asking.Question(verb, asking.ANYBODY, [number], [key], text))
            if answer is not None and verb != asking.HOLD:
                wait_for(lambda: sender.poll() is not None or "end msg" in "\n".join(sender.lines()), "the end")
        except (AssertionError, OSError):  # it was killed
            sender.wait()
        killed = sender.poll() is not None
    with Sender(store.home, environment=bounces.environment) as sender:
        sender.wait_started()
        tried = check(store, sender, bounces, verb, number, answered=answer == [asking.DONE])
    if verb == asking.MOVE:
        there = b"".join(envelope for _, envelope in other.messages)
        assert all(recipient in tried or b"T%s\0" % recipient in there for recipient in (LOCAL, REMOTE))
    return killed


def deferrals(sender: Sender) -> int:
    return sum("deferral" in line for line in sender.lines())


def check(
    store: Store, sender: Sender, bounces: RecordingQueue, verb: bytes, number: int, *, answered: bool
) -> set[bytes]:
    """Let everything come to its end.  Result: who was tried again."""
    if verb == asking.HOLD and answered:
        sender.signal(14)
        assert sender.local.is_quiet()
        assert store.state(number) >= {"info", "local", "remote", "orders"} - {"orders"}
        return set()
    if not answered:
        state = ask(store.home, asking.Question(asking.STATE, asking.ANYBODY, [number]))
        if state is not None and state[0].endswith(b" h"):
            return set()  # held without having said so
        sender.signal(14)
    tried: set[bytes] = set()

    def is_over() -> bool:
        for spawner in (sender.local, sender.remote):
            if spawner.has_command():
                tried.add(spawner.serve().recipient)
        left = {name.partition("/")[0] for name in store.files()}
        if left & {"info", "local", "remote"}:
            sender.signal(14)
        return not left & {"todo", "info", "local", "remote", "bounce"}

    wait_for(is_over, lambda: f"an empty queue: {store.files()}\n{sender.log.text()}")
    assert not (answered and tried)
    told = b"".join(message for message, _ in bounces.messages)
    if verb == asking.FAIL:
        assert all(recipient in tried or b"<%s>:\nno\n" % recipient in told for recipient in (LOCAL, REMOTE))
    else:
        assert not told
    assert not {name for name in store.files() if not re.match(r"(mess|intd)/", name)}
    return tried


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        *((verb, call) for verb in (asking.DELETE, asking.FAIL, asking.HOLD) for call in CALLS),
        *((asking.MOVE, call) for call in ("unlink", "rename", "fsync")),
    ],
)
def test_a_kill_at_any_call_leaves_an_order_done_or_not_begun(tmp_path: Path, verb: bytes, call: str) -> None:
    begin, least = BEGIN[call]
    for kill_at in range(begin, 60):
        if not one_life(tmp_path / str(kill_at), verb, call, kill_at):
            break
    else:
        raise AssertionError("it never came to its end")
    assert kill_at >= begin + least
