"""Each program that users' mail runs by exec has its bundle, with all that it imports."""

import marshal
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from qmailpy.install.bundle import INSIDE, LARGEST, ROLES, bundles
from qmailpy.programs.table import PROGRAMS
from tests.support import CHECKOUT
from tests.unit.install.conftest import Installed

PACKAGES = sysconfig.get_path("purelib")
TAG = sys.implementation.cache_tag
EXECUTED = sorted(name for name, program in PROGRAMS.items() if program.role in ROLES)
PROBE = """
import marshal, sys
sys.path.insert(0, sys.argv[1])
loader, modules = marshal.loads(open(sys.argv[2], "rb").read())
space = {}
exec(loader, space)
space["take_over"](sys.argv[1], modules)
sys.path[0] = sys.argv[3]  # the packages of others; whatever of ours is missing in the bundle cannot be found now
from qmailpy.programs import load
for name in sys.argv[4:]:
    load(name)
"""


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    library = {}
    for folder, _, names in os.walk(f"{CHECKOUT}/qmailpy"):
        for name in names:
            if name.endswith(".py"):
                path = Path(folder) / name
                library[str(path.relative_to(CHECKOUT))] = path.read_bytes()
    return bundles(library, "/lib")


def test_every_program_that_is_executed_for_mail_has_one(made: dict[str, bytes]) -> None:
    assert sorted(made) == [f"bundles/{name}.{TAG}" for name in EXECUTED]


def test_none_is_larger_than_a_launcher_reads(made: dict[str, bytes]) -> None:
    assert max(map(len, made.values())) <= LARGEST


@pytest.mark.parametrize("name", EXECUTED)
def test_the_program_loads_from_it_alone(name: str, made: dict[str, bytes], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.write_bytes(made[f"bundles/{name}.{TAG}"])
    words = [sys.executable, "-ISB", "-c", PROBE, str(tmp_path), str(bundle), PACKAGES, name, *INSIDE.get(name, ())]
    done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_bundle_holds_no_docstrings(made: dict[str, bytes]) -> None:
    _, modules = marshal.loads(made[f"bundles/qmail-queue.{TAG}"])
    assert b"Who we are" not in modules["qmailpy.system.identity"][1]
    assert all(b"Errors:" not in code for _, code in modules.values())


def make_maildir(home: Installed, folder: Path) -> tuple[int, bytes, list[str]]:
    """Run the installed maildirmake.  Exit code, what it said, the modules of ours that came out of files."""
    line = Path(home.at("bin", "maildirmake")).read_bytes().split(b"\n")[0].decode()
    words = [*line[2:].split(" "), "-X", "importtime", home.at("bin", "maildirmake"), str(folder)]
    done = subprocess.run(words, capture_output=True, check=False)
    lines = done.stderr.decode().splitlines()
    files = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    said = "\n".join(line for line in lines if not line.startswith("import time:"))
    return done.returncode, said.encode(), [name for name in files if name.startswith("qmailpy")]


def test_an_installed_program_starts_from_its_bundle(home: Installed, tmp_path: Path) -> None:
    assert make_maildir(home, tmp_path / "one") == (0, b"", [])
    assert (tmp_path / "one" / "new").is_dir()


def test_without_a_bundle_for_its_interpreter_it_starts_from_files(home: Installed, tmp_path: Path) -> None:
    os.unlink(home.at("lib", "current", "bundles", f"maildirmake.{TAG}"))
    code, said, files = make_maildir(home, tmp_path / "one")
    assert (code, said) == (0, b"")
    assert "qmailpy.programs.maildirmake" in files


@pytest.mark.parametrize("content", [b"", b"not marshalled", marshal.dumps((1, 2)), marshal.dumps(())])
def test_a_broken_bundle_is_a_temporary_error(home: Installed, tmp_path: Path, content: bytes) -> None:
    Path(home.at("lib", "current", "bundles", f"maildirmake.{TAG}")).write_bytes(content)
    code, said, _ = make_maildir(home, tmp_path / "one")
    assert code == 111
    assert said.startswith(b"maildirmake: fatal: unable to load the library: ")
    assert not (tmp_path / "one").exists()
