"""maildir2mbox and mbox2maildir killed before each of their system calls, and each of them failing.

After each kill a reader takes what it can see, new mail comes, and the program is run again: mbox2maildir must bring
every message once, maildir2mbox every one at least once, and the mbox must always be a whole one.
"""

import collections
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ready import installed
from tests.support import NOBODY, PATH, read, write

CALLS = (
    "openat,newfstatat,fstat,lseek,read,pread64,write,fsync,close,unlink,rename,mkdir,rmdir,flock,fcntl,ftruncate,"
    "fchmod,utimensat,readlink,getdents64,kill"
)
WHEN = 1_600_000_000  # seconds since the epoch
OLD = b"From old x\n\nold\n\n"
LATER = b"From later x\n\nlater\n\n"
LETTERS = [b"Return-Path: <%c@b>\nSubject: %c\n\nFrom %c\n" % (byte, byte, byte) for byte in b"abc"]


class Boxes:
    """A Maildir and an mbox, made anew for each run, and a home with the programs."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.programs = f"{installed(f'{folder}/home', os.geteuid() or NOBODY)}/bin"
        self.maildir, self.mbox = f"{folder}/boxes/Maildir", f"{folder}/boxes/mbox"
        self.seen: list[bytes] = []
        self.environment = {
            "PATH": PATH,
            "MAIL": self.mbox,
            "MAILTMP": f"{folder}/boxes/mboxtmp",
            "MAILDIR": self.maildir,
        }

    def fresh(self, *, full: str) -> None:
        """full: which of the two holds the letters."""
        shutil.rmtree(f"{self.folder}/boxes", ignore_errors=True)
        for part in ("tmp", "new", "cur"):
            os.makedirs(f"{self.maildir}/{part}")
        self.seen = []
        if full == "mbox":
            write(self.mbox, b"".join(as_in_mbox(letter) for letter in LETTERS))
            return
        write(self.mbox, OLD)
        for number, letter in enumerate(LETTERS):
            path = write(f"{self.maildir}/{'cur' if number else 'new'}/{number}", letter)
            os.utime(path, (WHEN + number, WHEN + number))

    def run(self, program: str, inject: str = "") -> "Traced":
        trace = f"{self.folder}/trace"
        options = ["-qq", "-y", "-o", trace, "-e", f"trace={CALLS}", *(["-e", f"inject={inject}"] if inject else [])]
        done = subprocess.run(
            ["strace", *options, f"{self.programs}/{program}"],
            env=self.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Traced(done.returncode, done.stderr, Path(trace).read_text(errors="replace"), f"{self.folder}/boxes")

    def again(self, program: str) -> None:
        """Five minutes later, when a dead one's dot-lock counts no longer."""
        if os.path.exists(f"{self.mbox}.lock"):
            os.utime(f"{self.mbox}.lock", (WHEN, WHEN))
        done = subprocess.run(
            [f"{self.programs}/{program}"], env=self.environment, cwd="/", capture_output=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, b"")

    def visible(self) -> list[str]:
        return [
            f"{self.maildir}/{part}/{name}" for part in ("new", "cur") for name in os.listdir(f"{self.maildir}/{part}")
        ]

    def read_and_remove(self) -> None:
        """A reader at its work."""
        for path in self.visible():
            self.seen.append(read(path))
            os.unlink(path)


class Traced:
    """A run's end, and its calls since it has come to the boxes, each as (name, which of this name, the whole line)."""

    def __init__(self, code: int, err: bytes, text: str, place: str) -> None:
        self.code, self.err = code, err
        self.calls: list[tuple[str, int, str]] = []
        counts: collections.Counter[str] = collections.Counter()
        arrived = False
        for line in text.splitlines():
            if found := re.match(r"(\w+)\(", line):
                counts[found[1]] += 1
                arrived = arrived or place in line
                if arrived:
                    self.calls.append((found[1], counts[found[1]], line))


