"""A machine of its own for every test that needs root: new mount, pid, network, uts and ipc namespaces.

A test marked root is an ordinary test function, fixtures and all. Outside, tests/conftest.py does not run it but makes
a Machine (tests/machines.py): the first process of new namespaces (separate()) makes them a private machine
(prepare()), runs pytest for that one test in it, and its reports come back through a descriptor. When the first
process ends the kernel ends every other one; mounts, addresses and accounts go with their namespaces.

What a test finds inside: /etc as a copy it may change (no resolver, no services), empty /home, /tmp, /run and /var,
/var/qmail on a real file system and GROUND beside it, which all machines of the session share, a /dev where /dev/log
is free, /usr/sbin where names can be replaced, and a network of loopback, with ADDRESS as the machine's own and every
address of OTHERS answering though it is not.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOSTNAME = "mx.example.org"
ADDRESS = "192.0.2.1"
OTHERS = "198.51.100.0/24"  # routed to loopback but on no interface, so not an address of ours: other machines
GROUND = "/run/ground"  # inside: the directory in which every machine of the session has its scratch directory
SCRATCH = "/run/scratch"  # inside: leads to this machine's own, below GROUND
REPORTS = "QMAILPY_REPORTS"  # environment: the descriptor for the reports; set means that we are inside

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18  # mount(2)
CLONE_NEWNS = 0x00020000  # unshare(2)
KINDS = CLONE_NEWNS | 0x20000000 | 0x40000000 | 0x04000000 | 0x08000000  # mount, pid, net, uts, ipc
PR_SET_PDEATHSIG = 1  # prctl(2)
NODES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
FOLDERS = ("qmail", "tmp", "mail", "log", "spool", "lib", "cache")  # of the new /var


# --- outside ---


def inside() -> bool:
    """Whether this process runs in such a machine."""
    return REPORTS in os.environ


def refusal() -> str:
    """Why no such machine can be made here; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    for name in ("unshare", "ip"):
        if shutil.which(name) is None:
            return f"needs {name} (Debian: util-linux, iproute2)"
    done = subprocess.run([*unshare(), "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return f"no new namespaces here: {done.stderr.decode(errors='replace').strip()}" if done.returncode else ""


def unshare() -> list[str]:
    kinds = ("--mount", "--pid", "--net", "--uts", "--ipc")
    return ["unshare", *kinds, "--fork", "--mount-proc", "--kill-child=KILL"]


# --- inside ---


def separate() -> int:
    """Into new namespaces, with a process that is their first one.  Result: its pid; in that process itself 0.

    It is killed when we end, and then the kernel ends every other one.  Errors: OSError.
    """
    _leave(KINDS)
    pid = os.fork()
    if pid == 0:
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "")
    return pid


def leave_mounts() -> None:
    """What this process and its children mount from now on is seen by nobody else.  Errors: OSError."""
    _leave(CLONE_NEWNS)


def _leave(kinds: int) -> None:
    if _libc().unshare(kinds) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    mount("none", "/", "", MS_REC | MS_PRIVATE, "")


def prepare(scratch: str) -> None:
    """Make the namespaces a machine. Nothing outside of them changes but the scratch directory."""
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    os.umask(0o022)
    with contextlib.ExitStack() as held:
        kept = {path: hold(held, path) for path in (CHECKOUT, sys.prefix, sys.base_prefix)}
        home, ground = hold(held, f"{scratch}/qmail"), hold(held, os.path.dirname(scratch))
        make_etc(scratch)
        make_dev(scratch)
        for path, mode in (("/tmp", 0o1777), ("/run", 0o755), ("/home", 0o755), ("/var", 0o755)):
            cover(path, mode)
        for name in FOLDERS:
            os.mkdir(f"/var/{name}")
        os.chmod("/var/tmp", 0o1777)
        os.symlink("/run", "/var/run")
        bind(home, "/var/qmail")
        os.mkdir(GROUND)
        bind(ground, GROUND)
        os.symlink(f"{GROUND}/{os.path.basename(scratch)}", SCRATCH)
        for path, way in kept.items():
            if not os.path.exists(path):  # what we need lies below something that is covered now
                os.makedirs(path)
                bind(way, path)
        make_replaceable("/usr/sbin")
    for words in (
        "ip link set lo up",
        f"ip address add {ADDRESS}/32 dev lo",
        f"ip route add local {OTHERS} dev lo",
        f"hostname {HOSTNAME}",
    ):
        subprocess.run(words.split(), check=True)


def make_etc(scratch: str) -> None:
    """/etc: a copy in memory, with files as the only source of names and no services to supervise."""
    os.mkdir(f"{scratch}/etc")
    mount("tmpfs", f"{scratch}/etc", "tmpfs", 0, "mode=755")
    subprocess.run(["cp", "-a", "/etc/.", f"{scratch}/etc"], check=True)
    bind(f"{scratch}/etc", "/etc")
    if os.path.islink("/etc/service"):
        os.unlink("/etc/service")
    shutil.rmtree("/etc/service", ignore_errors=True)
    os.mkdir("/etc/service")
    for name, content in (
        ("hosts", f"127.0.0.1 localhost\n{ADDRESS} {HOSTNAME} mx\n"),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
        ("hostname", HOSTNAME + "\n"),
        ("mailname", HOSTNAME + "\n"),
    ):
        if os.path.lexists(f"/etc/{name}"):
            os.unlink(f"/etc/{name}")
        with open(f"/etc/{name}", "w", encoding="ascii") as file:
            file.write(content)


def make_dev(scratch: str) -> None:
    """/dev: the few nodes that programs use, by bind mounts; no log."""
    new = f"{scratch}/dev"
    os.mkdir(new)
    mount("tmpfs", new, "tmpfs", 0, "mode=755")
    for name in NODES:
        if os.path.exists(f"/dev/{name}"):
            with open(f"{new}/{name}", "wb"):
                pass
            bind(f"/dev/{name}", f"{new}/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"{new}/{name}")
    if os.path.isdir("/dev/pts"):
        bind("/dev/pts", f"{new}/pts")
    mount("tmpfs", f"{new}/shm", "tmpfs", 0, "mode=1777")
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{target}", f"{new}/{name}")
    mount(new, "/dev", "", MS_BIND | MS_REC, "")


def make_replaceable(folder: str) -> None:
    """The same names in this directory as before, each a link that a test may replace."""
    real = os.path.realpath(folder)
    names = os.listdir(real)
    aside = "/run/" + real.strip("/").replace("/", "-")
    os.mkdir(aside)
    bind(real, aside)
    cover(real, 0o755)
    for name in names:
        os.symlink(f"{aside}/{name}", f"{real}/{name}")


def cover(path: str, mode: int) -> None:
    """An empty directory in memory in the place of this one."""
    mount("tmpfs", path, "tmpfs", 0, f"mode={mode:o}")


def bind(source: str, target: str) -> None:
    mount(source, target, "", MS_BIND, "")


def hold(held: contextlib.ExitStack, path: str) -> str:
    """A way to this directory that stays when something is mounted over it."""
    descriptor = os.open(path, os.O_PATH)
    held.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """The system call, since the program would resolve /proc/self/fd.  Errors: OSError."""
    words = [word.encode() for word in (source, target, kind)]
    if _libc().mount(*words, ctypes.c_ulong(flags), options.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def strangers() -> Iterator[str]:
    """What a test left in the machine that it should not have: files in /tmp."""
    for name in os.listdir("/tmp"):
        yield f"/tmp/{name}"
