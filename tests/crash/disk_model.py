"""A model of a disk that keeps only what was fsynced, fed with what strace -f -y saw of whoever enters messages.

Names and bytes are apart: a name is kept by an fsync of its directory, bytes by one of their file, and both only if
they were there when that fsync began. What was not fsynced may be on the disk, too: so nothing may stand on anything
that is not kept (spec/12 2.3).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator

PARTS = {"name in mess", "bytes of mess", "bytes of intd", "name in todo"}  # of a message that is accepted
BEFORE_ITS_NAME = PARTS - {"name in todo"}

_QUEUE = re.compile(r"/queue/([a-z]+(?:/[^\"> ,]*)?)")
_LINE = re.compile(r"(?:(\d+) +)?(.*)")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_UNFINISHED = " <unfinished ...>"
_SUCCEEDED = re.compile(r"\) += (?!-1\b)\d+")


class Disk:
    """What is kept.  Every message goes by the number that mess/N and todo/N have."""

    def __init__(self) -> None:
        self._writes: Counter[str] = Counter()  # by file, which goes by the path that it was made with
        self._names: dict[str, set[str]] = {}  # by directory: new names that no fsync has kept
        self._begun: dict[str, tuple[str, int, set[str]]] = {}  # by thread: the fsync that it is in, and for what
        self._kept_writes: dict[str, int] = {}
        self._kept_names: set[str] = set()
        self._file_of: dict[str, str] = {}  # mess/S/N -> pid/NAME, under which its bytes are written
        self.premature: list[str] = []  # names in todo/ that came before all that they stand on was kept

    def see(self, thread: str, call: str, *, begins: bool, ends: bool) -> None:
        """A call of this thread, all of it (begins and ends) or one of its two halves."""
        paths = _QUEUE.findall(call)
        if not paths:
            return
        if call.startswith("fsync(") and begins:
            self._begun[thread] = (paths[0], self._writes[paths[0]], set(self._names.get(paths[0], ())))
        if call.startswith("fsync(") and ends:
            begun = self._begun.pop(thread)
            if _SUCCEEDED.search(call):
                self._keep(*begun)
        elif call.startswith(("write(", "writev(", "pwrite64(")) and begins:
            self._writes[paths[0]] += 1
        elif call.startswith(("link(", "linkat(")) and begins and len(paths) == 2:
            self._name(*paths)

    def _name(self, old: str, new: str) -> None:
        if new.startswith("mess/"):
            self._file_of[new] = old
        elif new.startswith("todo/") and self.kept(new.removeprefix("todo/")) != BEFORE_ITS_NAME:
            self.premature.append(new)
        self._names.setdefault(new.rpartition("/")[0], set()).add(new)

    def _keep(self, path: str, writes: int, names: set[str]) -> None:
        self._kept_writes[path] = writes
        self._kept_names |= names
        self._names.get(path, set()).difference_update(names)

    def _has_bytes(self, file: str) -> bool:
        return 0 < self._writes[file] == self._kept_writes.get(file)

    def kept(self, number: str) -> set[str]:
        """Which PARTS of this message are on the disk, whatever happens."""
        mess, found = f"mess/{int(number) % 23}/{number}", set()
        if mess in self._kept_names:
            found.add("name in mess")
        if self._has_bytes(self._file_of.get(mess, "")):
            found.add("bytes of mess")
        if self._has_bytes(f"intd/{number}"):
            found.add("bytes of intd")
        if f"todo/{number}" in self._kept_names:
            found.add("name in todo")
        return found


def calls(log: str) -> Iterator[tuple[str, str, bool, bool]]:
    """Every line of strace's: thread, call, whether it begins there, whether it ends there."""
    half: dict[str, str] = {}
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file.read().replace(" (deleted)", "").splitlines():
            match = _LINE.fullmatch(line)
            assert match is not None
            thread, call = match[1] or "", match[2]
            resumed = _RESUMED.match(call)
            if resumed:
                yield thread, half.pop(thread) + resumed[2], False, True
            elif call.endswith(_UNFINISHED):
                half[thread] = call.removesuffix(_UNFINISHED)
                yield thread, half[thread], True, False
            elif not call.startswith(("---", "+++")):
                yield thread, call, True, True


def replay(log: str, answer: Callable[[str], list[str] | None]) -> dict[str, set[str]]:
    """What the disk has of each message at the moment at which its acceptance is told.

    answer(call): the numbers of those that this call tells to be accepted; None: it tells nothing.
    Errors: AssertionError where a message has its name in todo/ before all else of it is kept.
    """
    disk, told = Disk(), {}
    for thread, call, begins, ends in calls(log):
        if begins:
            for number in answer(call) or ():
                told[number] = disk.kept(number)
        disk.see(thread, call, begins=begins, ends=ends)
    assert disk.premature == [], "a name in todo/ may be all that a power cut leaves of it"
    return told
