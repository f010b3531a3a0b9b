"""A module holds constants and functions: nothing at module level changes, and importing it does nothing."""

import ast
import json
import os
import subprocess
import sys

from tests.house.source import Module, modules
from tests.support import CHECKOUT

MAKERS = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "array"}
CHANGES = {
    *("append", "appendleft", "extend", "insert", "remove", "pop", "popleft", "popitem", "clear", "update"),
    *("add", "discard", "setdefault", "sort", "reverse"),
}

# Imports every module in turn and says what else changed by it
PROBE = """
import importlib, json, os, signal, sys, threading
forbidden = {"os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
             "os.putenv", "os.unsetenv", "os.kill", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.chdir",
             "os.rmdir", "os.utime", "subprocess.Popen", "socket.connect", "socket.bind", "socket.getaddrinfo",
             "socket.__new__", "socket.gethostname", "fcntl.flock", "fcntl.lockf"}
events, current = [], [None]
def hook(event, arguments):
    if current[0] and (event in forbidden or event == "open" and writes(arguments)):
        events.append([current[0], f"{event} {arguments!r:.100}"])
def writes(arguments):
    path, mode, flags = arguments
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else False
def umask():
    now = os.umask(0)
    os.umask(now)
    return now
def state():
    return {
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "directory": os.getcwd(), "environment": dict(os.environ), "umask": umask(),
        "threads": threading.active_count(), "itimer": signal.getitimer(signal.ITIMER_REAL),
    }
sys.addaudithook(hook)
state()
for name in json.loads(sys.argv[1]):
    before = state()
    current[0] = name
    importlib.import_module(name)
    current[0] = None
    after = state()
    events += [[name, f"changes {key}: {before[key]} -> {after[key]}"] for key in before if before[key] != after[key]]
sys.stderr.write(json.dumps(events))
"""


def test_importing_a_module_has_no_effect() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", PROBE, json.dumps([module.name for module in modules()])],
        cwd="/",
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""
    events = json.loads(done.stderr)
    assert not events, "\n".join(f"{name}: {event}" for name, event in events)


def test_nothing_at_module_level_changes() -> None:
    wrong = [complaint for module in modules() for complaint in changes_of(module)]
    assert not wrong, "\n".join(wrong)


def test_a_container_at_module_level_is_named_as_a_constant() -> None:
    wrong = [
        f"{module.path}:{line}: {name}"
        for module in modules()
        for name, line in containers(module)
        if not name.isupper() and name != "__all__"
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_remembers_behind_our_back() -> None:
    """A cache at module level would carry one user's answers into another's delivery."""
    wrong = [
        f"{module.path}:{line}: {name}"
        for module in modules()
        for name, line in module.imports()
        if name in {"functools.cache", "functools.lru_cache", "functools.cached_property"}
    ]
    assert not wrong, "\n".join(wrong)


def containers(module: Module) -> list[tuple[str, int]]:
    """(name, line) of module-level names that hold something changeable."""
    found = []
    for node in module.tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if is_changeable(value):
            found += [(target.id, node.lineno) for target in targets if isinstance(target, ast.Name)]
    return found


def is_changeable(value: ast.expr) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in MAKERS


def changes_of(module: Module) -> list[str]:
    """Every `global`, and every change of a module-level name's content in a function."""
    held = {name for name, _ in containers(module)}
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            found.append(f"{module.path}:{node.lineno}: global {', '.join(node.names)}")
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            found += [
                f"{module.path}:{node.lineno}: changes {target.value.id}"
                for target in targets
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id in held
            ]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CHANGES
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in held
        ):
            found.append(f"{module.path}:{node.lineno}: {node.func.value.id}.{node.func.attr}()")
    return found
