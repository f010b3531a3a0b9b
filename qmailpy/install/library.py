"""lib/: the package with its dependencies, compiled, one directory for each version.

A new one is written beside the one in use and put in its place by one rename of the link lib/current; residents and the
door see that and hand over. Old ones stay while a program may still load something from them: the two before, and any
that a running process has mapped. MANIFEST in each lists its files: "SHA256 PATH".
"""

import fcntl
import marshal
import os
import shutil
import stat
import sys
from importlib import util

from qmailpy import VERSION
from qmailpy.disk import durable
from qmailpy.install.bundle import bundles
from qmailpy.install.gather import Goods
from qmailpy.install.owners import Owners
from qmailpy.install.placed import content_at, digest
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CURRENT = b"current"
MANIFEST = "MANIFEST"
KEPT = 2  # versions before the current one
UNCHECKED = 1  # flag of a compiled module: it counts without a look at its source (PEP 552)


def name_of(goods: Goods) -> bytes:
    """VERSION-HASH: the same goods for the same kind of interpreter have the same name."""
    return name_from({path: digest(content) for path, content in goods.library.items()}, goods.interpreter)


def name_from(digests: "Mapping[str, str]", interpreter: bytes) -> bytes:
    """The same where only the digests of the goods are at hand: path -> digest."""
    lines = [f"{path} {name}" for path, name in sorted(digests.items())]
    whole = "\n".join([*lines, str(sys.implementation.cache_tag), os.fsdecode(interpreter)])
    return f"{VERSION}-{digest(whole.encode('utf-8', 'surrogateescape'))[:12]}".encode()


