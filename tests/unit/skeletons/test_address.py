"""From an address to its user: users/cdb, accounts, the embedded way."""

import os
import posix
from pathlib import Path

import pytest
from cdblib import Writer

from qmailpy.disk.home import Home
from qmailpy.skeletons.address import find_account, find_assigned, find_user
from qmailpy.system import accounts as system_accounts
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die
from qmailpy.wire.getpw import User

Accounts = dict[bytes, tuple[int, int, str]]


def assign(home: Path, entries: dict[bytes, bytes], wildcards: bytes | None = b"-") -> Home:
    (home / "users").mkdir()
    with (home / "users" / "cdb").open("wb") as file:
        writer = Writer(file)
        for key, value in entries.items():
            writer.put(key, value)
        if wildcards is not None:
            writer.put(b"", wildcards)
        writer.finalize()
    return Home(bytes(home))


def code_of(home: Home, local: bytes) -> int:
    with pytest.raises(Die) as death:
        find_user(home, local)
    assert death.value.verdict == TEMP
    return death.value.code


# users/cdb

JOE = b"joe\x0060001\x0060002\0/h/joe\0\0"
JOE_EXT = b"joe\x0060001\x0060002\0/h/joe\0-\0"
ALIAS = b"alias\x0060003\x0060003\0/h/alias\0-\0"
ASSIGNED = {b"!joe\0": JOE, b"!joe-": JOE_EXT, b"!joe-list-": JOE_EXT + b"l-", b"!": ALIAS}


@pytest.mark.parametrize(
    ("local", "name", "dash", "ext"),
    [
        (b"joe", b"joe", b"", b""),
        (b"JOE", b"joe", b"", b""),
        (b"Joe-Work", b"joe", b"-", b"Work"),
        (b"joe-", b"joe", b"-", b""),
        (b"joe-LIST-Foo", b"joe", b"-", b"l-Foo"),
        (b"joex", b"alias", b"-", b"joex"),
        (b"Bob-X", b"alias", b"-", b"Bob-X"),
    ],
)
def test_the_longest_assignment_wins(tmp_path: Path, local: bytes, name: bytes, dash: bytes, ext: bytes) -> None:
    user = find_user(assign(tmp_path, ASSIGNED), local)
    assert (user.name, user.dash, user.ext) == (name, dash, ext)
    if name == b"joe":
        assert (user.uid, user.gid, user.home) == (60001, 60002, b"/h/joe")


def test_a_wildcard_byte_that_is_not_in_the_set_is_not_tried(tmp_path: Path) -> None:
    user = find_user(assign(tmp_path, ASSIGNED, b""), b"joe-x")
    assert user.ext == b"joe-x"


def test_without_a_file_nothing_is_assigned(tmp_path: Path) -> None:
    assert find_assigned(Home(bytes(tmp_path)), b"joe") is None


def test_what_the_file_does_not_have_is_not_assigned(tmp_path: Path) -> None:
    assert find_assigned(assign(tmp_path, {b"!joe\0": JOE}), b"bob") is None


def test_a_file_without_wildcards_is_117(tmp_path: Path) -> None:
    assert code_of(assign(tmp_path, {b"!joe\0": JOE}, None), b"joe") == 117


def test_a_damaged_file_is_117(tmp_path: Path) -> None:
    home = assign(tmp_path, ASSIGNED)
    for size in (0, 100, 2048, 2060):
        with (tmp_path / "users" / "cdb").open("r+b") as file:
            content = file.read()
            file.truncate(size)
        assert code_of(home, b"joe") == 117
        (tmp_path / "users" / "cdb").write_bytes(content)


def test_a_file_that_cannot_be_opened_is_117(tmp_path: Path) -> None:
    (tmp_path / "users").touch()
    assert code_of(Home(bytes(tmp_path)), b"joe") == 117


@pytest.mark.parametrize(
    "entry", [b"", b"joe\x001\x001\0/h/joe\0-", b"joe\0x\x001\0/h/joe\0-\0", b"joe\x001\x001\0h\0-\0", JOE + b"\0x"]
)
def test_a_malformed_entry_is_112(tmp_path: Path, entry: bytes) -> None:
    assert code_of(assign(tmp_path, {b"!joe\0": entry}), b"joe") == 112


# accounts


@pytest.fixture
def home(tmp_path: Path) -> Home:
    for name in ("joe", "joe-work", "alias", "somebody"):
        (tmp_path / name).mkdir()
    return Home(bytes(tmp_path))


