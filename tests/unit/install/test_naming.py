"""Control files that follow from a host's name."""

import os

import pytest

from qmailpy.disk.home import Home
from qmailpy.install import naming
from qmailpy.verdict import Die


@pytest.fixture
def place(tmp_path: object) -> Home:
    os.mkdir(f"{tmp_path}/control")
    return Home(os.fsencode(str(tmp_path)))


def text_of(home: Home, name: str) -> bytes:
    with open(home.control(name.encode()), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    ("name", "domain", "plus"),
    [
        (b"mx.example.org", b"example.org", b"example.org"),
        (b"a.b.example.org", b"b.example.org", b"example.org"),
        (b"example.org", b"example.org", b"example.org"),
        (b"localhost", b"localhost", b"localhost"),
    ],
)
def test_domains_follow_from_the_name(name: bytes, domain: bytes, plus: bytes) -> None:
    assert naming.default_domain(name) == domain
    assert naming.plus_domain(name) == plus


def test_all_five_files_are_written_with_mode_0644(place: Home) -> None:
    before = os.umask(0o077)
    try:
        naming.put_all(place, b"mx.example.org")
    finally:
        os.umask(before)
    files = {name: text_of(place, name) for name in sorted(os.listdir(place.at(b"control").decode()))}
    assert files == {
        "defaultdomain": b"example.org\n",
        "locals": b"mx.example.org\n",
        "me": b"mx.example.org\n",
        "plusdomain": b"example.org\n",
        "rcpthosts": b"mx.example.org\n",
    }
    assert {os.stat(place.control(name.encode())).st_mode & 0o7777 for name in files} == {0o644}


def test_a_name_is_added_to_what_is_there(place: Home) -> None:
    naming.put(place, "locals", b"# ours\nold.example.org")
    naming.append(place, "locals", b"mx.example.org")
    assert text_of(place, "locals") == b"# ours\nold.example.org\nmx.example.org\n"


def test_a_name_is_added_once(place: Home) -> None:
    naming.append(place, "locals", b"mx.example.org")
    naming.append(place, "locals", b"mx.example.org")
    assert text_of(place, "locals") == b"mx.example.org\n"


@pytest.mark.parametrize(
    "name", [b"", b"a b.org", b"joe@example.org", b"../me", b".org", b"a..b", b"a.", b"a\n.b", b"x" * 254, b"\xfcml.de"]
)
def test_what_is_no_host_name_is_refused(place: Home, name: bytes) -> None:
    with pytest.raises(Die) as died:
        naming.put_all(place, name)
    assert died.value.code == 100
    assert os.listdir(place.at(b"control")) == []
