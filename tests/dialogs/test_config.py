"""config and config-fast: what they say, word for word, and what they write."""

import os
import subprocess

import pytest

from qmailpy.disk.home import Home
from qmailpy.programs.config import Lookups, configure
from qmailpy.system import names
from qmailpy.verdict import PERM, TEMP, Die
from tests.support import bare_home, read

FAST = b"""Your fully qualified host name is mx.sales.example.org.
Putting mx.sales.example.org into control/me...
Putting sales.example.org into control/defaultdomain...
Putting example.org into control/plusdomain...
Putting mx.sales.example.org into control/locals...
Putting mx.sales.example.org into control/rcpthosts...
Now qmail will refuse to accept SMTP messages except to mx.sales.example.org.
Make sure to change rcpthosts if you add hosts to locals or virtualdomains!
"""

ASKED = b"""Your hostname is mx.
Your host's fully qualified name in DNS is mx.example.org.
Putting mx.example.org into control/me...
Putting example.org into control/defaultdomain...
Putting example.org into control/plusdomain...
BLANK
Checking local IP addresses:
127.0.0.1: Adding localhost to control/locals...
192.0.2.1: Adding MX.example.org to control/locals...
198.51.100.7: PTR lookup failed. I assume this address has no DNS name.
BLANK
If there are any other domain names that point to you,
you will have to add them to HOME/control/locals.
You don't have to worry about aliases, i.e., domains with CNAME records.
BLANK
Copying HOME/control/locals to HOME/control/rcpthosts...
Now qmail will refuse to accept SMTP messages except to those hosts.
Make sure to change rcpthosts if you add hosts to locals or virtualdomains!
""".replace(b"BLANK", b" ")

SORRY = b"""Your hostname is mx.
Sorry, I couldn't find your host's canonical name in DNS.
You will have to set up control/me yourself.
"""


@pytest.fixture
def home(tmp_path: object) -> str:
    path = bare_home(f"{tmp_path}/home")
    for name in ("me", "locals"):
        os.unlink(f"{path}/control/{name}")
    return path


def control(home: str) -> dict[str, bytes]:
    files = sorted(os.listdir(f"{home}/control"))
    return {name: read(f"{home}/control/{name}") for name in files if name != "embedded"}


def fast(home: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [f"{home}/bin/config-fast", *words],
        env={"QMAILHOME": home},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def test_config_fast_says_and_writes_five_files(home: str) -> None:
    done = fast(home, "mx.sales.example.org")
    assert (done.returncode, done.stdout, done.stderr) == (0, FAST, b"")
    assert control(home) == {
        "defaultdomain": b"sales.example.org\n",
        "locals": b"mx.sales.example.org\n",
        "me": b"mx.sales.example.org\n",
        "plusdomain": b"example.org\n",
        "rcpthosts": b"mx.sales.example.org\n",
    }


def test_config_fast_writes_all_files_whoever_stops_reading(home: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [f"{home}/bin/config-fast", "mx.sales.example.org"],
        env={"QMAILHOME": home},
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"mx.sales.example.org\n" in read(f"{home}/control/rcpthosts")


def test_config_fast_adds_to_lists_and_replaces_lines(home: str) -> None:
    fast(home, "old.example.org")
    fast(home, "new.example.com")
    written = control(home)
    assert written["me"] == b"new.example.com\n"
    assert written["locals"] == b"old.example.org\nnew.example.com\n"
    assert written["rcpthosts"] == b"old.example.org\nnew.example.com\n"


@pytest.mark.parametrize("words", [(), ("a", "b"), ("",), ("a b",), ("joe@example.org",), ("--help",)])
def test_config_fast_refuses_what_is_no_name(home: str, words: tuple[str, ...]) -> None:
    done = fast(home, *words)
    assert (done.returncode, done.stdout) == (100, b"")
    assert done.stderr.startswith(b"config-fast: fatal: ")
    assert done.stderr.count(b"\n") == 1
    assert control(home) == {}


def lookups(full_name: object = "mx.example.org", host: str = "mx") -> Lookups:
    """A small world of names."""

    def find(_host: str) -> str:
        if isinstance(full_name, Die):
            raise full_name
        return str(full_name)

    known = {"192.0.2.1": "MX.example.org", "127.0.0.1": "localhost"}
    return Lookups(
        lambda: host, find, lambda _name: ["192.0.2.1"], lambda: ["127.0.0.1", "198.51.100.7", "192.0.2.1"], known.get
    )


def test_config_asks_and_says_what_it_finds(home: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert configure(Home(home.encode()), lookups()) == 0
    assert capfdbinary.readouterr().out == ASKED.replace(b"HOME", home.encode())
    assert control(home) == {
        "defaultdomain": b"example.org\n",
        "locals": b"localhost\nMX.example.org\n",
        "me": b"mx.example.org\n",
        "plusdomain": b"example.org\n",
        "rcpthosts": b"localhost\nMX.example.org\n",
    }


@pytest.mark.parametrize(("verdict", "words", "code"), [(PERM, b"hard error", 100), (TEMP, b"soft error", 111)])
def test_config_apologises_and_writes_nothing_without_dns(
    home: str, verdict: int, words: bytes, code: int, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert configure(Home(home.encode()), lookups(Die(verdict, words))) == code
    said = capfdbinary.readouterr()
    assert (said.out, said.err) == (SORRY, words + b"\n")
    assert control(home) == {}


def test_config_apologises_for_a_host_without_a_name(home: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert configure(Home(home.encode()), lookups(host="")) == 100
    assert capfdbinary.readouterr().out == (
        b"Sorry, I couldn't find your hostname.\nYou will have to set up control/me yourself.\n"
    )
    assert control(home) == {}


def test_who_asks_config_for_help_does_not_lose_his_control_files(home: str) -> None:
    fast(home, "mx.example.org")
    written = control(home)
    command = [f"{home}/bin/config", "--help"]
    done = subprocess.run(command, env={"QMAILHOME": home}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (100, b"config: fatal: usage: config\n")
    assert control(home) == written


def test_the_machine_has_a_loopback_address() -> None:
    assert "127.0.0.1" in names.own_addresses()


def test_an_address_of_the_loopback_network_is_no_answer() -> None:
    with pytest.raises(Die) as died:
        names.addresses("localhost")
    assert died.value.text == b"hard error"
