"""What is to be installed: launchers, package, dependencies, texts."""

import ast
import os
import re
import sys

import pytest

from qmailpy.install import gather, interpreter, memory
from qmailpy.verdict import Die
from tests.support import CHECKOUT, read
from tests.unit.install.conftest import CHECKOUT_BYTES, MODES


@pytest.fixture(scope="module")
def goods() -> gather.Goods:
    return gather.gather(CHECKOUT_BYTES, b"/srv/mail", MODES)


def test_a_launcher_has_the_home_and_the_interpreter_as_literals(goods: gather.Goods) -> None:
    lines = goods.launchers["qmail-send"].split(b"\n")
    assert lines[0] == goods.interpreter
    assert b'HOME = "/srv/mail"' in lines
    assert not [line for line in lines if b"__file__" in line]
    ast.parse(goods.launchers["qmail-send"])


def test_a_launcher_differs_from_the_checkouts_in_two_lines_only(goods: gather.Goods) -> None:
    ours, template = goods.launchers["sendmail"].split(b"\n"), read(f"{CHECKOUT}/bin/sendmail").split(b"\n")
    assert len(ours) == len(template)
    assert len([1 for mine, other in zip(ours, template, strict=True) if mine != other]) <= 2


@pytest.mark.parametrize("path", [b"/var/qmail", b"/home/j\xc3\xb6rg/My Projects/qmail", b"/odd/\xff/qmail"])
def test_a_home_survives_as_a_literal(path: bytes) -> None:
    assert os.fsencode(ast.literal_eval(gather.literal(path).decode("ascii"))) == path


@pytest.mark.parametrize("path", [b"/a:b", b'/a"b', b"/a$b", b"/a`b", b"/a\\b", b"/a\nb", b"/a%b", b"/a'b"])
def test_a_home_that_no_shell_could_spell_is_refused(path: bytes) -> None:
    with pytest.raises(Die):
        gather.require_path(path)


def test_a_home_is_made_absolute() -> None:
    assert gather.require_path(b"var/../var/qmail/") == os.getcwdb() + b"/var/qmail"


def test_what_is_no_launcher_is_refused() -> None:
    with pytest.raises(Die):
        gather.launcher(b"#!/bin/sh\nexec true\n", b"/var/qmail", b"#!/usr/bin/python3 -IS")


def test_dependencies_come_with_what_they_need_and_nothing_else(goods: gather.Goods) -> None:
    tops = {path.partition("/")[0] for path in goods.library}
    assert {"qmailpy", "launchers", "dns", "setproctitle", "daemon", "lockfile", "cdblib", "idna"} <= tops
    assert not tops & {"pip", "setuptools", "pytest", "_pytest", "hypothesis", "mypy", "ruff", "aiosmtpd"}
    assert not [path for path in goods.library if "__pycache__" in path or path.startswith("..")]


def test_a_missing_package_is_named() -> None:
    with pytest.raises(Die) as died:
        gather.distributions(("dnspython", "no-such-package-here"))
    assert b"no-such-package-here" in died.value.text


@pytest.mark.parametrize(
    ("requirement", "name", "conditional"),
    [
        ("lockfile>=0.10", "lockfile", False),
        ("Foo_Bar (>=1) ; extra == 'x'", "foo-bar", True),
        ("wmi; sys_platform == 'win32'", "wmi", True),
    ],
)
def test_a_requirement_is_read(requirement: str, name: str, conditional: bool) -> None:
    assert gather.normal(requirement) == name
    assert gather._is_conditional(requirement) == conditional


def test_boot_scripts_and_pages_name_the_home_they_are_installed_in(goods: gather.Goods) -> None:
    placed = {file.path: file for file in goods.placed}
    script = placed["boot/home"]
    assert script.mode == 0o755
    assert b'PATH="/srv/mail/bin:$PATH"' in script.content
    spelled = [path for path, file in placed.items() if not path.startswith("doc/") and b"/var/qmail" in file.content]
    assert not [path for path in spelled if path.startswith(("boot/", "man/", "bin/"))]


def test_documents_and_samples_are_placed(goods: gather.Goods) -> None:
    paths = {file.path for file in goods.placed}
    assert {"doc/INSTALL.md", "control/samples/plusdomain", "doc/alias"} <= paths
    assert not [path for path in paths if path.startswith("control/") and not path.startswith("control/samples/")]


def test_the_interpreter_line_runs_and_is_short() -> None:
    line = interpreter.choose()
    path = interpreter.of_line(line)
    assert path is not None
    assert len(line) <= 127
    assert interpreter.kind_of(path) == interpreter.our_kind()
    assert sys.version_info[:2] == tuple(map(int, (interpreter.kind_of(path) or "").split()[2:]))


def test_an_interpreter_that_does_not_run_is_told_apart(tmp_path: object) -> None:
    broken = f"{tmp_path}/python3"
    with open(broken, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 1\n")
    os.chmod(broken, 0o755)
    assert interpreter.kind_of(os.fsencode(broken)) is None
    assert interpreter.kind_of(b"/nonexistent/python3") is None


def test_a_closed_directory_above_an_interpreter_is_found(tmp_path: object) -> None:
    folder = os.path.realpath(f"{tmp_path}/closed")
    os.mkdir(folder, 0o700)
    os.symlink("/bin/true", f"{folder}/link")
    with open(f"{folder}/python3", "wb") as file:
        file.write(b"")
    assert interpreter.closed_at(os.fsencode(f"{folder}/python3")) is not None
    assert interpreter.closed_at(b"/bin/true") is None


def test_boot_scripts_say_how_much_memory_a_session_needs_here(goods: gather.Goods) -> None:
    placed = {file.path: file.content for file in goods.placed if file.path.startswith("boot/")}
    line = re.compile(rb"(?:softlimit|chpst) -m (\d+)|LimitAS=(\d+)")
    found = {path: int(words[1] or words[2]) for path, text in placed.items() if (words := line.search(text))}
    assert len(found) == 4
    (number,) = set(found.values())
    loaded = memory.peak(interpreter.of_line(interpreter.choose()) or b"", f"{CHECKOUT}/lib/current".encode())
    assert loaded is not None
    assert 2 * loaded < number
    assert abs(number - memory.enough(loaded)) <= 10_000_000  # it is a few pages more or less each time
    assert number % 10_000_000 == 0


def test_where_nothing_can_be_measured_the_number_stays_as_it_is_written() -> None:
    assert memory.limit(b"/nonexistent/python3", CHECKOUT_BYTES) == memory.WRITTEN
