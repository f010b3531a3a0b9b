"""Bundles: what an exec'ed program may import, in one file for each program (system/bundled reads it).

Each is as large as its program needs: a page that is read costs as much as a page that is used. The file's name ends
in the interpreter's cache tag, as a compiled module's does; another interpreter does not see it.
"""

import ast
import marshal
import sys
from types import CodeType

from qmailpy.programs.table import PROGRAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOADER = "qmailpy.system.bundled"
ROLES = ("caller", "the user", "alias")  # the programs that users' mail runs by exec
INSIDE = {"sendmail": ("qmail-inject",), "mailq": ("qmail-qread",)}  # programs that one runs without an exec
START = "qmailpy.programs"
OPTIMIZE = 2  # without docstrings: nobody asks for them there, and they are a third of it
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # where statements hold statements
LARGEST = 1 << 20  # bytes; a launcher reads no more


def bundles(library: "dict[str, bytes]", shown: str) -> "dict[str, bytes]":
    """All of them: path below the library -> content.

    library: path -> content, of everything; shown: where it will stand, for the modules' file names.
    """
    sources = {_module(path): (path, content) for path, content in library.items() if path.startswith("qmailpy/")}
    known: dict[str, list[str]] = {}

    def imports(module: str) -> list[str]:
        if module not in known:
            known[module] = _imports(sources[module][1]) if module in sources else []
        return known[module]

    needed = {}
    for program in PROGRAMS.values():
        if program.role in ROLES:
            names = (program.name, *INSIDE.get(program.name, ()))
            modules = _needed([START, *(f"{START}.{PROGRAMS[name].module}" for name in names)], imports)
            needed[program.name] = modules & sources.keys()
    codes = {
        name: (path.endswith("/__init__.py"), marshal.dumps(_compiled(content, f"{shown}/{path}")))
        for name, (path, content) in sources.items()
        if any(name in modules for modules in needed.values())
    }
    loader = _compiled(sources[LOADER][1], f"{shown}/{sources[LOADER][0]}")
    found = {}
    for name, modules in needed.items():
        content = marshal.dumps((loader, {module: codes[module] for module in sorted(modules)}))
        if len(content) <= LARGEST:
            found[f"bundles/{name}.{sys.implementation.cache_tag}"] = content
    return found


def _compiled(source: bytes, path: str) -> CodeType:
    code: CodeType = compile(source, path, "exec", dont_inherit=True, optimize=OPTIMIZE)
    return code


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _needed(todo: list[str], imports: "Callable[[str], list[str]]") -> set[str]:
    """Every module that these may import, and the packages above them."""
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [name.rpartition(".")[0], *imports(name)]
    return found


def _imports(source: bytes) -> list[str]:
    """What a module's import statements name, anywhere in it."""
    names: list[str] = []
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        todo += [statement for part in BLOCKS for statement in getattr(node, part, ())]
    return names
