"""Several messages that go to the disk together, killed before every system call, and failing at every one.

A batch changes nothing for its members: what was said to be accepted is whole and there once, whatever happens to the
others; a failure is told to exactly those whose file or directory it was; nobody hears of acceptance before all that it
stands on is on the disk.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.crash import disk_model
from tests.crash.test_entering import CALLS, DRIVER, collect
from tests.queue_support import INTERPRETER, LIBRARY, emptied, litter, new_home, queued

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

COUNT = 3
MEMBERS = set(range(1, COUNT + 1))
# Inodes decide which messages share a mess/S, which is then opened, fsynced and closed once: in a later run than the
# one that was counted so many calls may not come
SHARED = 3 * (COUNT - 1)
# A failure of these harms nobody: what had to be kept is kept, or will be told by the fsync
HARMLESS = re.compile(r"close\(\d+<[^>]*/queue/(pid|intd)/|fadvise64\(|.*/queue/lock/")
# and after the failure of these nothing can be taken back: it may be in qmail-send's hands
TOO_LATE = re.compile(r"/queue/todo[>\"]")


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


def enter(home: str, *options: str) -> dict[int, int]:
    """One batch under strace.  Result: the exit code that each member was told; those who were told nothing are not
    in it.
    """
    command = [INTERPRETER, "-IS", "-B", DRIVER, LIBRARY, home, str(COUNT), *options]
    said = subprocess.run(command, capture_output=True, check=False).stdout.decode()
    words = [line.split() for line in said.splitlines()]
    return {int(number): int(code[0]) if code else 0 for number, _, *code in words}


def trace(home: str, log: str, *options: str) -> dict[int, int]:
    return enter(home, "-y", "-s", "200", "-o", log, "-e", f"trace={CALLS}", *options)


def kinds(log: str) -> Iterator[tuple[str, int]]:
    """Each call as strace counts it: its name, and its number among those of this name; but not those for memory."""
    seen: Counter[str] = Counter()
    for _, call, begins, _ in disk_model.calls(log):
        if begins:
            name = call.partition("(")[0]
            seen[name] += 1
            if "MAP_ANONYMOUS" not in call:
                yield name, seen[name]


def member(number: str) -> int:
    """Whose recipient this is."""
    return int(number.partition("@")[0])


def check(home: str, said: dict[int, int]) -> Counter[int]:
    """The promises.  Result: how often each member is in the queue."""
    found: Counter[int] = Counter()
    for message in queued(home):
        [recipient] = message.todo.recipients
        number = member(recipient.decode())
        assert message.body == b"Subject: %d\n\nbody\n" % number
        assert message.content.startswith(b"Received: (qmail %d invoked by uid 1000); " % (76 + number))
        assert (message.todo.uid, message.todo.pid, message.todo.sender) == (1000, 76 + number, b"me@here.example")
        found[number] += 1
    assert set(found.values()) <= {1}
    assert {number for number, code in said.items() if code == 0} <= set(found)
    return found


def test_killed_before_every_system_call(home: str, tmp_path: object) -> None:
    assert trace(home, f"{tmp_path}/log") == dict.fromkeys(MEMBERS, 0)
    calls = list(kinds(f"{tmp_path}/log"))
    assert len(calls) > 20 * COUNT - COUNT
    queued_at_death, missed = set(), 0
    for call, number in calls:
        emptied(home)
        said = enter(home, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
        missed += len(said) == COUNT
        queued_at_death.add(sum(check(home, said).values()))
        collect(home)
        assert not litter(home)
    assert missed <= SHARED
    assert queued_at_death == {*range(COUNT + 1)}, "it was killed between the links, too"


def kept_at_the_answers(home: str, log: str) -> list[set[str]]:
    """What the disk has of each member when its acceptance is said."""
    numbers = {member(message.todo.recipients[0].decode()): str(message.number) for message in queued(home)}

    def answer(call: str) -> list[str]:
        said = re.match(r'write\(1<[^>]*>, "(\d+) accepted', call)
        return [numbers[int(said[1])]] if said else []

    return list(disk_model.replay(log, answer).values())


def test_a_power_cut_at_any_answer_loses_nothing(home: str, tmp_path: object) -> None:
    trace(home, f"{tmp_path}/log")
    assert kept_at_the_answers(home, f"{tmp_path}/log") == [disk_model.PARTS] * COUNT


# Who is told of a failure


class Roles:
    """Whose files and directories are whose, as a trace tells it."""

    def __init__(self) -> None:
        self.by_temporary: dict[str, int] = {}  # name in pid/
        self.by_number: dict[str, int] = {}  # N of mess/N
        self.looked = 0  # how many have looked at queue/ itself, which is the first of all

    def see(self, call: str) -> None:
        paths = re.findall(r"/queue/([a-z]+(?:/[^\"> ]*)?)", call)
        if call.startswith("newfstatat") and not paths:
            self.looked += 1
        elif call.startswith("openat") and paths[0].startswith("pid/"):
            self.by_temporary[paths[0]] = self.looked
        elif call.startswith("link") and paths[1].startswith("mess/"):
            self.by_number[paths[1].rpartition("/")[2]] = self.by_temporary[paths[0]]

    def affected(self, call: str) -> tuple[set[int], int]:
        """Who needs this call, and the exit code for its failure."""
        paths = re.findall(r"/queue/([a-z]+(?:/[^\"> ]*)?)", call)
        if HARMLESS.match(call) or call.startswith("write(1<"):
            return set(), 0
        if not paths:
            return {self.looked}, 62
        path = paths[-1]
        if path == "todo":
            return MEMBERS, 66
        if re.fullmatch(r"mess/\d+", path):
            return {who for number, who in self.by_number.items() if int(number) % 23 == int(path[5:])}, 64
        if path in self.by_temporary:
            return {self.by_temporary[path]}, 53 if call.startswith(("write", "fsync")) else 63
        who = self.by_number[path.rpartition("/")[2]]
        if call.startswith(("write", "fsync")):
            return {who}, 53
        return {who}, {"mess": 64, "intd": 65, "todo": 66}[path.partition("/")[0]]


@pytest.mark.parametrize("errno", ["EIO", "ENOSPC"])
def test_a_call_that_fails_is_told_to_exactly_those_whose_it_was(home: str, tmp_path: object, errno: str) -> None:
    trace(home, f"{tmp_path}/log")
    codes, missed = set(), 0
    for name, number in kinds(f"{tmp_path}/log"):
        emptied(home)
        said = trace(home, f"{tmp_path}/failed", "-e", f"inject={name}:error={errno}:when={number}")
        affected, code, call = failure(f"{tmp_path}/failed")
        missed += not call
        if not call.startswith("write(1<"):
            assert said == {who: code if who in affected else 0 for who in MEMBERS}, call
        found = check(home, said)
        assert set(found) == (MEMBERS - affected if not TOO_LATE.search(call) else MEMBERS), call
        assert litter(home) == [] or call.startswith("unlink"), call  # what cannot be removed stays
        codes.add(code)
    assert missed <= SHARED
    assert codes == {0, 53, 62, 63, 64, 65, 66}


def failure(log: str) -> tuple[set[int], int, str]:
    """Who had to be told of the call that was made to fail, with which code, and that call; empty: it did not come."""
    roles = Roles()
    for _, call, _, _ in disk_model.calls(log):
        if "(INJECTED)" not in call:
            roles.see(call)
            continue
        if call.startswith("newfstatat") and "/queue/" not in call:
            roles.looked += 1
        if call.startswith("openat") and "/queue/pid/" in call:
            return {roles.looked}, 63, call
        if call.startswith("link") and "/queue/pid/" in call:
            return {roles.looked}, 64, call
        return *roles.affected(call), call
    return set(), 0, ""