@pytest.fixture
def accounts(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """The accounts of a machine that we are told about: names that this one certainly has not."""
    mine = os.getuid() or 65534
    for path in [tmp_path, *tmp_path.rglob("*")] if os.getuid() == 0 else []:
        os.chown(path, mine, mine)
    del home  # only made before us
    known: Accounts = {
        b"joe": (mine, 100, f"{tmp_path}/joe"),
        b"joe-work": (mine, 101, f"{tmp_path}/joe-work"),
        b"alias": (mine, 102, f"{tmp_path}/alias"),
        b"root": (0, 0, "/"),
        b"homeless": (mine, 103, f"{tmp_path}/none"),
        b"thief": (mine + 1, 104, f"{tmp_path}/somebody"),
        b"relative": (mine, 105, "."),
    }

    def find_user(name: bytes) -> tuple[bytes, int, int, bytes] | None:
        if name not in known:
            return None
        uid, gid, folder = known[name]
        return name, uid, gid, os.fsencode(folder)

    monkeypatch.setattr(system_accounts, "find_user", find_user)
    return known


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    ("local", "name", "dash", "ext"),
    [
        (b"joe", b"joe", b"", b""),
        (b"JOE", b"joe", b"", b""),
        (b"Joe-Foo-Bar", b"joe", b"-", b"Foo-Bar"),
        (b"joe-", b"joe", b"-", b""),
        (b"joe-work", b"joe-work", b"", b""),
        (b"joe-Work-X", b"joe-work", b"-", b"X"),
        (b"bob-X", b"alias", b"-", b"bob-X"),
        (b"root", b"alias", b"-", b"root"),
        (b"Root-x", b"alias", b"-", b"Root-x"),
        (b"homeless", b"alias", b"-", b"homeless"),
        (b"thief", b"alias", b"-", b"thief"),
        (b"relative", b"alias", b"-", b"relative"),
        (b"-", b"alias", b"-", b"-"),
        (b"\xff\xfe", b"alias", b"-", b"\xff\xfe"),
        (b"x" * 2000, b"alias", b"-", b"x" * 2000),
    ],
)
def test_the_longest_account_with_a_home_of_its_own_wins(
    home: Home, local: bytes, name: bytes, dash: bytes, ext: bytes
) -> None:
    user = find_user(home, local)
    assert (user.name, user.dash, user.ext) == (name, dash, ext)
    assert user.home == home.at(name)


def test_without_an_alias_account_is_116(home: Home, accounts: Accounts) -> None:
    del accounts[b"alias"]
    assert code_of(home, b"nobody-here") == 116
    assert find_user(home, b"joe").name == b"joe"


@pytest.mark.usefixtures("accounts")
def test_a_home_on_a_server_that_does_not_answer_is_115(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(_path: bytes) -> os.stat_result:
        raise TimeoutError(110, "server")

    monkeypatch.setattr(home, "_embedded", False)
    monkeypatch.setattr(posix, "stat", stat)
    with pytest.raises(Die) as death:
        find_account(home, b"joe")
    assert death.value.code == 115


@pytest.mark.parametrize("error", [OSError(26, "busy"), MemoryError()])
def test_accounts_that_cannot_be_asked_are_118(home: Home, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_name: bytes) -> None:
        raise error

    monkeypatch.setattr(system_accounts, "find_user", fail)
    assert code_of(home, b"joe") == 118


# the embedded way


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "embedded").touch()
    (tmp_path / "queue").mkdir()
    monkeypatch.setattr(identity, "my_name", lambda: b"Me")
    return Home(bytes(tmp_path))


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (b"me", (b"Me", b"home", b"", b"")),
        (b"ME-Foo-Bar", (b"Me", b"home", b"-", b"Foo-Bar")),
        (b"men", (b"alias", b"alias", b"-", b"men")),
        (b"Alias", (b"alias", b"alias", b"", b"")),
        (b"alias-Shop-x", (b"alias", b"alias", b"-", b"Shop-x")),  # as virtualdomains makes it
        (b"root", (b"alias", b"alias", b"-", b"root")),
    ],
)
def test_an_embedded_home_has_one_user_and_alias(
    embedded: Home, local: bytes, expected: tuple[bytes, bytes, bytes, bytes]
) -> None:
    name, folder, dash, ext = expected
    assert find_user(embedded, local) == User(name, os.getuid(), os.getgid(), embedded.at(folder), dash, ext)
