"""Processes: descriptors arranged in any order, endings told apart, PATH searched as execvp does."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qmailpy.system import process
from qmailpy.verdict import PERM, TEMP, Die


def _in_child(work: Callable[[], int]) -> int:
    return process.wait(process.fork(work)).code


@pytest.mark.parametrize("order", list(itertools.permutations((10, 11, 12))))
def test_descriptors_are_arranged_even_when_they_overlap(order: tuple[int, ...], tmp_path: Path) -> None:
    def child() -> int:
        for number in (10, 11, 12):
            made = os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY)
            if made != number:
                os.dup2(made, number)
                os.close(made)
        process.arrange(dict(zip((10, 11, 12), order, strict=True)))
        for number, source in zip((10, 11, 12), order, strict=True):
            if os.readlink(f"/proc/self/fd/{number}") != str(tmp_path / str(source)):
                return 1
            if not os.get_inheritable(number):
                return 2
        return 0

    assert _in_child(child) == 0


def test_a_forked_child_never_returns() -> None:
    assert _in_child(lambda: 7) == 7


def test_an_unknown_exception_in_a_child_is_temporary() -> None:
    assert _in_child(lambda: int(1 / 0)) == 111


@pytest.mark.parametrize(("verdict", "code"), [(TEMP, 111), (PERM, 100)])
def test_a_child_that_dies_exits_with_its_verdict(verdict: int, code: int) -> None:
    def child() -> int:
        raise Die(verdict, b"why")

    assert _in_child(child) == code


def test_a_signal_is_told_from_an_exit() -> None:
    def child() -> int:
        os.kill(os.getpid(), 9)
        return 0

    ending = process.wait(process.fork(child))
    assert (ending.signal, ending.code) == (9, 111)


def test_path_is_searched_as_execvp_does(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "tool").write_text("")  # not executable
    (tmp_path / "b" / "tool").write_text("")
    (tmp_path / "b" / "tool").chmod(0o755)
    search = os.fsencode(f"{tmp_path}/a:{tmp_path}/b")
    assert process.find(b"tool", search) == os.fsencode(f"{tmp_path}/b/tool")
    assert process.find(b"./tool", search) == b"./tool"
    assert process.find(b"missing", search) == b"missing"


def test_a_program_is_never_taken_from_the_current_directory_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tool").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "tool").chmod(0o755)

    def become(search: bytes) -> int:
        try:
            process.execute_found([b"tool"], {b"PATH": search})
        except FileNotFoundError:
            return 9

    assert _in_child(lambda: become(b"/nonexistent")) == 9
    assert _in_child(lambda: become(b"/nonexistent:")) == 0  # an empty part of $PATH asks for it


def test_a_script_without_its_first_line_is_run_by_the_shell(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("exit $1\n")
    (tmp_path / "tool").chmod(0o755)

    def become() -> int:
        process.execute_found([b"tool", b"7"], {b"PATH": os.fsencode(tmp_path)})

    assert _in_child(become) == 7


def test_without_a_path_the_systems_own_places_are_searched() -> None:
    def become() -> int:
        process.execute_found([b"sh", b"-c", b"exit 8"], {})

    assert _in_child(become) == 8
