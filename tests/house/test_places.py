"""What may be done in one named place only (DESIGN 3), and what may be done nowhere."""

import ast
import re

from tests.house.source import Module, modules, sources
from tests.support import CHECKOUT, read

KERNEL = {"os", "posix", "_posixsubprocess", "subprocess", "asyncio", "pty", "concurrent.futures", "signal", "fcntl"}
PLACES = {
    "becoming somebody": (
        KERNEL,
        "setuid setgid setgroups setresuid setresgid setreuid setregid seteuid setegid initgroups setfsuid setfsgid",
        "qmailpy.system.identity",
        "qmailpy.system.identity",
    ),
    "fork and exec": (
        KERNEL,
        (
            "fork forkpty vfork execv execve execvp execvpe execl execle execlp execlpe posix_spawn posix_spawnp "
            "fork_exec Popen call check_call check_output create_subprocess_exec create_subprocess_shell "
            "ProcessPoolExecutor"
        ),
        "qmailpy.system.process",
        "qmailpy.system.resident",
    ),
    "making things durable": (
        KERNEL,
        "fsync fdatasync sync syncfs sync_file_range",
        "qmailpy.disk.durable",
        "qmailpy.disk.durable",
    ),
    "asking for the time": (
        {"datetime", "date"},
        "now today utcnow fromtimestamp",
        "qmailpy.system.clock",
        "qmailpy.system.clock",
    ),
}
# Modules whose import alone is the deed
IMPORTS = {
    "time": ("qmailpy.system.clock",),
    "_time": ("qmailpy.system.clock",),
    "ssl": ("qmailpy.system.tls", "qmailpy.system.tls_server"),
    "subprocess": (),
    "multiprocessing": (),
}
# Names below queue/ in a path; qmail-clean's two words (spec/03 8) are spoken, not opened
QUEUE_PATH = re.compile(rb"^queue/|(^|/)(mess|intd|info|todo|pid|lock)/|^(mess|intd|sendmutex|trigger)$")
SPOKEN = {b"todo/", b"foop/", b"foop/%d", b"todo/%d"}
SPELLS_THE_QUEUE = ("qmailpy.disk.queue", "qmailpy.disk.layout")
# The rules speak of CR and LF as bytes that an address or a header must not hold: sets, not line ends
SETS = frozenset(b" \t\r\n\0")
# A queue directory's name that is also a word: these modules mean the word
MEANS_THE_WORD = re.compile(rb"Internal|warning|unable|: ")


def is_in(module: Module, places: tuple[str, ...]) -> bool:
    return any(module.name == place or module.name.startswith(place + ".") for place in places)


def test_each_dangerous_deed_has_its_place() -> None:
    wrong = []
    for deed, (owners, words, *places) in PLACES.items():
        forbidden = set(words.split())
        for module in modules():
            if not is_in(module, tuple(places)):
                wrong += [
                    f"{module.path}:{line}: {owner}.{name} ({deed}) belongs into {places[0]}"
                    for owner, name, line in module.uses()
                    if owner in owners and name in forbidden
                ]
    assert not wrong, "\n".join(wrong)


def test_modules_that_do_them_are_imported_there_only() -> None:
    wrong = [
        f"{module.path}:{line}: imports {name}"
        for module in modules()
        for name, line in module.imports()
        if name.partition(".")[0] in IMPORTS and not is_in(module, IMPORTS[name.partition(".")[0]])
    ]
    assert not wrong, "\n".join(wrong)


def test_paths_of_the_queue_are_spelled_in_one_place() -> None:
    wrong = []
    for module in modules():
        if is_in(module, SPELLS_THE_QUEUE):
            continue
        for literal, line in module.literals():
            if QUEUE_PATH.search(literal) and literal not in SPOKEN and not MEANS_THE_WORD.search(literal):
                wrong.append(f"{module.path}:{line}: {literal!r}")
    assert not wrong, "\n".join(wrong)


def test_line_ends_of_the_network_are_in_wire() -> None:
    wrong = [
        f"{module.path}:{line}: {literal!r}"
        for module in modules()
        if module.layer != "wire"
        for literal, line in module.literals()
        if b"\r\n" in literal and not (module.layer == "rules" and SETS.issuperset(literal))
    ]
    assert not wrong, "\n".join(wrong)


def test_dots_are_stuffed_in_one_file() -> None:
    wrong = [
        f"{module.path}:{line}: {literal!r}"
        for module in modules()
        if module.name != "qmailpy.wire.dots"
        for literal, line in module.literals()
        if literal in {b"\r\n.", b"\n.", b"\n..", b"\r\n..", b".\r\n", b"\r\n.\r\n"}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_shell_sees_our_data() -> None:
    """qmail-local hands a |command to /bin/sh -c as one argument; nothing else of ours knows a shell."""
    wrong = []
    for path in sources("qmailpy", "tools"):
        module = Module(path)
        wrong += [
            f"{module.path}:{node.value.lineno}: shell="
            for node in ast.walk(module.tree)
            if isinstance(node, ast.keyword)
            and node.arg == "shell"
            and not isinstance(node.value, ast.Name | ast.BoolOp)
        ]
        wrong += [
            f"{module.path}:{line}: {owner}.{name}"
            for owner, name, line in module.uses()
            if owner in {"os", "posix", "subprocess"} and name in {"system", "popen", "getoutput", "getstatusoutput"}
        ]
    assert not wrong, "\n".join(wrong)


def test_a_file_has_at_most_300_lines() -> None:
    lengths = {path: read(path).count(b"\n") for path in sources("qmailpy", "tools")}
    wrong = [f"{path.removeprefix(CHECKOUT + '/')}: {length}" for path, length in lengths.items() if length > 300]
    assert not wrong, "\n".join(wrong)
