"""What looks wrong about taking mail from the network: notes of check, for a home that has a name.

An open relay above all; then domains that are delivered here and not taken from other hosts, and run files whose limit
of memory comes from another time.
"""

import os
import re

from qmailpy.disk import control
from qmailpy.disk.control import entries, mapping
from qmailpy.install import around, interpreter, memory
from qmailpy.rules import relay
from qmailpy.system.descriptors import READ_SIZE
from qmailpy.verdict import Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ONLY_HERE = b"localhost"  # a domain whose mail nobody brings, nor one below it, as config's defaultdomain makes it
_SHOWN = 5  # domains that are named in one note
_LIMITS = re.compile(rb"\b(softlimit|chpst|s6-softlimit)\b[^\n]*?\s-[ma] ?([0-9]{1,18})\b")
_SESSIONS = b"qmail-smtpd"


def notes(home: bytes) -> list[str]:
    """Sentences, each with what to do.  Files that cannot be read are other checks' affair."""
    if not os.path.exists(home + b"/control/me"):
        return []
    try:
        return [*_relaying(home), *_small(home)]
    except Die:
        return []


def _list(home: bytes, name: bytes) -> list[bytes] | None:
    text = control.read(home + b"/control/" + name)
    return None if text is None else entries(text)


def _relaying(home: bytes) -> "Iterator[str]":
    shown = f"{os.fsdecode(home)}/control"
    allowed = _list(home, b"rcpthosts")
    if allowed is None:
        yield (
            f"{shown}/rcpthosts does not exist: a server here would send everybody's mail on to anywhere "
            f"(bin/config-fast your.host.name writes it)"
        )
        return
    more = _list(home, b"morercpthosts") or []
    keys = frozenset(domain.lower() for domain in (*allowed, *more))
    named = [
        key
        for key in mapping(_list(home, b"virtualdomains") or [])
        if key and b"@" not in key and not key.startswith(b".")
    ]
    local = [name.lower() for name in _list(home, b"locals") or []]
    missing = [name for name in (*local, *named) if not relay.is_allowed(b"@" + name, keys) and not _is_only_here(name)]
    if missing:
        words = ", ".join(os.fsdecode(name) for name in missing[:_SHOWN]) + ", ..." * (len(missing) > _SHOWN)
        yield f"{shown}/rcpthosts does not have {words}: mail from other hosts is refused (add it, if it should come)"


def _is_only_here(name: bytes) -> bool:
    return name == _ONLY_HERE or name.startswith(_ONLY_HERE + b".")


def _small(home: bytes) -> "Iterator[str]":
    """Run files that give a session less than it needs."""
    given = list(_given(home))
    if not given:
        return
    line = interpreter.choose()
    needed = memory.peak(interpreter.of_line(line) or interpreter.SYSTEM, os.path.realpath(home + b"/lib/current"))
    for path, program, number in given:
        if needed is not None and number < needed:
            yield (
                f"{os.fsdecode(path)}: {program.decode()} gives {number} bytes, and a session needs {needed} before "
                f"anything has come ({program.decode()} -m {memory.enough(needed)})"
            )


def _given(home: bytes) -> "Iterator[tuple[bytes, bytes, int]]":
    folders = [home, home + b"/smtpd"]
    for top in around.SERVICES:
        try:
            folders += [top + b"/" + name for name in sorted(os.listdir(top))]
        except OSError:
            continue
    seen = set()
    for folder in folders:
        path = os.path.realpath(folder) + b"/run"
        if path in seen:
            continue
        seen.add(path)
        try:
            with open(path, "rb") as file:
                text = file.read(READ_SIZE)
        except OSError:
            continue
        found = _LIMITS.search(text)
        if found and _SESSIONS in text:
            yield path, found[1], int(found[2])
