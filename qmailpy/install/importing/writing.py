"""From a plan to files: what is there already stays as it is, unless the administrator says --force.

Nothing of a login is ever shown: control/smtpauth "differs", and that is all.
"""

import os

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.install import naming
from qmailpy.install.importing.plan import Login, Plan
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

AUTH = b"smtpauth"
AUTH_MODE = 0o400
_LISTS = frozenset(("aliasfile", "generic", "locals", "masquerade", "rcpthosts", "senderroutes", "smtproutes"))
_DOMAINS = "virtualdomains"


class Writer:
    """One run.  has_conflict: something is there already and says otherwise, and was left."""

    def __init__(self, home: Home, *, force: bool, dry: bool) -> None:
        """dry: only say what would be."""
        self._home, self._force, self._dry = home, force, dry
        self.has_conflict = False

    def write(self, plan: Plan) -> "Iterator[bytes]":
        """All of a plan; a line for each file, and what differs.  Errors: Die TEMP."""
        for name, lines in plan.controls.items():
            yield from self._control(name, lines)
        for name, lines in plan.aliases.items():
            yield from self._alias(name, lines)
        if plan.logins:
            yield self._logins(plan.logins)

    def _control(self, name: str, lines: list[bytes]) -> "Iterator[bytes]":
        path = b"control/" + name.encode()
        text = control.read(self._home.control(name.encode()))
        old = _old(name, text)
        wanted = lines
        if name == _DOMAINS and old is not None:  # a domain more is no conflict
            known = control.mapping(old)
            if all(known.get(key, value) == value for key, value in control.mapping(lines).items()):
                wanted = [*old, *(line for line in lines if line not in old)]
        if old == wanted:
            yield path + b": says so already"
            return
        is_more = old is not None and wanted[: len(old)] == old and name == _DOMAINS
        if old is not None and not self._force and not is_more:
            self.has_conflict = True
            yield path + b": says otherwise, and stays; --force writes it"
            yield from _difference(old, wanted)
            return
        if old is not None:
            yield from _difference(old, wanted)
        if not self._dry:
            naming.put(self._home, name, b"".join(line + b"\n" for line in wanted))
        yield path + self._done()

    def _done(self) -> bytes:
        return b": would be written" if self._dry else b": written"

    def _alias(self, name: str, lines: list[bytes]) -> "Iterator[bytes]":
        path = self._home.at(b"alias", name.encode())
        content = b"".join(line + b"\n" for line in lines)
        old = control.read(path)
        told = b"alias/" + name.encode()
        if old == content:
            yield told + b": says so already"
            return
        if old is not None:
            yield from _difference(control.entries(old), lines)
            if not self._force:
                self.has_conflict = True
                yield told + b": says otherwise, and stays; --force writes it"
                return
        if not self._dry:
            account = self._home.roles.account("alias")
            gid = self._home.roles.gid["qmail"]
            self._put(path, content, naming.MODE, account.uid, gid)
        yield told + self._done()

    def _logins(self, logins: list[Login]) -> bytes:
        """control/smtpauth: ours in the place of those with the same name, the others as they are."""
        path = self._home.control(AUTH)
        text = control.read(path)
        lines = [] if text is None else text.split(b"\n")
        wanted = {login.name: b":".join((login.name, login.user, login.password)) for login in logins}
        kept = [line for line in lines if line.partition(b":")[0] not in wanted]
        replaced = [line for line in lines if line.partition(b":")[0] in wanted]
        told = b"control/" + AUTH
        if sorted(replaced) == sorted(wanted.values()):
            return told + b": says so already (not shown)"
        if replaced and not self._force:
            self.has_conflict = True
            return told + b": has another login of this name (not shown), and stays; --force writes it"
        if not self._dry:
            rest = b"\n".join(kept)
            if rest and not rest.endswith(b"\n"):
                rest += b"\n"
            account = self._home.roles.account("qmailr")
            content = rest + b"".join(line + b"\n" for line in wanted.values())
            self._put(path, content, AUTH_MODE, account.uid, account.gid)
        return told + self._done() + b", mode 0400, qmailr's (not shown)"

    def _put(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        """A file in place by rename, from its first moment nobody's but its owner's to read.  Errors: Die TEMP."""
        temporary = path + b".%d.tmp" % identity.my_pid()
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                if identity.is_root():
                    os.fchown(file.fileno(), uid, gid)
                os.fchmod(file.fileno(), mode)
            os.rename(temporary, path)
        except OSError as error:
            raise Die(TEMP, b"unable to write " + path + b": " + words(error)) from None


def _old(name: str, text: bytes | None) -> list[bytes] | None:
    """What a control file says; None where there is none."""
    if text is None:
        return None
    return control.entries(text) if name in _LISTS or name == _DOMAINS else [control.first_line(text)]


def _difference(old: list[bytes], new: list[bytes]) -> "Iterator[bytes]":
    yield from (b"  - " + line for line in old if line not in new)
    yield from (b"  + " + line for line in new if line not in old)
