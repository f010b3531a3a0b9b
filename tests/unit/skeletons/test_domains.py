"""Which line of which control file decides where a recipient goes."""

import os
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.skeletons import domains
from qmailpy.verdict import TEMP, Die
from qmailpy.wire.delivery import LOCAL, REMOTE

FILES = {
    "me": "Mx.Example.ORG\n",
    "locals": "# ours\nexample.org\nEXAMPLE.com  \n",
    "virtualdomains": "virt.example:old\n# no\nVirt.Example:alias-v\nann@virt.example:ann\n.sub.example:s\n"
    "not.sub.example:\nnonsense\n:all\n",
    "percenthack": "hack.example\n",
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    os.mkdir(tmp_path / "control")
    for name, text in FILES.items():
        (tmp_path / "control" / name).write_text(text)
    return Home(os.fsencode(tmp_path))


@pytest.mark.parametrize(
    ("recipient", "channel", "address", "file", "line"),
    [
        (b"joe@example.org", LOCAL, b"joe@example.org", b"control/locals", 2),
        (b"joe@Example.COM", LOCAL, b"joe@Example.COM", b"control/locals", 3),
        (b"joe@virt.example", LOCAL, b"alias-v-joe@virt.example", b"control/virtualdomains", 3),
        (b"Ann@virt.example", LOCAL, b"ann-Ann@virt.example", b"control/virtualdomains", 4),
        (b"joe@a.sub.example", LOCAL, b"s-joe@a.sub.example", b"control/virtualdomains", 5),
        (b"joe@not.sub.example", REMOTE, b"joe@not.sub.example", b"control/virtualdomains", 6),
        (b"joe@far.example", LOCAL, b"all-joe@far.example", b"control/virtualdomains", 8),
        (b"joe%example.org@hack.example", LOCAL, b"joe@example.org", b"control/locals", 2),
    ],
)
def test_the_line_that_decides_is_cited(
    home: Home, recipient: bytes, channel: int, address: bytes, file: bytes, line: int
) -> None:
    decision = domains.decide(recipient, domains.read(home, b"Mx.Example.ORG"), home)
    assert (decision.channel, decision.address, decision.file, decision.line) == (channel, address, file, line)


def test_nothing_decides_for_a_stranger(home: Home) -> None:
    os.unlink(home.control(b"virtualdomains"))
    decision = domains.decide(b"joe@far.example", domains.read(home, b"me"), home)
    assert (decision.channel, decision.file, decision.line, decision.entry) == (REMOTE, b"", 0, b"")


def test_without_locals_it_is_this_hosts_name(home: Home) -> None:
    os.unlink(home.control(b"locals"))
    decision = domains.decide(b"joe", domains.read(home, b"Mx.Example.ORG"), home)
    assert (decision.channel, decision.file, decision.line) == (LOCAL, b"control/me", 1)
    with pytest.raises(Die) as caught:
        domains.read(home, None)
    assert caught.value.verdict == TEMP
