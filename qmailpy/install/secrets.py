"""What is wrong with the files that hold secrets of the servers: users/passwords, and certificates with their keys.

One sentence for each fault, in the form of the others of check; nothing of what stands in the files.
"""

import os
import stat

from qmailpy.disk import secret
from qmailpy.install.owners import Owners
from qmailpy.rules import passwords
from qmailpy.system import tls_server
from qmailpy.verdict import Die

_EVERYBODY = 0o007  # mode bits of those who are neither owner nor group


def look(home: bytes, owners: Owners) -> tuple[list[str], list[str]]:
    """Faults and notes."""
    faults: list[str] = []
    notes: list[str] = []
    _passwords(home + b"/users/passwords", owners.uid["root"], faults)
    certificate, key, folder = (home + b"/control/" + name for name in _NAMES)
    if os.path.lexists(certificate):
        for path in (certificate, key, *_in(folder)):
            _closed(path, faults)
        _usable(certificate, key if os.path.exists(key) else None, folder, faults, notes)
        _readable(certificate if not os.path.exists(key) else key, owners.uid["qmaild"], notes)
    return faults, notes


_NAMES = (b"servercert.pem", b"serverkey.pem", b"servercerts")


def _passwords(path: bytes, uid: int, faults: list[str]) -> None:
    shown = os.fsdecode(path)
    try:
        text = secret.read(path, uid)
    except Die as death:
        faults.append(
            f"{shown}: {death.text.decode()}; nobody in it can log in (chown {uid} {shown}; chmod 0600 {shown})"
        )
        return
    bad = [number for number, found in passwords.entries(text or b"") if isinstance(found, passwords.BadEntry)]
    if bad:
        faults.append(f"{shown}: line {bad[0]} makes no sense: its login cannot be used (qmail-passwd -l says why)")


def _in(folder: bytes) -> list[bytes]:
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except OSError:
        return []


def _closed(path: bytes, faults: list[str]) -> None:
    """Whoever has the key is the server."""
    shown = os.fsdecode(path)
    try:
        mode = os.stat(path).st_mode
        with open(path, "rb") as file:
            has_key = b" PRIVATE KEY-----" in file.read(1 << 20)
    except OSError:
        return
    if has_key and mode & _EVERYBODY:
        digits = stat.S_IMODE(mode)
        faults.append(f"{shown} has wrong mode: is {digits:04o}, everybody can read the key (chmod o= {shown})")


def _usable(certificate: bytes, key: bytes | None, folder: bytes, faults: list[str], notes: list[str]) -> None:
    try:
        contexts = tls_server.Contexts(
            certificate, folder, key=key, note=lambda sentence: notes.append(sentence.decode("ascii", "replace"))
        )
        contexts.load_all()
    except Die as death:
        faults.append(f"{death.text.decode('ascii', 'replace')}: no client can speak TLS")


def _readable(path: bytes, qmaild: int, notes: list[str]) -> None:
    try:
        status = os.stat(path)
    except OSError:
        return
    if status.st_uid != qmaild and not status.st_mode & (_EVERYBODY | 0o040):
        notes.append(
            f"{os.fsdecode(path)} cannot be read by qmaild: TLS works with qmail-listen, which reads it as root, and "
            f"not under tcpserver (chown {qmaild} {os.fsdecode(path)})"
        )
