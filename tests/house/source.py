"""The source tree as the house tests see it: modules, their imports, their names, their literals."""

import ast
import functools
import os
from collections.abc import Iterator

from tests.support import CHECKOUT

LAYERS = (
    "programs",
    "send",
    "inject",
    "local",
    "remote",
    "receive",
    "install",
    "skeletons",
    "rules",
    "disk",
    "wire",
    "system",
)


class Module:
    """One file of the package, parsed."""

    def __init__(self, path: str) -> None:
        """path: absolute."""
        self.path = os.path.relpath(path, CHECKOUT)
        name = self.path.removesuffix(".py").replace("/", ".")
        self.is_package = name.endswith(".__init__")
        self.name = name.removesuffix(".__init__")
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.tree = ast.parse(self.text, path)

    def __repr__(self) -> str:
        return self.name

    @property
    def layer(self) -> str:
        return layer_of(self.name)

    def imports(self) -> Iterator[tuple[str, int]]:
        """(module or module.name, line) of everything imported anywhere in the file, for types only as well."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, node.lineno
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: relative import"
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno

    def uses(self) -> Iterator[tuple[str, str, int]]:
        """(module, name, line) of every use of another module's name, as far as it is written out: posix.fork."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                yield node.value.id, node.attr, node.lineno
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield str(node.module), alias.name, node.lineno

    def literals(self) -> Iterator[tuple[bytes, int]]:
        """(content, line) of every text and bytes literal that is not a docstring."""
        spared = {id(text) for text in self._docstrings()}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and id(node) not in spared and isinstance(node.value, str | bytes):
                value = node.value
                yield (value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")), node.lineno

    def _docstrings(self) -> Iterator[ast.Constant]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield node.value


def layer_of(name: str) -> str:
    """The layer that a module of the package lives in: a key of LAYERS, or "verdict"."""
    words = name.split(".")
    return words[1] if len(words) > 1 else ""


@functools.cache
def modules() -> list[Module]:
    """Every module of the package."""
    return [Module(path) for path in sources("qmailpy")]


def sources(*folders: str) -> list[str]:
    """Absolute paths of all Python files in these directories of the checkout."""
    found = []
    for top in folders:
        for folder, _, files in os.walk(os.path.join(CHECKOUT, top)):
            found += [os.path.join(folder, name) for name in files if name.endswith(".py")]
    return sorted(found)