class Library:
    """The lib/ directory of a home.  It exists."""

    def __init__(self, home: bytes, owners: Owners, say: "Callable[[str], None]") -> None:
        """say: gets one line per step."""
        self._folder, self._owners, self._say = home + b"/lib", owners, say
        self._lock = -1

    def lock(self) -> None:
        """One setup at a time.  Errors: Die TEMP where another one runs."""
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Die(TEMP, b"another setup is at work in " + self._folder) from None

    def unlock(self) -> None:
        """Let others in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def install(self, goods: Goods) -> bytes:
        """Write, compile, switch, tidy up.  Result: the directory that is current now.  Errors: Die TEMP."""
        final = self._folder + b"/" + name_of(goods)
        try:
            self._remove_unfinished()
            if faults(final, self._owners, deep=True):
                self._write(goods, final)
            os.utime(final)  # the time of its last switch: how _remove_old knows the newest
            self._switch(final)
            self._remove_unfinished()
            self._remove_old(final)
        except OSError as error:
            raise Die(TEMP, b"unable to write " + final + b": " + words(error)) from None
        return final

    def _write(self, goods: Goods, final: bytes) -> None:
        fresh = self._folder + b"/.new-%d" % os.getpid()
        self._say(f"writing {os.fsdecode(final)}: {len(goods.library)} files")
        os.mkdir(fresh, 0o755)
        for path, content in goods.library.items():
            _place(fresh, path, content)
        self._say(f"compiling with {sys.implementation.cache_tag}")
        compile_all(fresh, final, goods)
        for path, content in bundles(goods.library, os.fsdecode(final)).items():
            _place(fresh, path, content)
        listed = manifest(fresh)
        with open(fresh + b"/" + MANIFEST.encode(), "xb") as file:
            file.write(listed)
        self._give(fresh)
        durable.sync_all()  # before the switch: after a power cut there is no library of empty files
        if os.path.lexists(final):
            os.rename(final, self._folder + b"/.old-%d" % os.getpid())
        os.rename(fresh, final)

    def _give(self, top: bytes) -> None:
        uid, gid = self._owners.uid["root"], self._owners.gid["qmail"]
        for folder, _, files in os.walk(top):
            os.chown(folder, uid, gid)
            os.chmod(folder, 0o755)  # noqa: S103 - everybody's programs load it
            for name in files:
                path = folder + b"/" + name
                os.chown(path, uid, gid)
                os.chmod(path, 0o644)

    def _switch(self, final: bytes) -> None:
        current, fresh = self._folder + b"/" + CURRENT, self._folder + b"/.current-%d" % os.getpid()
        if os.path.islink(current) and os.readlink(current) == final:
            return
        if os.path.lexists(current) and not os.path.islink(current):
            raise Die(TEMP, current + b" is not a link: move it away and run setup again")
        os.symlink(final, fresh)
        os.lchown(fresh, self._owners.uid["root"], self._owners.gid["qmail"])
        os.rename(fresh, current)
        durable.sync_directory(self._folder)
        self._say(f"lib/current is {os.fsdecode(final.rpartition(b'/')[2])} now")

    def versions(self) -> list[bytes]:
        """Names of all versions, the newest first."""
        names = [name for name in os.listdir(self._folder) if is_version(self._folder + b"/" + name)]
        return sorted(names, key=lambda name: os.lstat(self._folder + b"/" + name).st_mtime_ns, reverse=True)

    def _remove_old(self, current: bytes) -> None:
        others = [name for name in self.versions() if self._folder + b"/" + name != current]
        for name in others[KEPT:]:
            path = self._folder + b"/" + name
            if is_mapped(path):
                self._say(f"kept {os.fsdecode(path)}: a running program uses it")
            else:
                shutil.rmtree(path)
                self._say(f"removed {os.fsdecode(path)}")

    def _remove_unfinished(self) -> None:
        """What a setup that was killed left behind; the lock says that no other one is at work."""
        for name in os.listdir(self._folder):
            path = self._folder + b"/" + name
            if name.startswith((b".new-", b".old-")):
                shutil.rmtree(path)
            elif name.startswith((b".current-", b"installed.")):
                os.unlink(path)

    def remove(self) -> None:
        """Everything: uninstall.  Errors: OSError."""
        for name in self.versions():
            shutil.rmtree(self._folder + b"/" + name)
        current = self._folder + b"/" + CURRENT
        if os.path.islink(current):
            os.unlink(current)
        self._remove_unfinished()


def _place(top: bytes, path: str, content: bytes) -> None:
    target = top + b"/" + os.fsencode(path)
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    with open(target, "xb") as file:
        file.write(content)


def is_version(path: bytes) -> bool:
    """Whether this is a library directory that a setup has made."""
    if os.path.basename(path).startswith(b"."):
        return False
    return stat.S_ISDIR(os.lstat(path).st_mode) and os.path.isfile(path + b"/" + MANIFEST.encode())


def compile_all(folder: bytes, final: bytes, goods: Goods) -> None:
    """Compile every module, named as it will be found.  The source's time does not matter: a backup may change it.

    Errors: Die TEMP for one of ours; a dependency's module for another Python is left uncompiled.
    """
    for path, source in sorted(goods.library.items()):
        if not path.endswith(".py"):
            continue
        try:
            code = goods.compiled.get(path) or marshal.dumps(
                compile(source, f"{os.fsdecode(final)}/{path}", "exec", dont_inherit=True)
            )
        except (SyntaxError, ValueError) as error:  # ValueError: it holds a NUL
            if path.startswith("qmailpy/"):
                raise Die(TEMP, b"unable to compile " + os.fsencode(path) + b": " + str(error).encode()) from None
            continue
        head = util.MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little") + util.source_hash(source)
        _place(folder, util.cache_from_source(path, optimization=""), head + code)


def _files(top: bytes) -> list[str]:
    found = []
    for folder, _, files in os.walk(top):
        found += [os.fsdecode((folder + b"/" + name)[len(top) + 1 :]) for name in files]
    return sorted(found)


def manifest(folder: bytes) -> bytes:
    """What is in a library directory."""
    lines = [f"{digest(content_at(folder + b'/' + os.fsencode(path)) or b'')} {path}\n" for path in _files(folder)]
    return "".join(lines).encode("utf-8", "surrogateescape")


def faults(folder: bytes, owners: Owners, *, deep: bool) -> list[str]:
    """What is wrong with one version, one line each.  deep: read every file, and look for ones too many."""
    shown = os.fsdecode(folder)
    text = content_at(folder + b"/" + MANIFEST.encode())
    if text is None:
        return [f"{shown}/{MANIFEST} does not exist (make setup)"]
    listed = {path: name for name, _, path in (line.partition(" ") for line in os.fsdecode(text).splitlines())}
    wrong = []
    for path, name in listed.items():
        whole = folder + b"/" + os.fsencode(path)
        content = content_at(whole)
        if content is None:
            wrong.append(f"{shown}/{path} does not exist (make setup)")
        elif deep and digest(content) != name:
            wrong.append(f"{shown}/{path} has wrong content (make setup)")
        else:
            wrong += _writable_by_others(whole, owners)
    extra = set(_files(folder)) - set(listed) - {MANIFEST} if deep else ()
    return wrong + [f"{shown}/{path} is not ours (rm {shown}/{path})" for path in sorted(extra)]


def _writable_by_others(path: bytes, owners: Owners) -> list[str]:
    status = os.lstat(path)
    shown = os.fsdecode(path)
    wrong = []
    if status.st_uid != owners.uid["root"]:
        wrong.append(f"{shown} has wrong owner: is {status.st_uid}, should be {owners.uid['root']} (make setup)")
    if stat.S_IMODE(status.st_mode) != 0o644:
        wrong.append(
            f"{shown} has wrong mode: is {stat.S_IMODE(status.st_mode):04o}, should be 0644 (chmod 0644 {shown})"
        )
    return wrong


def is_mapped(folder: bytes) -> bool:
    """Whether a running process has a file of this directory mapped (residents load one compiled module)."""
    for pid in os.listdir(b"/proc") if os.path.isdir(b"/proc") else []:
        if not pid.isdigit():
            continue
        try:
            with open(b"/proc/" + pid + b"/maps", "rb") as file:
                if folder + b"/" in file.read():
                    return True
        except OSError:  # gone, or not ours to look at
            continue
    return False