def as_in_mbox(letter: bytes) -> bytes:
    sender = letter.partition(b"<")[2].partition(b">")[0]
    return b"From " + sender + b" Sun Sep 13 12:26:40 2020\n" + letter.replace(b"\nFrom ", b"\n>From ") + b"\n"


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    return Boxes(str(tmp_path))


def test_the_mbox_is_emptied_only_after_its_mail_is_on_disk(boxes: Boxes) -> None:
    boxes.fresh(full="mbox")
    run = boxes.run("mbox2maildir")
    assert run.code == 0, run.err
    lines = [line for *_, line in run.calls]
    state = re.escape(f"{boxes.maildir}/mbox2maildir")

    def places(pattern: str) -> list[int]:
        found = [at for at, line in enumerate(lines) if re.match(pattern, line)]
        assert found, pattern
        return found

    order = [
        *places(rf"fsync\(\d+<{state}/draft/\d"),
        *places(rf"fsync\(\d+<{state}/draft/\.note"),
        *places(rf"fsync\(\d+<{state}/draft>"),
        *places(rf'rename\("{state}/draft", "{state}/taken'),
        places(rf"fsync\(\d+<{state}>")[0],
        *places(rf"ftruncate\(\d+<{boxes.mbox}>, 0"),
        *places(rf"fsync\(\d+<{boxes.mbox}>"),
        *places(rf'rename\("{state}/taken'),
        places(rf"fsync\(\d+<{state}>")[1],
        *places(rf'rename\("{state}/ready.*/new/'),
        *places(rf"fsync\(\d+<{boxes.maildir}/new>"),
    ]
    assert order == sorted(order)
    assert len(order) == 3 + 3 + 3 + 3 + 3


def test_the_maildir_is_emptied_only_after_the_mbox_is_on_disk(boxes: Boxes) -> None:
    boxes.fresh(full="Maildir")
    run = boxes.run("maildir2mbox")
    assert run.code == 0, run.err
    wanted = [r"fsync\(\d+<.*/mboxtmp>", r'rename\(".*/mboxtmp", ".*/mbox"', r"fsync\(\d+<.*/boxes>"]
    wanted += [r'unlink\(".*/Maildir/'] * 3
    steps = [line for *_, line in run.calls if re.match("|".join(set(wanted)), line)]
    assert len(steps) == len(wanted)
    assert all(re.match(pattern, line) for pattern, line in zip(wanted, steps, strict=True)), steps


@pytest.mark.slow
def test_killed_before_any_call_mbox2maildir_brings_everything_once(boxes: Boxes) -> None:
    boxes.fresh(full="mbox")
    calls = boxes.run("mbox2maildir").calls
    assert len(calls) > 80
    states = set()
    for at, (name, number, line) in enumerate(calls):
        comes = LATER if at % 2 else b""  # each state lasts for several calls
        boxes.fresh(full="mbox")
        assert boxes.run("mbox2maildir", f"{name}:signal=KILL:when={number}").code in (-9, 137), line
        states.add((len(read(boxes.mbox)) > 0, len(boxes.visible())))
        boxes.read_and_remove()
        with open(boxes.mbox, "ab") as file:
            file.write(comes)
        boxes.again("mbox2maildir")
        boxes.read_and_remove()
        expected = [*LETTERS, *([b"Return-Path: <later>\n\nlater\n"] if comes else [])]
        assert sorted(boxes.seen) == sorted(expected), f"killed before {line}"
        assert read(boxes.mbox) == b""
        assert sorted(os.listdir(boxes.maildir)) == ["cur", "new", "tmp"], f"killed before {line}"
        assert sorted(os.listdir(f"{boxes.folder}/boxes")) == ["Maildir", "mbox"], f"killed before {line}"
    assert states == {(True, 0), *((False, count) for count in range(4))}


