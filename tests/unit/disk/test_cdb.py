"""Constant databases are read as their format says, and a damaged one never hangs or crashes us."""

import io
import os
import posix
import random
import resource
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cdblib import Writer, djb_hash
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.disk import cdb, durable
from qmailpy.disk.cdb import Cdb
from qmailpy.verdict import TEMP, Die
from tests.support import wait_for


def written(records: list[tuple[bytes, bytes]]) -> bytes:
    file = io.BytesIO()
    writer = Writer(file)
    for key, value in records:
        writer.put(key, value)
    writer.finalize()
    return file.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cdb"


def test_keys_are_found_and_others_are_not(path: Path) -> None:
    records = [(b"!joe%d\0" % number, b"value %d" % number) for number in range(1000)]
    path.write_bytes(written([*records, (b"", b"-")]))
    with Cdb(bytes(path)) as cdb:
        assert all(cdb.get(key) == value for key, value in records)
        assert cdb.get(b"") == b"-"
        assert cdb.get(b"!nobody\0") is None


def test_the_first_of_equal_keys_wins(path: Path) -> None:
    path.write_bytes(written([(b"a", b"first"), (b"a", b"second")]))
    with Cdb(bytes(path)) as cdb:
        assert cdb.get(b"a") == b"first"


def test_no_file_is_told_from_a_bad_one(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Cdb(bytes(path))


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 2047])
def test_a_file_too_small_is_bad(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OSError, match="not a constant database"):
        Cdb(bytes(path))


def test_a_directory_is_bad(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"Invalid argument|No such device"):
        Cdb(bytes(tmp_path))


def test_a_table_without_an_empty_slot_is_not_searched_for_ever(path: Path) -> None:
    table = struct.pack("<LL", 1, 2048) * 4  # four slots, all taken
    path.write_bytes(struct.pack("<LL", 2048, 4) * 256 + table)
    with Cdb(bytes(path)) as cdb, pytest.raises(OSError, match="not a constant database"):
        cdb.get(b"x")


def test_a_table_outside_of_the_file_is_bad(path: Path) -> None:
    path.write_bytes(struct.pack("<LL", 0xFFFFFF00, 4) * 256)
    with Cdb(bytes(path)) as cdb, pytest.raises(OSError, match="not a constant database"):
        cdb.get(b"x")


@given(st.randoms(use_true_random=False))
def test_damage_anywhere_ends_in_an_answer_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    content = bytearray(written([(b"!joe%d" % number, b"x") for number in range(20)]))
    for _ in range(chance.randrange(1, 200)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path = tmp_path_factory.getbasetemp() / "damaged.cdb"
    path.write_bytes(content[: chance.randrange(len(content)) if chance.random() < 0.3 else None])
    try:
        with Cdb(bytes(path)) as cdb:
            for number in range(25):
                cdb.get(b"!joe%d" % number)
    except OSError:
        return


# writing

ZERO_HASH = b"oov05fP"


def put(folder: Path, *records: tuple[bytes, bytes]) -> Path:
    cdb.write(bytes(folder / "cdb.tmp"), bytes(folder / "cdb"), records)
    return folder / "cdb"


def get(path: Path, key: bytes) -> bytes | None:
    with Cdb(bytes(path)) as database:
        return database.get(key)


def test_what_is_written_is_what_the_format_says(tmp_path: Path) -> None:
    """Header, records, tables: spec/00-common.md 8, put together by hand."""
    records = [(b"one", b"1"), (b"two", b""), (b"one", b"again"), (b"", b"-")]
    body, tables, header = b"", b"", b""
    places: dict[int, list[tuple[int, int]]] = {}
    for key, value in records:
        number = 5381
        for byte in key:
            number = ((number << 5) + number) % 2**32 ^ byte
        places.setdefault(number & 255, []).append((number, 2048 + len(body)))
        body += struct.pack("<LL", len(key), len(value)) + key + value
    for table in range(256):
        entries = places.get(table, [])
        slots = [(0, 0)] * (2 * len(entries))
        header += struct.pack("<LL", 2048 + len(body) + len(tables), len(slots))
        for number, position in entries:
            at = (number >> 8) % len(slots)
            while slots[at][1]:
                at = (at + 1) % len(slots)
            slots[at] = (number, position)
        tables += b"".join(struct.pack("<LL", *slot) for slot in slots)
    assert put(tmp_path, *records).read_bytes() == header + body + tables


def test_another_program_reads_it(tmp_path: Path) -> None:
    if not shutil.which("cdb"):
        pytest.skip("needs cdb (Debian: tinycdb)")
    path = put(tmp_path, *((b"!user%d" % number, b"value %d" % number) for number in range(300)), (b"", b"-"))
    done = subprocess.run(["cdb", "-d", path], capture_output=True, check=True)
    lines = done.stdout.split(b"\n")
    assert (len(lines), lines[299], lines[300]) == (303, b"+8,9:!user299->value 299", b"+0,1:->-")
    for key, value in ((b"!user0", b"value 0"), (b"!user299", b"value 299")):
        assert subprocess.run(["cdb", "-q", path, key], capture_output=True, check=True).stdout == value


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    records = [(b"%d" % (number % 700), b"%d" % number) for number in range(1000)]
    first = put(tmp_path, *records).read_bytes()
    assert put(tmp_path, *records).read_bytes() == first


@given(st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=4))))
def test_each_key_gives_what_was_first_put_under_it(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[bytes, bytes]]
) -> None:
    path = put(tmp_path_factory.getbasetemp(), *records)
    first = dict(reversed(records))
    with Cdb(bytes(path)) as database:
        assert {key: database.get(key) for key in first} == first


