"""The tests clean up after themselves, and after sessions of tests that were killed."""

import os
import subprocess
import sys

from tests import leftovers
from tests.support import CHECKOUT

CLAIM = "import sys; from tests import leftovers; print(leftovers.claim(sys.argv[1])[0], flush=True); sys.stdin.read()"


def test_only_the_directories_of_sessions_that_are_gone_are_removed(tmp_path: object) -> None:
    top = str(tmp_path)
    strangers = f"{top}/{leftovers.PREFIX}of-an-older-version"
    os.mkdir(strangers)
    with (
        subprocess.Popen(
            [sys.executable, "-B", "-c", CLAIM, top], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        assert other.stdout is not None
        theirs = other.stdout.readline().decode().strip()
        os.mkdir(f"{theirs}/home")
        ours, lock = leftovers.claim(top)
        assert leftovers.sweep(top) == []
        assert os.path.isdir(f"{theirs}/home")
        other.kill()
        other.wait()
        assert leftovers.sweep(top) == [theirs]
    assert sorted(os.listdir(top)) == sorted(
        [os.path.basename(strangers), os.path.basename(ours), os.path.basename(ours) + leftovers.LOCK]
    )
    leftovers.release(ours, lock)
    assert os.listdir(top) == [os.path.basename(strangers)]
