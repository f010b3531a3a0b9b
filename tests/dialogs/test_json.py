"""--json: what programs may rely on; without it the list is what it always was."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.dialogs.test_queue_tools import WHEN, add
from tests.dialogs.test_tcpto import fill, record
from tests.inject_support import run
from tests.support import bare_home, write

PROGRAMS = ("qmail-qread", "qmail-qstat", "qmail-tcpto", "qmail-tcpok", "qmail-showctl", "qmail-newmrh")


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"))


def told(home: str, name: str, word: str = "--json") -> list[dict[str, object]]:
    done = run(home, name, word)
    assert (done.code, done.err) == (0, b"")
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_message_and_its_recipients(home: str) -> None:
    add(home, 2254861, b"a\n\xff@h", local=b"Djoe@l\0Tfred@l\0", remote=b"T\xc3\xa4@y\0", bounce=True)
    for word in ("--json", "-j"):
        assert told(home, "qmail-qread", word) == [
            {
                "id": 2254861,
                "state": "queued",
                "birth": WHEN,
                "size": 287,
                "sender": "a\n\udcff@h",
                "bouncing": True,
                "recipients": [
                    {"address": "joe@l", "channel": "local", "done": True},
                    {"address": "fred@l", "channel": "local", "done": False},
                    {"address": "ä@y", "channel": "remote", "done": False},
                ],
            }
        ]


def test_a_message_that_cannot_be_read_says_why(home: str) -> None:
    add(home, 23, b"a@b", local=b"Xjoe@l\0")
    (message,) = told(home, "qmail-qread")
    assert message["error"] == "invalid argument" or "sense" in str(message["error"])


def test_counts(home: str) -> None:
    add(home, 23, b"a@b")
    write(f"{home}/queue/mess/1/24", b"x")
    write(f"{home}/queue/todo/24", b"x")
    assert told(home, "qmail-qstat") == [{"messages": 2, "new": 1}]


def test_hosts_that_did_not_answer(home: str) -> None:
    fill(home, record((192, 0, 2, 25), 2, 1))
    (host,) = told(home, "qmail-tcpto")
    assert (host["address"], host["timeouts"]) == ("192.0.2.25", 2)
    assert isinstance(host["seconds"], int)


def test_hosts_that_were_forgotten(home: str) -> None:
    fill(home, record((192, 0, 2, 25), 2, 1), record((192, 0, 2, 26), 1, 1))
    assert told(home, "qmail-tcpok") == [{"forgotten": 2}]
    assert told(home, "qmail-tcpto") == []
    assert told(home, "qmail-tcpok", "-j") == [{"forgotten": 0}]
    assert run(home, "qmail-tcpok").out == b""


def test_control_files(home: str) -> None:
    write(f"{home}/control/virtualdomains", "a.example:joe\n# no\nwithout\n")
    write(f"{home}/control/concurrencylocal", "33 or so\n")
    write(f"{home}/control/strange", "x\n")
    os.mkdir(f"{home}/control/databytes")
    files = {str(each["file"]): each for each in told(home, "qmail-showctl")}
    assert files["me"] == {"file": "me", "kind": "line", "set": True, "value": "mx.example.org", "doubts": []}
    assert files["defaulthost"]["value"] == "mx.example.org"
    assert not files["defaulthost"]["set"]
    assert files["concurrencylocal"]["value"] == 33
    assert files["queuereserve"]["value"] == 8388608
    assert files["virtualdomains"]["value"] == ["a.example:joe", "without"]
    for name in ("concurrencylocal", "virtualdomains"):
        assert len(list(files[name]["doubts"])) == 1  # type: ignore[call-overload]
    assert (files["strange"]["kind"], files["strange"]["set"]) == (None, True)
    assert "error" in files["databytes"]
    assert files["percenthack"]["value"] is None


def test_a_table_that_was_made(home: str) -> None:
    write(f"{home}/control/morercpthosts", "a.example\n\n# no\nB.example\n")
    assert told(home, "qmail-newmrh") == [{"file": f"{home}/control/morercpthosts.cdb", "entries": 2}]
    done = run(home, "qmail-newmrh")
    assert (done.code, done.out) == (0, b"")


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_option_is_usage(home: str, name: str) -> None:
    done = run(home, name, "--yaml")
    assert (done.code, done.out) == (100, b"")
    assert done.err == b"%s: fatal: the only option is --json\n" % name.encode()


@pytest.mark.parametrize("name", PROGRAMS[:3])
def test_whoever_has_read_enough_ends_it_in_silence(home: str, name: str) -> None:
    add(home, 23, b"a@b", local=b"Tjoe@l\0")
    fill(home, record((192, 0, 2, 25), 2, 1))
    reading, writing = os.pipe()
    os.close(reading)
    command = [f"{home}/bin/{name}", "--json"]
    done = subprocess.run(command, env={"QMAILHOME": home}, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (111, b"")
