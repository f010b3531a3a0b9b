"""Homes that setup has made once, and copies of them: what setup does is tested where setup is tested.

A copy is what setup would have made in its place: the home's path stands in launchers, scripts and pages, and their
hashes in two lists. The files of its library are the same ones under further names; so a test that changes one of them
in place makes its home by run_setup().
"""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator

from qmailpy.install.library import CURRENT, MANIFEST, name_from
from qmailpy.install.placed import RECORD, digest
from tests import namespaces
from tests.support import make_home, read

NAMING = ("bin", "boot", "man")  # below them the home's path stands in files, and in the library's launchers
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
CLASSIC = f"{namespaces.GROUND}/classic"  # what all machines of a session share


class Store:
    """Where the embedded homes that are copied lie; nowhere until a session of tests says so."""

    folder = ""


def installed(home: str, uid: int) -> str:
    """A complete embedded home of this user, whose programs start from their bundles.  Result: its path."""
    embedded(home, lambda path: make_home(path, uid), str(uid))
    return home


def embedded(home: str, make: Callable[[str], object], *words: str, linked: bool = True) -> None:
    """An embedded home: a copy of the first one that was made with these words.

    make: makes one at a path; linked: the files of its library may be those of others, for nobody will change them.
    """
    if not Store.folder:
        make(home)
        return
    first = f"{Store.folder}/{'-'.join(words)}/home"
    if not os.path.isdir(first):
        os.makedirs(os.path.dirname(first))
        for folder in (Store.folder, os.path.dirname(first)):
            os.chmod(folder, 0o711)  # it is another user's home, and setup makes it as that user
        make(first)
    copy(first, home, linked=linked)
    rename(first, home)


def classic(home: str, make: Callable[[], object]) -> None:
    """The classic home and its accounts, in a machine: as setup makes them, or a copy of what it made in another one.

    home: where the machine has the directory qmail of its scratch directory.
    """
    if os.path.isdir(CLASSIC) and not os.listdir(home):
        copy(f"{CLASSIC}/home", f"{namespaces.SCRATCH}/qmail")  # below the same mount, or no file has a further name
        for path in ACCOUNTS:
            with open(path, "ab") as file:
                file.write(read(CLASSIC + path))
        return
    before = {path: read(path) for path in ACCOUNTS}
    make()
    kept = f"{os.path.realpath(namespaces.SCRATCH)}/classic"
    os.makedirs(f"{kept}/etc")
    copy(f"{namespaces.SCRATCH}/qmail", f"{kept}/home")
    for path, content in before.items():
        after = read(path)
        assert after.startswith(content), f"{path} is not only longer than before"
        with open(kept + path, "wb") as file:
            file.write(after.removeprefix(content))
    with contextlib.suppress(OSError):  # another machine was faster
        os.rename(kept, CLASSIC)


def copy(source: str, target: str, *, linked: bool = True) -> None:
    """A home that nobody uses, with owners, modes and times.  linked: the files of its library are the same ones."""
    version = version_of(source)
    os.makedirs(f"{target}/lib", exist_ok=True)
    whole = [f"{source}/{name}" for name in os.listdir(source) if name != "lib"]
    small = [f"{source}/lib/{name}" for name in os.listdir(f"{source}/lib") if name != version]
    for words in (
        ["-a", *whole, target],
        ["-a", *small, f"{target}/lib"],
        ["-al" if linked else "-a", f"{source}/lib/{version}", f"{target}/lib"],
    ):
        subprocess.run(["cp", *words], check=True)
    for name in ("", "/lib"):
        status = os.stat(source + name)
        os.chown(target + name, status.st_uid, status.st_gid)
        os.chmod(target + name, status.st_mode & 0o7777)


def version_of(home: str) -> str:
    """The name of its library."""
    return os.path.basename(os.readlink(f"{home}/lib/{CURRENT.decode()}"))


def rename(old: str, home: str) -> None:
    """A copy of the home old becomes one of this path."""
    folder = f"{home}/lib/{version_of(home)}"
    became = {}
    for path in files_in(*(f"{home}/{name}" for name in NAMING), f"{folder}/launchers"):
        content = read(path)
        if old.encode() in content:
            became[digest(content)] = digest(replace(path, content.replace(old.encode(), home.encode())))
    for path in (f"{home}/{RECORD.decode()}", f"{folder}/{MANIFEST}"):
        lines = [line.partition(" ") for line in read(path).decode("utf-8", "surrogateescape").splitlines()]
        digests = [(became.get(name, name), rest) for name, _, rest in lines]
        changed = "".join(f"{name} {rest}\n" for name, rest in digests)
        replace(path, changed.encode("utf-8", "surrogateescape"))
    goods = {path: name for name, path in digests if "__pycache__" not in path and not path.startswith("bundles/")}
    with open(f"{home}/bin/qmail-send", "rb") as launcher:
        name = name_from(goods, launcher.readline().rstrip(b"\n")).decode()
    os.rename(folder, f"{home}/lib/{name}")
    owner = os.lstat(f"{home}/lib/current")
    os.unlink(f"{home}/lib/current")
    os.symlink(f"{home}/lib/{name}", f"{home}/lib/current")
    os.lchown(f"{home}/lib/current", owner.st_uid, owner.st_gid)


def files_in(*folders: str) -> Iterator[str]:
    for folder in folders:
        for path, _, names in os.walk(folder):
            yield from (f"{path}/{name}" for name in names)


def replace(path: str, content: bytes) -> bytes:
    """Another file in the place of this one, with its owner and mode.  Result: its content."""
    status = os.stat(path)
    os.unlink(path)  # it may be the file of another home, too
    with open(path, "wb") as file:
        file.write(content)
    os.chown(path, status.st_uid, status.st_gid)
    os.chmod(path, status.st_mode & 0o7777)
    return content
