"""What check says about taking mail from the network."""

import re
from pathlib import Path

import pytest

from qmailpy.install import around, memory, reception
from tests.support import CHECKOUT, write


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a name, and nobody else's services."""
    monkeypatch.setattr(around, "SERVICES", (f"{tmp_path}/service".encode(),))
    write(f"{tmp_path}/control/me", "mx.example.org\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "current").symlink_to(f"{CHECKOUT}/lib/current")
    return tmp_path


def notes(home: Path, **control: str) -> list[str]:
    for name, text in control.items():
        write(f"{home}/control/{name}", text)
    return [text.replace(str(home), "HOME") for text in reception.notes(str(home).encode())]


def test_a_home_without_rcpthosts_is_an_open_relay(home: Path) -> None:
    (said,) = notes(home)
    assert said.startswith("HOME/control/rcpthosts does not exist: a server here would send everybody's mail on")


def test_an_empty_one_is_none(home: Path) -> None:
    assert notes(home, rcpthosts="") == []


def test_before_there_is_a_name_nothing_is_said(home: Path) -> None:
    (home / "control" / "me").unlink()
    assert notes(home) == []


def test_what_is_delivered_here_and_not_taken_is_named(home: Path) -> None:
    said = notes(
        home,
        rcpthosts="Example.org\n.sub.example\n",
        morercpthosts="more.example\n",
        locals="example.ORG\nmore.example\nlocalhost\nlocalhost.example.org\nforgotten.example\n",
        virtualdomains="a.sub.example:joe\nshop.example:joe-shop\nboss@elsewhere.example:ann\n.x.example:ann\n:all\n",
    )
    assert said == [
        (
            "HOME/control/rcpthosts does not have forgotten.example, shop.example: mail from other hosts is refused "
            "(add it, if it should come)"
        )
    ]


@pytest.mark.parametrize(
    "line",
    [
        "exec envuidgid qmaild softlimit -m 2000000 tcpserver -UDHRQ 0 smtp qmail-smtpd",
        "exec /usr/bin/softlimit -a2000000 tcpserver 0 25 /var/qmail/bin/qmail-smtpd",
        "exec chpst -u qmaild -m 2000000 tcpsvd 0 25 qmail-smtpd",
        "exec s6-softlimit -m 2000000 s6-tcpserver 0.0.0.0 25 qmail-smtpd",
    ],
)
def test_a_run_file_with_too_little_memory_is_named(home: Path, line: str) -> None:
    write(f"{home}/service/smtpd/run", f"#!/bin/sh\n{line}\n", 0o755)
    (said,) = notes(home, rcpthosts="")
    words = re.fullmatch(
        r"HOME/service/smtpd/run: (\S+) gives 2000000 bytes, and a session needs (\d+) before anything has come "
        r"\(\1 -m (\d+)\)",
        said,
    )
    assert words, said
    assert words[1] in line
    assert memory.enough(int(words[2])) == int(words[3])


def test_one_with_enough_is_not(home: Path) -> None:
    write(f"{home}/smtpd/run", "#!/bin/sh\nexec softlimit -m 150000000 tcpserver 0 25 qmail-smtpd\n", 0o755)
    write(f"{home}/service/other/run", "#!/bin/sh\nexec softlimit -m 2000000 other\n", 0o755)
    assert notes(home, rcpthosts="") == []
