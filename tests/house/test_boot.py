"""boot/: what a supervisor is given. Units and scripts are checked by the tools that will read them."""

import os
import shutil
import subprocess

import pytest

from tests.support import CHECKOUT, read

BOOT = f"{CHECKOUT}/boot"


def files(*endings: str) -> list[str]:
    found = []
    for folder, _, names in os.walk(BOOT):
        found += [os.path.join(folder, name) for name in names if not endings or name.endswith(endings)]
    return sorted(found)


def test_every_shell_script_is_valid_shell() -> None:
    scripts = [path for path in files() if read(path).startswith(b"#!/bin/sh")]
    assert scripts
    for path in scripts:
        done = subprocess.run(["sh", "-n", path], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert os.access(path, os.X_OK), f"{path} cannot be executed"


def test_systemd_understands_every_unit(tmp_path: object) -> None:
    units = files(".service", ".socket")
    assert units
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze; the units were not verified")
    for unit in units:
        copy = f"{tmp_path}/{os.path.basename(unit)}"
        with open(copy, "wb") as file:  # its programs are not installed here: any program will do
            file.write(b"".join(harmless(line) for line in read(unit).splitlines(keepends=True)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
        + [f"{tmp_path}/{os.path.basename(unit)}" for unit in units],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def harmless(line: bytes) -> bytes:
    return line.partition(b"=")[0] + b"=/bin/true\n" if line.startswith(b"Exec") else line


def test_the_unit_of_qmail_start_leaves_out_what_would_break_users_programs() -> None:
    """A program like procmail is setgid, and homes are where mail is delivered."""
    (unit,) = [path for path in files(".service") if b"qmail-start" in read(path)]
    text = read(unit)
    assert b"\nNoNewPrivileges=yes" not in text
    assert b"\nNoNewPrivileges=true" not in text
    assert b"\nProtectHome=" not in text
