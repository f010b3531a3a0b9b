"""qmail-queuecheck --mend, stopped before every call that changes something, the machine's power cut at that moment or
not; then it runs again. Whatever happens: each message keeps its text and its envelope, and nothing has gone.

A power cut forgets renames whose directories were not fsynced: all of them, or some.
"""

import os
import posix
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue.claiming import take_mutex
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.programs import load
from tests.queue_check_support import LOST, Scene, contents
from tests.support import bare_home

pytestmark = pytest.mark.slow

STOPPED = 77  # exit status
CALLS = ("rename", "mkdir", "rmdir", "fchown", "fchmod", "ftruncate", "utime", "fsync", "write")


class Rename:
    """One that may not be on the disk yet.  folders: inodes of the directories to be fsynced."""

    def __init__(self, old: str, new: str, folders: set[int]) -> None:
        self.old, self.new, self.folders = old, new, folders
        self.replaced = os.open(new, os.O_PATH) if os.path.exists(new) else -1

    def forget(self) -> None:
        """It has never been."""
        os.rename(self.new, self.old)
        if self.replaced >= 0:  # that was the last name of the file
            shutil.copy2(f"/proc/self/fd/{self.replaced}", self.new)


class Power:
    """Counts calls, and ends the process before one of them; forgets renames first, as a power cut may."""

    def __init__(self, stop_at: int, forgets: Callable[[int], bool]) -> None:
        """forgets(at): whether a power cut forgets the rename of this place among those that are not safe."""
        self.left, self._forgets = stop_at, forgets
        self._unsafe: list[Rename] = []

    def cut(self) -> None:
        for at, each in reversed(list(enumerate(self._unsafe))):
            if self._forgets(at):
                each.forget()
        posix._exit(STOPPED)

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **words: Any) -> Any:
            if name == "write" and arguments[0] <= 2:
                return call(*arguments, **words)
            self.left -= 1
            if self.left == 0:
                self.cut()
            if name == "fsync":  # the model's; the real one costs, and nobody cuts the power here
                for each in self._unsafe:
                    each.folders.discard(os.fstat(arguments[0]).st_ino)
                self._unsafe = [each for each in self._unsafe if each.folders]
                return None
            if name == "rename":
                folders = [words["src_dir_fd"], words["dst_dir_fd"]]
                paths = [
                    f"{os.readlink(f'/proc/self/fd/{folder}')}/{os.fsdecode(path)}"
                    for folder, path in zip(folders, arguments, strict=True)
                ]
                self._unsafe.append(Rename(paths[0], paths[1], {os.fstat(folder).st_ino for folder in folders}))
            return call(*arguments, **words)

        return counted


def mend(home: str, stop_at: int = 0, forgets: Callable[[int], bool] = lambda _: False) -> int:
    """In a child.  Result: its exit status."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in (1, 2):
                os.dup2(null, descriptor)
            power = Power(stop_at, forgets)
            for name in CALLS:
                setattr(posix, name, power.wrap(name, getattr(posix, name)))
            code = load("qmail-queuecheck")([b"qmail-queuecheck", b"--mend"], Home(os.fsencode(home)))
        finally:
            posix._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


FORGETTING: dict[str, Callable[[int], bool]] = {
    "nothing": lambda _: False,
    "all": lambda _: True,
    "every other": lambda at: at % 2 == 0,
}
STEPS = {"nothing": 2, "all": 3, "every other": 5}  # not every call of every kind: each takes a tenth of a second


def shuffled(scene: Scene) -> None:
    """Each message has the number of another one: the worst that a copy can do."""
    scene.store.put([b"new@there.example"], pull=False)
    for _ in range(2):
        scene.taken_up(local=b"Ta@x\0Db@x\0", remote=b"Tc@y\0", bounce=b"<b@x>:\nno\n\n")
    scene.shuffle()


def broken(scene: Scene) -> None:
    """All kinds of damage that are mended by setting aside, cutting and parting."""
    torn = scene.taken_up(local=b"Ta@x\0Tb@")
    scene.taken_up(local=b"Ta@x\0", remote=b"Xc@y\0")
    first, second = scene.taken_up(local=b"Ta@x\0"), scene.taken_up(local=b"Ta@x\0")
    scene.join("local", first, second)
    lost = scene.taken_up(local=b"Ta@x\0")
    os.unlink(scene.path("mess", lost))
    os.chmod(scene.path("info", torn), 0o644)


@pytest.mark.parametrize("scenario", [shuffled, broken])
@pytest.mark.parametrize("forgetting", FORGETTING)
def test_a_power_cut_at_any_call_loses_nothing(
    tmp_path: Path, scenario: Callable[[Scene], None], forgetting: str
) -> None:
    original = Scene(bare_home(f"{tmp_path}/original"))
    scenario(original)
    scene = Scene(bare_home(f"{tmp_path}/home"))
    forgets = FORGETTING[forgetting]
    for stop_at in range(1, 1000, STEPS[forgetting]):
        scene.copy_of(original)
        before = contents(scene.home)
        code = mend(scene.home, stop_at, forgets)
        check_shut(scene)
        assert code in (0, STOPPED)
        assert mend(scene.home) == 0
        scene.check_legal()
        check_kept(before, contents(scene.home))
        if code == 0:
            break
    assert stop_at > 20


def check_shut(scene: Scene) -> None:
    """As long as a message has names of two kinds nobody can start, and take half of it for litter."""
    half = [name for name in scene.store.files() if ".to." in name]
    if half:
        with pytest.raises(Trouble):
            take_mutex(Paths(Home(scene.home.encode())))
        assert not os.path.exists(f"{scene.home}/queue/lock/sendmutex")


def check_kept(before: dict[bytes, dict[str, bytes]], after: dict[bytes, dict[str, bytes]]) -> None:
    """before, after: by the message's text, what there is of it; what was set aside counts, too."""
    everything = {content for files in after.values() for content in files.values()}
    for text, files in before.items():
        for name, content in files.items():
            if text == LOST:
                assert content in everything, name
            else:
                assert after[text].get(name), (text, name)
                assert content.startswith(after[text][name]), (text, name)
