"""qmail-tcpto and qmail-tcpok on a table made by hand."""

import fcntl
import os
import threading
import time

import pytest

from tests.inject_support import run
from tests.support import bare_home, read


@pytest.fixture
def home(tmp_path: object) -> str:
    return bare_home(f"{tmp_path}/home")


def record(ip: tuple[int, int, int, int], count: int, when: int) -> bytes:
    return bytes((*ip, count, 0, 0, 0)) + (when % (1 << 32)).to_bytes(4, "little") + bytes(4)


def fill(home: str, *records: bytes) -> str:
    path = f"{home}/queue/lock/tcpto"
    with open(path, "wb") as file:
        file.write(b"".join(records).ljust(1024, b"\0"))
    return path


def test_ipv6_hosts_are_listed_after_the_others_and_forgotten_with_them(home: str) -> None:
    now = int(time.time())
    fill(home, record((192, 0, 2, 25), 2, now - 200))
    address = bytes.fromhex("20010db8") + bytes(11) + b"\1"
    with open(f"{home}/queue/lock/tcpto6", "wb") as file:
        file.write((address + b"\3\0\0\0" + (now - 100).to_bytes(8, "little") + bytes(4)).ljust(2048, b"\0"))
    lines = run(home, "qmail-tcpto").out.splitlines()
    assert [line.split()[0] for line in lines] == [b"192.0.2.25", b"2001:db8::1"]
    assert run(home, "qmail-tcpok").code == 0
    assert run(home, "qmail-tcpto").out == b""
    os.unlink(f"{home}/queue/lock/tcpto6")  # a queue that C qmail made
    assert (run(home, "qmail-tcpto").code, run(home, "qmail-tcpok").code) == (0, 0)


def test_hosts_that_timed_out_are_listed_in_the_tables_order(home: str) -> None:
    now = int(time.time())
    fill(
        home,
        record((192, 0, 2, 25), 2, now - 200),
        record((192, 0, 2, 26), 0, now - 100),
        record((198, 51, 100, 1), 10, now + 5000),  # the clock was set back
    )
    done = run(home, "qmail-tcpto")
    assert (done.code, done.err) == (0, b"")
    first, second = done.out.splitlines()
    head, seconds, tail = first.partition(b"192.0.2.25 timed out ")
    assert (head, seconds) == (b"", b"192.0.2.25 timed out ")
    assert 200 <= int(tail.split()[0]) < 260
    assert tail.partition(b" ")[2] == b"seconds ago; # recent timeouts: 2"
    assert second == b"198.51.100.1 timed out 0 seconds ago; # recent timeouts: 10"


def test_an_empty_table_is_an_empty_list(home: str) -> None:
    fill(home)
    done = run(home, "qmail-tcpto")
    assert (done.code, done.out, done.err) == (0, b"", b"")


def test_all_is_forgotten(home: str) -> None:
    path = fill(home, record((192, 0, 2, 25), 2, 1))
    done = run(home, "qmail-tcpok")
    assert (done.code, done.out, done.err) == (0, b"", b"")
    assert read(path) == bytes(1024)


def test_who_holds_the_lock_is_waited_for(home: str) -> None:
    path = fill(home, record((192, 0, 2, 25), 2, 1))
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = threading.Event()

        def forget() -> None:
            run(home, "qmail-tcpok")
            ended.set()

        other = threading.Thread(target=forget)
        other.start()
        assert not ended.wait(0.5)
        assert read(path)[4] == 2
        fcntl.flock(held, fcntl.LOCK_UN)
        other.join(20)
    assert read(path) == bytes(1024)


@pytest.mark.parametrize("program", ["qmail-tcpto", "qmail-tcpok"])
def test_a_table_that_is_not_there_is_said(home: str, program: str) -> None:
    os.unlink(fill(home))
    done = run(home, program)
    assert (done.code, done.out) == (111, b"")
    assert done.err.startswith(b"%s: fatal: unable to use " % program.encode())
    assert done.err.endswith(b"/tcpto: file does not exist\n")
