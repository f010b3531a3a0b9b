"""The real maildirmake."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support import CHECKOUT, PATH


def run(folder: Path, *words: str) -> tuple[int, bytes]:
    done = subprocess.run(
        [f"{CHECKOUT}/bin/maildirmake", *words],
        cwd=folder,
        env={"PATH": PATH},
        capture_output=True,
        check=False,
    )
    assert done.stdout == b""
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["Maildir", "./Maildir", "Maildir/"])
def test_four_private_directories_are_made(tmp_path: Path, name: str) -> None:
    assert run(tmp_path, name) == (0, b"")
    folder = tmp_path / "Maildir"
    assert sorted(os.listdir(folder)) == ["cur", "new", "tmp"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]} == {0o700}


def test_an_existing_one_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, "Maildir")
    words = b"maildirmake: fatal: unable to mkdir Maildir: file already exists\n"
    assert run(tmp_path, "Maildir") == (111, words)


def test_a_request_for_help_makes_no_directory(tmp_path: Path) -> None:
    assert run(tmp_path, "--help") == (100, b"maildirmake: fatal: usage: maildirmake directory\n")
    assert os.listdir(tmp_path) == []


def test_a_missing_parent_is_said(tmp_path: Path) -> None:
    words = b"maildirmake: fatal: unable to mkdir a/b: file does not exist\n"
    assert run(tmp_path, "a/b") == (111, words)


@pytest.mark.parametrize("words", [[], [""], ["a", "b"]])
def test_exactly_one_name_is_needed(tmp_path: Path, words: list[str]) -> None:
    assert run(tmp_path, *words) == (100, b"maildirmake: fatal: usage: maildirmake directory\n")
    assert os.listdir(tmp_path) == []
