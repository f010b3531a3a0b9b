"""What check says of passwords and certificates."""

import os
from pathlib import Path

import pytest

from qmailpy.install import owners, secrets
from tests.support import read, write
from tests.tls_support import Authority

OWNERS = owners.embedded(os.geteuid(), os.getegid())


def look(home: Path) -> tuple[list[str], list[str]]:
    faults, notes = secrets.look(str(home).encode(), OWNERS)
    return [text.replace(str(home), "HOME") for text in faults], [text.replace(str(home), "HOME") for text in notes]


def test_nothing_is_said_where_nothing_is(tmp_path: Path) -> None:
    assert look(tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("content", "mode", "fault"),
    [
        ("ann:{PLAIN}x\n", 0o600, None),
        ("ann:{PLAIN}x\n", 0o640, "HOME/users/passwords: others can read or write it"),
        ("ann:{PLAIN}x\nbob\n", 0o600, "HOME/users/passwords: line 2 makes no sense"),
    ],
)
def test_passwords(tmp_path: Path, content: str, mode: int, fault: str | None) -> None:
    write(f"{tmp_path}/users/passwords", content, mode)
    faults, notes = look(tmp_path)
    assert notes == []
    assert [text[: len(fault or "")] for text in faults] == ([] if fault is None else [fault])


def test_certificates(tmp_path: Path) -> None:
    authority = Authority(f"{tmp_path}/ca")
    good, old = authority.server("good", "DNS:a"), authority.server("old", "DNS:a", days=-1)
    path = write(f"{tmp_path}/control/servercert.pem", read(good.certificate) + read(good.key), 0o600)
    assert look(tmp_path) == ([], [])
    write(f"{tmp_path}/control/servercerts/x.org.pem", read(old.certificate) + read(old.key), 0o600)
    write(f"{tmp_path}/control/servercerts/y.org.pem", "nothing", 0o600)
    faults, notes = look(tmp_path)
    assert faults == []
    assert [
        "has expired" in notes[0],
        notes[1].startswith("unable to use HOME/control/servercerts/y.org.pem: there is no certificate in it"),
    ] == [True, True]
    os.chmod(path, 0o644)
    (fault,) = look(tmp_path)[0]
    assert fault.startswith("HOME/control/servercert.pem has wrong mode: is 0644, everybody can read the key (chmod o=")
    write(path, read(good.certificate), 0o644)
    (fault,) = look(tmp_path)[0]
    assert fault == (
        "unable to use HOME/control/servercert.pem: there is no private key in it: no client can speak TLS"
    )
    write(f"{tmp_path}/control/serverkey.pem", read(good.key), 0o600)
    assert look(tmp_path)[0] == []


def test_that_qmaild_cannot_read_the_key_is_worth_knowing(tmp_path: Path) -> None:
    authority = Authority(f"{tmp_path}/ca")
    good = authority.server("good", "DNS:a")
    write(f"{tmp_path}/control/servercert.pem", read(good.certificate) + read(good.key), 0o600)
    others = owners.Owners({**OWNERS.uid, "qmaild": 4242}, OWNERS.gid)
    faults, notes = secrets.look(str(tmp_path).encode(), others)
    assert faults == []
    assert "cannot be read by qmaild" in notes[0]
