"""Constant databases are read as their format says, and a damaged one never hangs or crashes us."""

import io
import random
import struct
from pathlib import Path

import pytest
from cdblib import Writer
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.disk.cdb import Cdb


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
