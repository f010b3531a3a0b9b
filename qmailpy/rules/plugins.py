"""control/smtpplugins: which programs are asked when (the grammar of qmail-spp).

    [connection] [helo] [mail] [rcpt] [data] [auth]     what follows belongs to this moment
    plugins/check                                       a program, relative to the home, without arguments
    :test -n "$SMTPMAILFROM" || echo E550 no            a line of the shell

Used by receive/policy. Pure.
"""

SHELL = b":"


def sections(entries: list[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """The commands of each section, in their order; a section that occurs twice goes on.  entries: of a list file."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    name = b""
    for entry in entries:
        line = entry.strip()
        if line.startswith(b"[") and line.endswith(b"]"):
            name = line[1:-1].lower()
        elif name and line:
            found[name] = (*found.get(name, ()), line)
    return found


def argv(command: bytes) -> list[bytes]:
    """What is executed."""
    if command.startswith(SHELL):
        return [b"/bin/sh", b"-c", command[1:]]
    return [command]
