"""What else is on this machine: how its man finds pages, and who holds /usr/sbin/sendmail. Nothing is changed."""

import os

from qmailpy.install import commands

SENDMAIL = (b"/usr/sbin/sendmail", b"/usr/lib/sendmail")

# where a system's man is told of more places -> the line that belongs there
MAN_FILES = (
    (b"/etc/manpath.config", "MANDATORY_MANPATH {man}"),  # Debian, Ubuntu, SUSE (man-db)
    (b"/etc/man_db.conf", "MANDATORY_MANPATH {man}"),  # Fedora, Arch (man-db)
    (b"/etc/man.conf", "manpath {man}"),  # Alpine, Void (mandoc)
)

# a package manager -> how it is asked whose a file is
OWNERS = (
    ("dpkg-query", ("-S",)),
    ("rpm", ("-qf", "--qf", "%{NAME}\\n")),
    ("apk", ("info", "--who-owns", "-q")),
    ("pacman", ("-Qqo",)),
)


def manual_path(home: bytes) -> str:
    """What to do so that man finds our pages, in one line."""
    man = os.fsdecode(home) + "/man"
    for path, line in MAN_FILES:
        if os.path.exists(path):
            return f"add the line '{line.format(man=man)}' to {path.decode()}"
    return f"say MANPATH={man}:$MANPATH; export MANPATH (in /etc/profile)"


def is_in_manual_path(home: bytes) -> bool:
    """Whether that was done already."""
    for path, _ in MAN_FILES:
        try:
            with open(path, "rb") as file:
                if home + b"/man" in file.read():
                    return True
        except OSError:
            continue
    return False


def package_of(path: bytes) -> str:
    """The package that a file belongs to; empty where nobody knows."""
    for name, arguments in OWNERS:
        program = commands.find(name)
        if program is None:
            continue
        ending, said = commands.output_of([program, *(word.encode() for word in arguments), path])
        first = said.partition(b"\n")[0].partition(b":")[0].strip()
        if not ending.code and not ending.signal and first:
            return first.decode("ascii", "replace")
    return ""


def holders(home: bytes, paths: tuple[bytes, ...] = SENDMAIL) -> list[str]:
    """For each place where programs look for sendmail: whose it is, in one line, and what to do."""
    ours = home + b"/bin/sendmail"
    lines = []
    for path in paths:
        shown, target = path.decode(), os.path.realpath(path)
        if not os.path.lexists(path):
            lines.append(f"{shown} does not exist: ln -s {os.fsdecode(ours)} {shown}")
        elif target == os.path.realpath(ours):
            lines.append(f"{shown} is ours")
        elif not os.path.exists(path):
            lines.append(f"{shown} is a link to nothing: ln -sf {os.fsdecode(ours)} {shown}")
        else:
            package = package_of(target)
            whose = f"belongs to the package {package}" if package else f"is another program ({os.fsdecode(target)})"
            lines.append(f"{shown} {whose}: it was left alone (INSTALL.md, 'Taking over from another mail system')")
    return lines
