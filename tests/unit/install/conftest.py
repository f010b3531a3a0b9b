"""An embedded home made by setup's own code, for the tests of qmailpy/install.

An ordinary user's is his, and made in this process; root's tests make one for NOBODY, in a child, for setup gives root
up for good.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from qmailpy.install import order, owners, verify
from qmailpy.programs.table import PROGRAMS
from qmailpy.verdict import TEMP, Die
from tests import ready
from tests.support import CHECKOUT, NOBODY, give

MODES = {program.name: program.mode for program in PROGRAMS.values()}
CHECKOUT_BYTES = CHECKOUT.encode()
ROOT = os.geteuid() == 0
UID, GID = os.geteuid() or NOBODY, os.getegid() or NOBODY  # whose the homes are


class Installed:
    """A home, and what setup and check said about it."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.said: list[str] = []

    def setup(self, force: set[str] | None = frozenset()) -> list[str]:  # type: ignore[assignment]
        """Result: what this setup said.  Errors: Die."""
        self._give()
        said = apart(lambda: self._setup(force)) if ROOT else self._setup(force)
        self.said += said
        return said

    def _setup(self, force: set[str] | None) -> list[str]:
        said: list[str] = []
        order.embedded(CHECKOUT_BYTES, self.path, MODES, said.append, uid=UID, name=b"mx.example.org", force=force)
        return said

    def check(self) -> verify.Findings:
        self._give()
        return verify.Verifier(self.path, owners.embedded(UID, GID), MODES, others_run=False).everything()

    def _give(self) -> None:
        """What root's test has put there is the user's, as it is where he runs the test himself."""
        if ROOT and os.path.isdir(self.path):
            give(os.fsdecode(self.path), UID, GID)

    def at(self, *names: str) -> str:
        return os.path.join(os.fsdecode(self.path), *names)


def apart(work: Callable[[], list[str]]) -> list[str]:
    """Do something that gives root up for good in a child.  Result: what it says.  Errors: Die, as it died."""
    said: list[str] = []
    died = b""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        died = b"the child did not come to its end"
        try:
            said, died = work(), b""
        except Die as death:
            died = death.text
        finally:
            with os.fdopen(write_end, "wb") as pipe:
                pickle.dump((said, died), pipe)
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said, died = pickle.load(pipe)
    os.waitpid(pid, 0)
    if died:
        raise Die(TEMP, died)
    return said


def place_for(folder: object) -> bytes:
    """A home's path in this directory, which its owner can go through."""
    os.chmod(str(folder), 0o711)
    return os.fsencode(f"{folder}/home")


@pytest.fixture
def home(tmp_path: Path) -> Installed:
    """A complete embedded home of whoever runs the tests, as setup made one; the test may change all of it."""
    tmp_path.chmod(0o711)
    (tmp_path / "setup").mkdir()
    path = place_for(tmp_path / "setup")
    ready.embedded(os.fsdecode(path), lambda first: Installed(first.encode()).setup(), "installed", linked=False)
    return Installed(path)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One for all tests of a file that leave it as it was."""
    installed = Installed(place_for(tmp_path_factory.mktemp("shared")))
    installed.setup()
    return installed


Change = Callable[[Installed], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A home of one's own takes a while to make: not in `make quick`."""
    for item in items:
        if "home" in getattr(item, "fixturenames", ()) and item.path.parent.name == "install":
            item.add_marker(pytest.mark.slow)
