"""qmail-newu killed before each of its system calls, and each of them failing: users/cdb is the old table or the new.

The real program under strace. Counted are the calls that have to do with users/; the interpreter's own touch no table.
"""

import collections
import os
import re
import subprocess
from pathlib import Path

import pytest
from cdblib import Reader, Writer

from tests.neighbours import needs
from tests.support import CHECKOUT, PATH, read, write

CALLS = "openat,newfstatat,fstat,read,write,fsync,close,unlink,rename,flock,ftruncate"
OLD, NEW = b"old\x001\x001\0/h\0\0", b"new\x001\x001\0/h\0\0"


class Traced:
    """One run under strace: its exit code, and its calls about users/, each as (name, which of this name, the line)."""

    def __init__(self, home: str, inject: str = "") -> None:
        trace = f"{home}/trace"
        options = ["-qq", "-y", "-o", trace, "-e", f"trace={CALLS}"]
        done = subprocess.run(
            ["strace", *options, *(["-e", f"inject={inject}"] if inject else []), f"{CHECKOUT}/bin/qmail-newu"],
            env={"PATH": PATH, "QMAILHOME": home},
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.code, self.err = done.returncode, done.stderr
        self.calls: list[tuple[str, int, str]] = []
        counts: collections.Counter[str] = collections.Counter()
        for line in Path(trace).read_text(errors="replace").splitlines():
            if found := re.match(r"(\w+)\(", line):
                counts[found[1]] += 1
                if re.search(r'"users/|<[^>]*/users[/>]', line):
                    self.calls.append((found[1], counts[found[1]], line))


@pytest.fixture
def home(tmp_path: Path) -> str:
    needs("strace")
    (tmp_path / "users").mkdir()
    return str(tmp_path)


def prepare(home: str) -> None:
    """An old table, and the text of a new one."""
    with open(f"{home}/users/cdb", "wb") as file, Writer(file) as writer:
        writer.put(b"!joe\0", OLD)
        writer.put(b"", b"")
    write(f"{home}/users/assign", "=joe:new:1:1:/h:::\n.\n")


def entry(home: str) -> bytes:
    """What the table says; it must be a whole one."""
    reader = Reader(read(f"{home}/users/cdb"))
    assert reader.get(b"") == b""
    found: bytes = reader.get(b"!joe\0")
    return found


def test_the_new_table_is_on_disk_before_it_has_its_name(home: str) -> None:
    prepare(home)
    run = Traced(home)
    assert (run.code, entry(home)) == (0, NEW)
    lines = [line for _, _, line in run.calls]

    def place(pattern: str) -> int:
        (found,) = [at for at, line in enumerate(lines) if re.match(pattern, line)]
        return found

    order = [
        place(r"flock\(\d+<.*/users/cdb\.tmp>"),
        max(at for at, line in enumerate(lines) if re.match(r"write\(\d+<.*/users/cdb\.tmp>", line)),
        place(r"fsync\(\d+<.*/users/cdb\.tmp>\) *= 0$"),
        place(r'rename\("users/cdb\.tmp", "users/cdb"\) *= 0$'),
        place(r"fsync\(\d+<.*/users>\) *= 0$"),
    ]
    assert order == sorted(order)


def test_killed_anywhere_it_leaves_one_of_the_two(home: str) -> None:
    prepare(home)
    calls = Traced(home).calls
    renamed = next(at for at, (name, _, _) in enumerate(calls) if name == "rename")
    for at, (name, number, line) in enumerate(calls):
        prepare(home)
        run = Traced(home, f"{name}:signal=KILL:when={number}")
        assert run.code == -9, line
        assert entry(home) in ([OLD, NEW] if at == renamed else [OLD] if at < renamed else [NEW]), line
        subprocess.run([f"{CHECKOUT}/bin/qmail-newu"], env={"PATH": PATH, "QMAILHOME": home}, check=True)
        assert entry(home) == NEW, "what it left does not stand in the way of the next"
        assert sorted(os.listdir(f"{home}/users")) == ["assign", "cdb"]


def test_whatever_fails_is_said_and_leaves_one_of_the_two(home: str) -> None:
    prepare(home)
    for name, number, line in Traced(home).calls:
        prepare(home)
        run = Traced(home, f"{name}:error=EIO:when={number}")
        if run.code:
            assert run.code == 111, line
            assert run.err.startswith(b"qmail-newu: fatal: unable to "), (line, run.err)
            assert run.err.count(b"\n") == 1, run.err
        assert entry(home) in ([OLD, NEW] if run.code else [NEW]), line