def test_a_key_with_the_hash_zero_is_not_written_over(tmp_path: Path) -> None:
    """pure-cdb takes its slot for an empty one; others of the same table would be put into it."""
    assert djb_hash(ZERO_HASH) == 0
    others = [key for key in (b"%d" % number for number in range(20000)) if djb_hash(key) & 255 == 0]
    records = [(ZERO_HASH, b"first"), (ZERO_HASH, b"second"), *((key, key) for key in others)]
    path = put(tmp_path, *records)
    assert get(path, ZERO_HASH) == b"first"
    with Cdb(bytes(path)) as database:
        assert all(database.get(key) == key for key in others)


def test_it_takes_the_place_of_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cdb.tmp").write_bytes(b"left by somebody who was killed" * 1000)
    old = put(tmp_path, (b"a", b"1")).stat()
    path = put(tmp_path, (b"a", b"2"))
    assert get(path, b"a") == b"2"
    assert path.stat().st_ino != old.st_ino, "who has the old one open reads on in it"
    assert os.listdir(tmp_path) == ["cdb"]


def failing() -> Iterator[tuple[bytes, bytes]]:
    yield b"a", b"2"
    raise Die(TEMP, b"a bad line")


@pytest.mark.parametrize("step", ["records", "fsync", "rename", "space", "open"])
def test_whatever_fails_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = put(tmp_path, (b"a", b"1"))
    draft = bytes(tmp_path / "cdb.tmp")
    records: Iterator[tuple[bytes, bytes]] = iter([(b"a", b"2")])
    reason = b"input/output error"

    def fail(*_: object) -> None:
        raise OSError(5, "I/O")

    if step == "records":
        records, expected = failing(), b"a bad line"
    elif step == "fsync":
        monkeypatch.setattr(durable, "sync_file", fail)
        expected = b"unable to write " + draft + b": " + reason
    elif step == "rename":
        monkeypatch.setattr(posix, "rename", fail)
        expected = b"unable to move %s to %s: %s" % (draft, bytes(path), reason)
    elif step == "space":
        monkeypatch.setattr(posix, "ftruncate", lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (100, -1)))
        expected = b"unable to write " + draft + b": file too big"
    else:
        os.mkdir(draft)
        expected = b"unable to open " + draft + b": is a directory"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(Die) as death:
            cdb.write(draft, bytes(path), records)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (death.value.verdict, death.value.text) == (TEMP, expected)
    assert get(path, b"a") == b"1"
    if step != "open":
        assert os.listdir(tmp_path) == ["cdb"]


def test_two_who_write_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    """The second waits for the first's lock, finds that its draft has become the result, and begins a new one."""
    draft, path = bytes(tmp_path / "cdb.tmp"), bytes(tmp_path / "cdb")
    inside, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[tuple[bytes, bytes]]:
        inside.set()
        assert go_on.wait(30)
        yield b"who", b"first"

    first = threading.Thread(target=cdb.write, args=(draft, path, slowly()))
    second = threading.Thread(target=cdb.write, args=(draft, path, [(b"who", b"second")]))
    first.start()
    assert inside.wait(30)
    second.start()
    wait_for(lambda: is_waited_for(tmp_path / "cdb.tmp"), "the second to wait for the lock")
    go_on.set()
    first.join()
    second.join()
    assert get(tmp_path / "cdb", b"who") == b"second"
    assert os.listdir(tmp_path) == ["cdb"]


def is_waited_for(path: Path) -> bool:
    """Whether somebody waits for a lock on this file: the kernel's list has an arrow then."""
    number = path.stat().st_ino
    with open("/proc/locks", encoding="ascii") as file:
        return any("->" in line and f":{number} " in line for line in file)
