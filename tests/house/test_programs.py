"""Every program of the table stands in bin/, has its manual page, and is told about (DESIGN 3)."""

import os
import re

import pytest

from qmailpy.programs.table import PROGRAMS
from tests.house.source import modules
from tests.support import CHECKOUT, read

LAUNCHER = """#!/usr/bin/python3 -ISXutf8
# Starts {name}. In an installed home setup has written the home's path here; in a checkout it is computed.
import marshal
import posix
import sys

HOME = (__file__.rpartition("/")[0] or ".") + "/.."
try:
    LIBRARY = posix.readlink(HOME + "/lib/current")
    sys.path.insert(0, LIBRARY)
    try:  # what it imports, in one file for this interpreter; without it, file by file
        bundle = posix.open(f"{{LIBRARY}}/bundles/{name}.{{sys.implementation.cache_tag}}", posix.O_RDONLY)
    except FileNotFoundError:
        pass
    else:
        loader, modules = marshal.loads(posix.read(bundle, 1 << 20))
        posix.close(bundle)
        space = {{}}
        exec(loader, space)
        space["take_over"](LIBRARY, modules)
    from qmailpy.programs import start

    start("{name}", HOME)
except BaseException as error:  # a broken library defers mail, it never bounces it
    posix.write(2, f"{name}: fatal: unable to load the library: {{error}}\\n".encode("ascii", "replace"))
finally:
    posix._exit(111)
"""
names = pytest.mark.parametrize("name", sorted(PROGRAMS))


def test_bin_holds_the_programs_and_nothing_else() -> None:
    assert sorted(os.listdir(f"{CHECKOUT}/bin")) == sorted(PROGRAMS)


@names
def test_its_launcher_says_its_name_literally(name: str) -> None:
    assert read(f"{CHECKOUT}/bin/{name}").decode() == LAUNCHER.format(name=name)
    assert os.stat(f"{CHECKOUT}/bin/{name}").st_mode & 0o111 == 0o111


@names
def test_it_has_a_manual_page(name: str) -> None:
    pages = [f"{CHECKOUT}/man/man{section}/{name}.{section}" for section in (1, 5, 7, 8)]
    found = [page for page in pages if os.path.exists(page)]
    assert len(found) == 1, f"man/man1/{name}.1 or man/man8/{name}.8 is missing"
    text = read(found[0]).decode().replace("\\-", "-")
    assert f"\n.SH NAME\n{name} - " in text


@names
def test_it_is_told_about(name: str) -> None:
    texts = [f"{CHECKOUT}/README.md"]
    texts += [f"{CHECKOUT}/PIC/{page}" for page in os.listdir(f"{CHECKOUT}/PIC") if page.endswith(".md")]
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    assert any(word.search(read(text).decode()) for text in texts if os.path.exists(text)), f"no word about {name}"


@names
def test_main_stands_last_in_its_file(name: str) -> None:
    module = PROGRAMS[name].module
    found = [one for one in modules() if one.name == f"qmailpy.programs.{module}"]
    assert found, f"qmailpy/programs/{module}.py is missing"
    assert getattr(found[0].tree.body[-1], "name", "") == "main"


def test_every_file_of_programs_is_in_the_table() -> None:
    files = {one.name.rpartition(".")[2] for one in modules() if one.layer == "programs"} - {"programs", "table"}
    assert files <= {program.module for program in PROGRAMS.values()}


def test_no_program_has_a_privilege_bit() -> None:
    assert not [name for name, program in PROGRAMS.items() if program.mode & 0o6000]
