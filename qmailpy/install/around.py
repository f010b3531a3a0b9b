"""What else is on this machine: how its man finds pages, who holds /usr/sbin/sendmail, what leads into a home.

Nothing is changed.
"""

import os
import stat

from qmailpy.install import commands
from qmailpy.system.descriptors import READ_SIZE

# where programs and people look for a mail system; each name has a program of its own in bin/
COMMANDS = (b"/usr/sbin/sendmail", b"/usr/lib/sendmail", b"/usr/bin/mailq", b"/usr/bin/newaliases")

# where supervisors look for services: daemontools, runit, s6
SERVICES = (b"/etc/service", b"/service", b"/etc/runit/runsvdir/default", b"/run/service", b"/var/service", b"/etc/sv")

# where copies of what is in boot/ are put -> what comes before their removal
COPIES = (
    (b"/etc/systemd/system", "systemctl disable --now {name}; "),
    (b"/etc/init.d", "update-rc.d -f {name} remove (OpenRC: rc-update delete {name}); "),
)

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


def holders(home: bytes, paths: tuple[bytes, ...] = COMMANDS) -> list[str]:
    """For each place where programs look for sendmail and its sisters: whose it is, in one line, and what to do."""
    lines = []
    for path in paths:
        ours = home + b"/bin/" + os.path.basename(path)
        shown, target = path.decode(), os.path.realpath(path)
        if not os.path.lexists(path):
            lines.append(f"{shown} does not exist: ln -s {os.fsdecode(ours)} {shown}")
        elif target == os.path.realpath(ours):
            lines.append(f"{shown} is ours")
        elif not os.path.exists(path):
            lines.append(f"{shown} is a link to nothing: ln -sf {os.fsdecode(ours)} {shown}")
        else:
            package = package_of(path) or package_of(target)
            whose = f"belongs to the package {package}" if package else f"is another program ({os.fsdecode(target)})"
            lines.append(f"{shown} {whose}: it was left alone (INSTALL.md, 'Taking over from another mail system')")
    return lines


def leading_into(home: bytes) -> list[str]:
    """What on this machine leads into a home, each with the command that ends it: for whoever takes the home away."""
    inside = os.path.realpath(home)
    lines = []
    for path in [*COMMANDS, *(path for folder in SERVICES for path in _names_in(folder))]:
        target = _one_step(path)
        if target in (home, inside) or target.startswith((home + b"/", inside + b"/")):
            undo = "".join(f"; {command}" for command in _undo_diversion(path))
            lines.append(f"{os.fsdecode(path)} leads to {os.fsdecode(target)}: rm {os.fsdecode(path)}{undo}")
    for folder, command in COPIES:
        for path in _names_in(folder):
            if _mentions(path, inside) or _mentions(path, home):
                name = os.fsdecode(os.path.basename(path))
                done = command.format(name=name)
                lines.append(f"{os.fsdecode(path)} names {os.fsdecode(home)}: {done}rm {os.fsdecode(path)}")
    return lines


def _names_in(folder: bytes) -> list[bytes]:
    try:
        return [folder + b"/" + name for name in sorted(os.listdir(folder))]
    except OSError:
        return []


def _one_step(path: bytes) -> bytes:
    """Where a link itself leads, absolute; empty for no link.  A package's link to a link of ours is the package's."""
    if not os.path.islink(path):
        return b""
    target = os.path.join(os.path.dirname(path), os.readlink(path))
    return os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target.rstrip(b"/")))


def _mentions(path: bytes, home: bytes) -> bool:
    """Whether a file of moderate size has a path below this home in it."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return home + b"/" in file.read(READ_SIZE)
    except OSError:
        return False


def _undo_diversion(path: bytes) -> list[str]:
    """The command that brings back the package's file, where the administrator has asked dpkg to step aside."""
    program = commands.find("dpkg-divert")
    if program is None:
        return []
    ending, said = commands.output_of([program, b"--list", path])
    if ending.code or ending.signal or not said.startswith(b"local diversion of " + path + b" "):
        return []
    return [f"dpkg-divert --local --rename --remove {os.fsdecode(path)}"]
