"""An embedded home made by setup's own code, in this process, for the tests of qmailpy/install."""

import os
from collections.abc import Callable

import pytest

from qmailpy.install import order, owners, verify
from qmailpy.programs import PROGRAMS
from tests.support import CHECKOUT

MODES = {program.name: program.mode for program in PROGRAMS.values()}
CHECKOUT_BYTES = CHECKOUT.encode()
UID = os.geteuid()


class Installed:
    """A home, and what setup and check said about it."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.said: list[str] = []

    def setup(self, force: set[str] | None = frozenset()) -> list[str]:  # type: ignore[assignment]
        """Result: what this setup said."""
        said: list[str] = []
        order.embedded(CHECKOUT_BYTES, self.path, MODES, said.append, uid=UID, name=b"mx.example.org", force=force)
        self.said += said
        return said

    def check(self) -> verify.Findings:
        who = owners.embedded(os.geteuid(), os.getegid())
        return verify.Verifier(self.path, who, MODES, others_run=False).everything()

    def at(self, *names: str) -> str:
        return os.path.join(os.fsdecode(self.path), *names)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A complete embedded home of whoever runs the tests."""
    installed = Installed(os.fsencode(tmp_path_factory.mktemp("setup") / "home"))
    installed.setup()
    return installed


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One for all tests of a file that leave it as it was."""
    installed = Installed(os.fsencode(tmp_path_factory.mktemp("shared") / "home"))
    installed.setup()
    return installed


Change = Callable[[Installed], None]
