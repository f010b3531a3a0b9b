"""What qmail-lspawn has found a moment ago it need not ask again; but a change counts at once."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk import cdb
from qmailpy.rules import users
from tests.places import children_of, make_maildir
from tests.spawn_support import Spawner, new_home, queued
from tests.support import give

LONG = "lookups.RECENT = 1000.0"
DELIVERED = b"did 1+0+0\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    home = new_home(tmp_path)
    make_maildir(f"{home}/elsewhere/Maildir")
    return home


@pytest.fixture
def message(home: str) -> bytes:
    return queued(home)


@pytest.fixture
def spawner(home: str, message: bytes) -> Iterator[Spawner]:
    del message  # it belongs to the home's user as soon as there is a spawner
    spawner = Spawner(home, "qmail-lspawn", "./Maildir/", settings=LONG)
    yield spawner
    spawner.kill()


def deliver(spawner: Spawner, slot: int, local: str, message: bytes) -> None:
    spawner.ask(slot, f"{local}@mx.example.org".encode(), message)
    last = spawner.hear(slot + 1)[-1]
    assert (last.slot, last.letter, last.text) == (slot, b"K", DELIVERED)


def assign(spawner: Spawner, name: str, folder: str) -> None:
    gid = os.stat(f"{spawner.home}/home").st_gid
    entry = b"box\0%d\0%d\0%s/%s\0\0" % (spawner.uid, gid, spawner.home.encode(), folder.encode())
    table = [(users.WILDCARDS_KEY, b""), (b"!%s\0" % name.encode(), entry)]
    path = f"{spawner.home}/users/cdb"
    cdb.write(f"{path}.tmp".encode(), path.encode(), table)
    os.chmod(path, 0o644)
    give(f"{spawner.home}/elsewhere", spawner.uid, gid)


def test_who_was_found_a_moment_ago_is_not_looked_up_again(spawner: Spawner, home: str, message: bytes) -> None:
    assign(spawner, "ann", "home")
    deliver(spawner, 0, "ann", message)
    os.kill(children_of(spawner.process.pid)["qmail-getpw"], signal.SIGSTOP)  # it would not answer
    deliver(spawner, 1, "ann", message)
    assert len(os.listdir(f"{home}/home/Maildir/new")) == 2


def test_another_extension_is_another_question(spawner: Spawner, message: bytes) -> None:
    assign(spawner, "ann", "home")
    deliver(spawner, 0, "ann", message)
    spawner.ask(1, b"ann-list@mx.example.org", message)
    assert spawner.hear(2)[1].letter == b"D"


def test_a_change_of_the_table_counts_at_once(spawner: Spawner, home: str, message: bytes) -> None:
    assign(spawner, "ann", "home")
    deliver(spawner, 0, "ann", message)
    assign(spawner, "ann", "elsewhere")
    deliver(spawner, 1, "ann", message)
    assert [len(os.listdir(f"{home}/{name}/Maildir/new")) for name in ("home", "elsewhere")] == [1, 1]
    os.unlink(f"{home}/users/cdb")
    spawner.ask(2, b"ann@mx.example.org", message)
    assert spawner.hear(3)[2].letter == b"D"


def test_who_was_not_found_is_looked_up_each_time(spawner: Spawner, message: bytes) -> None:
    spawner.ask(0, b"nobody-of-that-name@mx.example.org", message)
    assert spawner.hear(1)[0].letter == b"D"
    assign(spawner, "nobody-of-that-name", "elsewhere")
    deliver(spawner, 1, "nobody-of-that-name", message)
