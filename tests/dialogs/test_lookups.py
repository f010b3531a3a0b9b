"""A source of accounts that does not answer: qmail-getpw, replaced by one that hangs, holds some mail and not all."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.disk import cdb
from qmailpy.rules import users
from tests.spawn_support import Spawner, new_home, queued
from tests.support import is_running, read, wait_for, wait_for_files, write

# slow: somebody at a directory server that is silent. It starts a program of its own, as a wrapper would
HANGING = """#!/bin/sh
case "$1" in
    slow*) sleep 1000 & echo $$ $! > "$QMAILHOME/asked/$1"; wait; exit 1;;
esac
printf '%s\\0' joe "$(id -u)" "$(id -g)" "$QMAILHOME/home" "" ""
"""
LATER = b"Temporary failure in qmail-lspawn.\n"
DELIVERED = b"did 1+0+0\n"

Spawn = Callable[[str], Spawner]


@pytest.fixture
def home(tmp_path: Path) -> str:
    home = new_home(tmp_path)
    write(f"{home}/bin/qmail-getpw", HANGING, 0o755)
    os.mkdir(f"{home}/asked")
    return home


@pytest.fixture
def spawn(home: str) -> Iterator[Spawn]:
    started: list[Spawner] = []

    def start(settings: str) -> Spawner:
        started.append(Spawner(home, "qmail-lspawn", "./Maildir/", settings=settings))
        return started[-1]

    yield start
    for each in started:
        each.kill()
    for pid in asked(home, len(os.listdir(f"{home}/asked"))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def asked(home: str, count: int) -> list[int]:
    """The processes of so many look-ups that hang."""
    paths = wait_for_files(f"{home}/asked", count)
    wait_for(lambda: all(map(read, paths)), "their process ids")
    return [int(pid) for path in paths for pid in read(path).split()]


def reports(spawner: Spawner, count: int) -> list[tuple[int, bytes, bytes]]:
    return [(report.slot, report.letter, report.text) for report in spawner.hear(count)]


def test_a_lookup_that_hangs_is_given_up_and_nothing_of_it_stays(spawn: Spawn, home: str) -> None:
    message = queued(home)
    spawner = spawn("lookups.LONGEST = 1.0; lookups.SLOW = 0.3")
    spawner.ask(0, b"slow@mx.example.org", message)
    hanging = asked(home, 1)
    assert reports(spawner, 1) == [(0, b"Z", LATER)]
    wait_for(lambda: not any(map(is_running, hanging)), "the end of qmail-getpw and what it had started")
    spawner.ask(1, b"quick@mx.example.org", message)
    assert reports(spawner, 2)[1] == (1, b"K", DELIVERED)
    assert spawner.end() == 0


def test_no_lookup_waits_for_one_that_hangs(spawn: Spawn, home: str) -> None:
    message = queued(home)
    spawner = spawn("")
    for slot in range(4):
        spawner.ask(slot, b"slow%d@mx.example.org" % slot, message)
    asked(home, 4)
    spawner.ask(9, b"quick@mx.example.org", message)
    assert reports(spawner, 1) == [(9, b"K", DELIVERED)]


def test_half_of_all_deliveries_at_most_wait_for_answers(spawn: Spawn, home: str) -> None:
    """And while they do, others are looked up and get their mail."""
    message = queued(home)
    spawner = spawn("lookups.SLOW = 0.5")
    entry = b"joe\0%d\0%d\0%s/home\0\0" % (spawner.uid, os.stat(f"{home}/home").st_gid, home.encode())
    table = [(users.WILDCARDS_KEY, b""), (b"!assigned\0", entry)]
    cdb.write(f"{home}/users/cdb.tmp".encode(), f"{home}/users/cdb".encode(), table)
    os.chmod(f"{home}/users/cdb", 0o644)
    for slot in range(10):
        spawner.ask(slot, b"slow%d@mx.example.org" % slot, message)
    asked(home, 10)
    assert [(letter, text) for _, letter, text in reports(spawner, 5)] == [(b"Z", LATER)] * 5
    spawner.ask(11, b"assigned@mx.example.org", message)
    spawner.ask(12, b"quick@mx.example.org", message)
    spawner.ask(13, b"slow-too@mx.example.org", message)
    assert reports(spawner, 8)[-3:] == [(11, b"K", DELIVERED), (12, b"K", DELIVERED), (13, b"Z", LATER)]


def test_while_children_cannot_be_killed_only_the_table_is_asked(spawn: Spawn, home: str) -> None:
    """As where the kernel waits for a file server: they are not made more and more."""
    message = queued(home)
    write(f"{home}/control/concurrencylocal", "2\n")
    spawner = spawn(
        "lookups.LONGEST = 0.3; lookups.SLOW = 0.1; resident.process.end_group = lambda pid: None; "
        "resident.process.kill = lambda pid, number: None"
    )
    spawner.ask(0, b"slow@mx.example.org", message)
    assert reports(spawner, 1) == [(0, b"Z", LATER)]
    spawner.ask(1, b"quick@mx.example.org", message)
    assert reports(spawner, 2)[1] == (1, b"Z", LATER)
    for pid in asked(home, 1):
        os.kill(pid, signal.SIGKILL)
