"""The real qmail-newmrh: control/morercpthosts becomes a database, or everything stays as it was."""

import os
import resource
import subprocess
from pathlib import Path

import pytest
from cdblib import Reader

from tests.support import CHECKOUT, PATH, read, write


@pytest.fixture
def home(tmp_path: Path) -> str:
    (tmp_path / "control").mkdir()
    return str(tmp_path)


def run(home: str, limit: int = 0) -> tuple[int, bytes]:
    done = subprocess.run(
        [f"{CHECKOUT}/bin/qmail-newmrh"],
        env={"PATH": PATH, "QMAILHOME": home},
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None,
    )
    assert done.stdout == b""
    return done.returncode, done.stderr


def test_each_entry_is_a_key_in_lower_case_and_nothing_else_is(home: str) -> None:
    write(f"{home}/control/morercpthosts", "One.Example \t\n#no\n\n .blank\n.two.example\none.example\r\nlast")
    assert run(home) == (0, b"")
    keys = [b"one.example", b" .blank", b".two.example", b"one.example\r", b"last"]
    assert Reader(read(f"{home}/control/morercpthosts.cdb")).items() == [(key, b"") for key in keys]
    assert sorted(os.listdir(f"{home}/control")) == ["morercpthosts", "morercpthosts.cdb"]
    assert os.stat(f"{home}/control/morercpthosts.cdb").st_mode & 0o7777 == 0o644


def test_the_bytes_are_those_of_the_format(home: str) -> None:
    """spec/00 8, spelled out for one key: 256 pairs, the record, its table of two slots."""
    write(f"{home}/control/morercpthosts", "a\n")
    assert run(home) == (0, b"")
    content = read(f"{home}/control/morercpthosts.cdb")
    hashed = (5381 * 33) ^ ord("a")
    record = b"\x01\0\0\0\0\0\0\0a"
    assert content[2048:2057] == record
    slots = [bytes(8), bytes(8)]
    slots[(hashed >> 8) % 2] = hashed.to_bytes(4, "little") + (2048).to_bytes(4, "little")
    assert content[2057:] == b"".join(slots)
    pair = content[(hashed & 255) * 8 : (hashed & 255) * 8 + 8]
    assert pair == (2057).to_bytes(4, "little") + (2).to_bytes(4, "little")


def test_another_cdb_program_reads_it(home: str) -> None:
    import shutil

    if shutil.which("cdb") is None:
        pytest.skip("needs cdb (Debian: tinycdb)")
    write(f"{home}/control/morercpthosts", "".join(f"host{number}.example\n" for number in range(1000)))
    assert run(home) == (0, b"")
    for number, code in ((0, 0), (999, 0), (1000, 100)):
        done = subprocess.run(
            ["cdb", "-q", f"{home}/control/morercpthosts.cdb", f"host{number}.example"],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code


def test_what_goes_wrong_leaves_the_old_database(home: str) -> None:
    fatal = b"qmail-newmrh: fatal: "
    assert run(home) == (111, fatal + b"unable to read control/morercpthosts: file does not exist\n")
    write(f"{home}/control/morercpthosts", "a\n")
    assert run(home) == (0, b"")
    before = read(f"{home}/control/morercpthosts.cdb")
    write(f"{home}/control/morercpthosts", "b\n" + "x" * 70000 + "\n")
    words = b"unable to use control/morercpthosts: line 2: longer than 65536 bytes\n"
    assert run(home) == (111, fatal + words)
    write(f"{home}/control/morercpthosts", "b\n")
    assert run(home, 1000) == (111, fatal + b"unable to write control/morercpthosts.tmp: file too big\n")
    os.unlink(f"{home}/control/morercpthosts")
    os.mkdir(f"{home}/control/morercpthosts")
    assert run(home) == (111, fatal + b"unable to read control/morercpthosts: is a directory\n")
    assert read(f"{home}/control/morercpthosts.cdb") == before
    assert sorted(os.listdir(f"{home}/control")) == ["morercpthosts", "morercpthosts.cdb"]
    assert run(f"{home}/absent") == (111, fatal + b"unable to chdir: file does not exist\n")
