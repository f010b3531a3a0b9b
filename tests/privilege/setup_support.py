"""setup.py as an administrator types it, and what check complains about."""

import subprocess
import sys

from tests.support import SETUP

HOME = "/var/qmail"


def order(*arguments: str) -> tuple[int, str]:
    """setup.py's exit code and words."""
    done = subprocess.run(
        [sys.executable, "-P", "-B", SETUP, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode or done.stderr == b"", done.stderr.decode()
    return done.returncode, (done.stdout + done.stderr).decode()


def faults(home: str = HOME) -> list[str]:
    """The complaints of check about this home, without notes and without the sum."""
    code, text = order("--home", home, "--check")
    lines = [line for line in text.splitlines() if not line.startswith("check: note: ")]
    if code == 0:
        assert lines == [f"check: {home} is as it should be"]
        return []
    assert code == 1
    assert lines[-1] == f"check: {len(lines) - 1} faults"
    assert all(line.startswith("check: ") for line in lines)
    return lines[:-1]
