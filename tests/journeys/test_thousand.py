"""A thousand conversations at once with servers that take for ever: they fit into memory, and hold nobody up."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.neighbours import smtp_sink
from tests.places import Place, Room, members
from tests.slow_peers import address, crowd, memory
from tests.spawn_support import Spawner
from tests.support import bare_home, free_port, wait_for, wait_for_exit, write

COUNT = 1000
TOGETHER = 100  # recipients of a message
MOST_MEMORY = 150.0  # MB, of all our processes
EMBEDDED = [pytest.param(Room("embedded", {}), id="embedded")]


@pytest.mark.parametrize("place", EMBEDDED, indirect=True)
def test_a_thousand_slow_peers_are_spoken_with_at_once(place: Place, tmp_path: object) -> None:
    quick = free_port()
    place.control("concurrencyremote", f"{COUNT}\n")
    with crowd() as slow, smtp_sink(f"{tmp_path}/sink", "127.0.0.1", quick) as sink:
        place.control("smtproutes", f"quick.example:127.0.0.1:{quick}\n::{slow.port}\n")
        place.start()
        for first in range(0, COUNT, TOGETHER):
            done = place.run("sendmail", *map(address, range(first, first + TOGETHER)), stdin=b"Subject: x\n\nx\n")
            assert done.code == 0, done.errors
        slow.wait(COUNT)
        place.log.wait("status", remote=str(COUNT))
        assert place.daemons is not None
        size = sum(map(memory, members(place.daemons.pid)))
        assert size <= MOST_MEMORY, f"{size:.0f} MB"

        before = place.log.count()
        place.send("someone@quick.example", "Subject: quick\n\nx\n")
        place.log.wait("info", after=before)
        slow.hang_up(b"0")  # one slot is free
        place.log.wait("end", after=before)
        (quick_one,) = sink.mail()
        assert b"\nSubject: quick\n" in quick_one.replace(b"\r\n", b"\n")
        slow.wait(COUNT - 1)  # nobody else was given up for it, and who was deferred waits

        place.daemons.send_signal(signal.SIGTERM)
        slow.hang_up()
        assert wait_for_exit(place.daemons) == 0
        assert place.log.lines[-1].kind == "exiting"
        wait_for(lambda: not members(place.daemons.pid) if place.daemons else True, "the end of all daemons")
        place.daemons = None
    assert len([line for line in place.log.lines if line.kind == "delivery"]) == COUNT + 1
    assert not place.log.strangers()


@pytest.fixture
def spawn(tmp_path: object) -> Iterator[Callable[..., Spawner]]:
    started: list[Spawner] = []

    def start(*words: str, **more: str) -> Spawner:
        os.chmod(str(tmp_path), 0o711)
        home = bare_home(f"{tmp_path}/home")
        write(f"{home}/control/concurrencyremote", "100\n")
        started.append(Spawner(home, "qmail-rspawn", *words, **more))
        return started[-1]

    yield start
    for spawner in started:
        spawner.kill()


def limit(files: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))"


def test_where_files_are_few_so_are_deliveries_and_it_says_so(
    spawn: Callable[..., Spawner], capfd: pytest.CaptureFixture[str]
) -> None:
    assert spawn("wide", settings=limit(256)).announcement() == 48
    assert capfd.readouterr().err == (
        "qmail-rspawn: warning: only 48 of 100 deliveries at once: the limit of open files is 256, they need 464\n"
    )


def test_nothing_is_said_where_what_is_wanted_has_room(
    spawn: Callable[..., Spawner], capfd: pytest.CaptureFixture[str]
) -> None:
    assert spawn("wide", settings=limit(464)).announcement() == 100
    assert capfd.readouterr().err == ""


def test_a_program_in_place_of_ours_gets_the_limit_that_we_got(spawn: Callable[..., Spawner], tmp_path: object) -> None:
    program = write(f"{tmp_path}/program", """#!/bin/sh\nprintf 'r\\0K%s\\n\\0' "$(ulimit -Sn)"\n""", 0o755)
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 5000))"
    spawner = spawn("wide", settings=few, QMAILREMOTE=program)
    assert spawner.announcement() == 1000
    write(f"{spawner.home}/queue/mess/20/457", b"Subject: x\n\nx\n")
    if os.geteuid() == 0:
        os.chown(f"{spawner.home}/queue/mess/20/457", spawner.uid, spawner.uid)
    spawner.ask(0, b"x@there.example", b"20/457")
    assert [report.text for report in spawner.hear(1)] == [b"300\n"]
