"""qmail-clean at its pipes (spec/03 8)."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.send_support import LOCAL, Store
from tests.support import PATH, bare_home, wait_for, wait_for_exit, write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(bare_home(f"{tmp_path}/home"))


@contextmanager
def cleaner(store: Store) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [f"{store.home}/bin/qmail-clean"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": PATH},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for end in (process.stdin, process.stdout, process.stderr):
            assert end is not None
            with suppress(BrokenPipeError):  # what was written to it and never read
                end.close()


def ask(process: "subprocess.Popen[bytes]", commands: bytes) -> bytes:
    """The answers to these commands."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(commands)
    process.stdin.flush()
    return process.stdout.read(commands.count(b"\0"))


def test_it_removes_what_it_is_told_and_answers_in_order(store: Store) -> None:
    first, second = store.put([LOCAL]), store.put([LOCAL])
    with cleaner(store) as process:
        assert ask(process, b"todo/%d\0" % first) == b"+"
        assert store.state(first) == {"mess"}
        assert ask(process, b"foop/%d\0todo/%d\0foop/%d\0" % (first, second, second)) == b"+++"
        assert store.files() == []
        assert process.stdin is not None
        process.stdin.close()
        assert wait_for_exit(process) == 0


def test_what_is_not_there_is_done(store: Store) -> None:
    with cleaner(store) as process:
        assert ask(process, b"foop/26\0todo/26\0") == b"++"


def test_a_malformed_command_gets_one_x_and_does_nothing(store: Store) -> None:
    number = store.put([LOCAL])
    before = store.files()
    commands = [
        b"foop/%dx" % number,
        b"todo/%dx" % number,
        b"todx/%d" % number,
        b"foop",
        b"",
        b"foop/" + b"1" * 100,
        b"foop/../mess/%d/%d" % (number % 23, number),
    ]
    with cleaner(store) as process:
        assert ask(process, b"".join(command + b"\0" for command in commands)) == b"x" * len(commands)
        assert store.files() == before
        assert ask(process, b"foop/%d\0" % number) == b"+"


def test_what_cannot_be_removed_gets_an_exclamation_mark(store: Store) -> None:
    os.mkdir(f"{store.home}/queue/todo/26")
    with cleaner(store) as process:
        assert ask(process, b"todo/26\0foop/27\0") == b"!+"


def test_commands_may_come_in_pieces(store: Store) -> None:
    number = store.put([LOCAL])
    with cleaner(store) as process:
        assert process.stdin is not None
        for byte in b"todo/%d" % number:
            process.stdin.write(bytes((byte,)))
            process.stdin.flush()
        assert ask(process, b"\0") == b"+"
    assert store.state(number) == {"mess"}


def test_it_looks_into_pid_at_its_start_and_every_thirty_commands(store: Store) -> None:
    def old(name: str) -> str:
        path = write(f"{store.home}/queue/pid/{name}", b"x")
        os.utime(path, (0, 0))
        return path

    first, young = old("1.1.1"), write(f"{store.home}/queue/pid/2.2.2", b"x")
    with cleaner(store) as process:
        wait_for(lambda: not os.path.exists(first), "the round at the start")
        second = old("3.3.3")
        ask(process, b"foop/26\0" * 29)
        assert os.path.exists(second)
        ask(process, b"foop/26\0")
        wait_for(lambda: not os.path.exists(second), "the second round")
    assert os.path.exists(young)


def test_nobody_who_hears_its_answers_is_code_100(store: Store) -> None:
    with cleaner(store) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(b"foop/26\0")
        process.stdin.flush()
        assert wait_for_exit(process) == 100


def test_without_a_queue_it_is_code_111(store: Store) -> None:
    os.rename(f"{store.home}/queue", f"{store.home}/elsewhere")
    with cleaner(store) as process:
        assert wait_for_exit(process) == 111
        assert process.stderr is not None
        said = process.stderr.read()
    assert said.startswith(b"qmail-clean: fatal: unable to switch to ")
    assert said.endswith(b"/queue: file does not exist\n")


def test_a_kill_between_two_commands_loses_nothing(store: Store) -> None:
    number = store.put([LOCAL])
    with cleaner(store) as process:
        assert ask(process, b"todo/%d\0" % number) == b"+"
        process.send_signal(signal.SIGKILL)
        wait_for_exit(process)
    assert store.state(number) == {"mess"}