@pytest.mark.slow
def test_killed_again_and_again_mbox2maildir_brings_everything_once(boxes: Boxes) -> None:
    """Each run is killed a little later than the one before it, with new mail between, until one comes to its end."""
    boxes.fresh(full="mbox")
    expected = list(LETTERS)
    for step in range(100):
        boxes.fresh(full="mbox")
        expected = list(LETTERS)
        code = 0
        for part in range(3):
            code = boxes.run("mbox2maildir", f"fsync:signal=KILL:when={1 + step % 7 + part}").code
            boxes.read_and_remove()
            if os.path.exists(f"{boxes.mbox}.lock"):
                os.utime(f"{boxes.mbox}.lock", (WHEN, WHEN))
            with open(boxes.mbox, "ab") as file:
                file.write(b"From n x\n\n%d\n\n" % part)
            expected.append(b"Return-Path: <n>\n\n%d\n" % part)
        boxes.again("mbox2maildir")
        boxes.read_and_remove()
        assert sorted(boxes.seen) == sorted(expected), f"step {step}, exit {code}"
        if step >= 14:
            break


@pytest.mark.slow
@pytest.mark.parametrize("error", ["EIO"])
def test_whatever_fails_mbox2maildir_brings_everything_once(boxes: Boxes, error: str) -> None:
    boxes.fresh(full="mbox")
    for name, number, line in boxes.run("mbox2maildir").calls:
        boxes.fresh(full="mbox")
        run = boxes.run("mbox2maildir", f"{name}:error={error}:when={number}")
        assert run.code in (0, 111), f"{error} from {line}: {run.err!r}"
        assert b"internal error" not in run.err, f"{error} from {line}: {run.err!r}"
        assert run.code == 0 or run.err, line
        boxes.read_and_remove()
        boxes.again("mbox2maildir")
        boxes.read_and_remove()
        assert sorted(boxes.seen) == LETTERS, f"{error} from {line}"


@pytest.mark.slow
def test_killed_before_any_call_maildir2mbox_loses_nothing(boxes: Boxes) -> None:
    boxes.fresh(full="Maildir")
    calls = boxes.run("maildir2mbox").calls
    whole = OLD + b"".join(
        as_in_mbox(letter).replace(b":40 2020", b":%d 2020" % (40 + number)) for number, letter in enumerate(LETTERS)
    )
    assert read(boxes.mbox) == whole
    assert len(calls) > 40
    states = set()
    for name, number, line in calls:
        boxes.fresh(full="Maildir")
        assert boxes.run("maildir2mbox", f"{name}:signal=KILL:when={number}").code in (-9, 137), line
        content, left = read(boxes.mbox), len(boxes.visible())
        assert content in (OLD, whole), f"killed before {line}"
        assert content == whole or left == 3, f"killed before {line}"
        states.add((content == whole, left))
        twice = left if content == whole else 0
        boxes.again("maildir2mbox")
        content = read(boxes.mbox)
        assert content.startswith(OLD)
        assert content.count(b"From old x\n") == 1
        assert content.count(b"\nSubject: ") == 3 + twice, f"killed before {line}"
        assert all(content.count(as_in_mbox(letter).split(b"\n", 1)[1]) >= 1 for letter in LETTERS)
        assert boxes.visible() == []
        assert {"Maildir", "mbox"} <= set(os.listdir(f"{boxes.folder}/boxes")) <= {"Maildir", "mbox", "mbox.lock"}
    assert states == {(False, 3), (True, 3), (True, 2), (True, 1), (True, 0)}


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC"])
def test_whatever_fails_maildir2mbox_loses_nothing(boxes: Boxes, error: str) -> None:
    boxes.fresh(full="Maildir")
    for name, number, line in boxes.run("maildir2mbox").calls:
        boxes.fresh(full="Maildir")
        run = boxes.run("maildir2mbox", f"{name}:error={error}:when={number}")
        assert run.code in (0, 111), f"{error} from {line}: {run.err!r}"
        assert b"internal error" not in run.err, f"{error} from {line}: {run.err!r}"
        assert read(boxes.mbox).startswith(OLD)
        boxes.again("maildir2mbox")
        content = read(boxes.mbox)
        assert all(content.count(as_in_mbox(letter).split(b"\n", 1)[1]) >= 1 for letter in LETTERS), line
