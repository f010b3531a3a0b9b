"""Imports go down only (DESIGN 3)."""

import ast
import sys

from tests.house.source import Module, modules

ORGANS = {"send", "inject", "local", "remote", "receive", "install"}
BELOW_SKELETONS = {"rules", "disk", "wire", "system", "verdict"}
ALLOWED = {
    "programs": {*ORGANS, "skeletons", *BELOW_SKELETONS},
    **{organ: {organ, "skeletons", *BELOW_SKELETONS} for organ in ORGANS},
    "skeletons": {"skeletons", *BELOW_SKELETONS},
    "rules": {"rules", "wire", "verdict"},
    "disk": {"disk", "wire", "system", "verdict"},
    "wire": {"wire", "verdict"},
    "system": {"system", "verdict"},
    "verdict": set(),
}
THE_TABLE = "qmailpy.programs.table"
THIRD_PARTY = {
    "dns": "qmailpy.system.dns",
    "setproctitle": "qmailpy.system.title",
    "daemon": "qmailpy.system.background",
    "cdblib": "qmailpy.disk.cdb",
    "idna": "qmailpy.system.dns",
}
# What reads the table of programs without being one: setup and the checks make bin/ from it
READS_THE_TABLE = {"install"}


def test_imports_go_down_only() -> None:
    wrong = []
    for module in modules():
        for name, line in module.imports():
            if name.startswith("qmailpy.") and not is_allowed(module, name):
                wrong.append(f"{module.path}:{line}: {module.layer or 'the package'} imports {name}")
    assert not wrong, "\n".join(wrong)


def is_allowed(module: Module, name: str) -> bool:
    target = name.split(".")[1]
    if name == "qmailpy.VERSION":
        return True
    if target == "programs":
        return not is_program(name) and (module.layer == "programs" or module.layer in READS_THE_TABLE)
    return target in ALLOWED.get(module.layer, set())


def is_program(name: str) -> bool:
    """Whether this is a program's module, or something in one."""
    parts = name.split(".")[:3]
    return len(parts) == 3 and ".".join(parts) != THE_TABLE and any(one.name == ".".join(parts) for one in modules())


def test_a_program_never_imports_a_program() -> None:
    wrong = [
        f"{module.path}:{line}: imports {name}"
        for module in modules()
        for name, line in module.imports()
        if name.startswith("qmailpy.programs.") and is_program(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_has_a_layer() -> None:
    wrong = [module.path for module in modules() if module.name != "qmailpy" and module.layer not in ALLOWED]
    assert not wrong, wrong


def test_verdict_knows_nothing_but_errno() -> None:
    (verdict,) = [module for module in modules() if module.name == "qmailpy.verdict"]
    assert [name for name, _ in verdict.imports()] == ["errno"]


def test_each_foreign_package_is_in_one_file() -> None:
    wrong = []
    for module in modules():
        for name, line in module.imports():
            package = name.partition(".")[0]
            if package == "qmailpy" or package in sys.stdlib_module_names:
                continue
            if THIRD_PARTY.get(package) != module.name:
                wrong.append(f"{module.path}:{line}: {package} belongs into {THIRD_PARTY.get(package, 'no file')}")
    assert not wrong, "\n".join(wrong)


def test_rules_and_wire_are_pure() -> None:
    """No kernel, no clock, no files: they compute with what they are given."""
    kernel = {"os", "posix", "socket", "_socket", "select", "signal", "_signal", "time", "subprocess", "fcntl", "io"}
    wrong = [
        f"{module.path}:{line}: imports {name}"
        for module in modules()
        if module.layer in {"rules", "wire"}
        for name, line in module.imports()
        if name.partition(".")[0] in kernel
    ]
    wrong += [
        f"{module.path}:{node.lineno}: calls open()"
        for module in modules()
        if module.layer in {"rules", "wire"}
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    ]
    assert not wrong, "\n".join(wrong)
