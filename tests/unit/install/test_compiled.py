"""What lies compiled in the checkout is installed as it is, if it is what importing it there would execute."""

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qmailpy.install.gather import compiled_code
from tests.unit.install.conftest import Installed

SOURCE = b"def name():\n    return name.__code__.co_filename\n"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module, compiled."""
    path = tmp_path / "module.py"
    path.write_bytes(SOURCE)
    py_compile.compile(str(path), doraise=True)
    return path


def cached(module: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(module), optimization=""))


def touch(module: Path) -> None:
    os.utime(module, (1, 1))


def lengthen(module: Path) -> None:
    status = module.stat()
    module.write_bytes(SOURCE + b"\n")
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))


def compile_by_hash(module: Path) -> None:
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(module), doraise=True, invalidation_mode=mode)


def take_for_another(module: Path) -> None:
    cached(module).write_bytes(b"\0\0\r\n" + cached(module).read_bytes()[4:])


def truncate(module: Path) -> None:
    cached(module).write_bytes(cached(module).read_bytes()[:10])


def test_what_importing_it_would_execute_is_taken(module: Path) -> None:
    code = compiled_code(os.fsencode(module))
    assert code is not None
    assert marshal.loads(code).co_filename == str(module)


@pytest.mark.parametrize(
    "change", [touch, lengthen, compile_by_hash, take_for_another, truncate, lambda module: cached(module).unlink()]
)
def test_anything_else_is_compiled_again(module: Path, change: Callable[[Path], None]) -> None:
    change(module)
    assert compiled_code(os.fsencode(module)) is None


def test_what_is_no_module_has_no_code(tmp_path: Path) -> None:
    (tmp_path / "py.typed").write_bytes(b"")
    assert compiled_code(os.fsencode(tmp_path / "py.typed")) is None


def test_an_installed_module_says_where_it_is_installed(home: Installed) -> None:
    """Not where the checkout was: tracebacks are read by people."""
    library = os.readlink(home.at("lib/current"))
    program = (
        f"import sys, types; sys.path.insert(0, {library!r})\n"
        "from qmailpy.rules import date\n"
        "print(*{one.__code__.co_filename for one in vars(date).values() if isinstance(one, types.FunctionType)})"
    )
    done = subprocess.run([sys.executable, "-ISB", "-c", program], capture_output=True, check=True)
    assert done.stdout.decode() == f"{library}/qmailpy/rules/date.py\n"
