"""Debian's dot-forward and fastforward run unchanged from a .qmail of ours, and mean what our own programs mean."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_support import joe_in
from tests.places import Place, classic
from tests.support import PATH, bare_home, give, has_program, write

FILES = [
    "ann@example.net\n",
    "ann@example.net, bob@example.net\njim@example.net\n",
    "\\joe, ann@example.net\n",
    "joe@example.org\nann@example.net\n",
    'Ann <ann@example.net>, "two words"@example.net, bob@example.net (Bob, he)\n',
    '"|vacation joe", ann@example.net\n',
    "# nothing\n",
    "",
]
ALIASES = """\
# what both understand
root: joe@example.net, ann@example.net
postmaster@example.org: joe@example.net
quoted: "two words"@example.net, Ann <ann@example.net>
more: bob@example.net,
  jim@example.net
owner-list: ann@example.net
list: bob@example.net, jim@example.net
command: "|vacation 'a, b'", x@example.net
@virt.example: joe@example.net
"""


def ran(argv: list[str], environment: dict[str, str], cwd: str, identity: dict[str, object]) -> tuple[int, list[str]]:
    """Exit code, and the lines that it says, sorted, without what each names in its own way."""
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, check=False, **identity)  # type: ignore[call-overload]
    lines = (done.stdout + done.stderr).decode().splitlines()
    return done.returncode, sorted(line for line in lines if not line.startswith(("sender ", "mailbox ")))


@pytest.mark.skipif(not has_program("dot-forward"), reason="needs dot-forward")
@pytest.mark.parametrize("text", FILES)
def test_dot_forward_reads_a_file_as_we_do(tmp_path: Path, text: str) -> None:
    joe = joe_in(str(tmp_path))
    home = bare_home(f"{tmp_path}/home", me="example.org")
    if os.getuid() == 0:
        give(home, joe.uid, joe.gid)
    joe.put(".forward", text)
    environment = {**joe.environment, "QMAILHOME": home, "USER": "joe", "LOCAL": "joe", "HOST": "example.org"}
    _, theirs = ran(["dot-forward", "-n", ".forward"], environment, joe.home, joe.identity)
    _, ours = ran([f"{home}/bin/qmail-dotforward", "-n", ".forward"], environment, joe.home, joe.identity)
    theirs = sorted(line.replace("pipe through ", "program ") for line in theirs)
    own = ("direct delivery", "skipping empty file .forward")
    assert [line for line in theirs if line not in own] == [line for line in ours if line != "forward joe@example.org"]


NAMES = [
    *((name, "mx.example.org") for name in ("root", "Quoted", "more", "list", "command", "nobody")),
    ("postmaster", "example.org"),
    ("any", "virt.example"),
    ("root", "virt.example"),
]


def recipients(lines: list[str]) -> list[str]:
    """Who gets it, and what is run, in whatever words."""
    return sorted(
        word for line in lines for word in line.replace("<", " ").replace(">", " ").split() if "@example" in word
    )


@pytest.fixture
def place() -> Iterator[Place]:
    with contextlib.closing(classic({})) as found:
        os.symlink(found.home, "/var/lib/qmail")  # Debian's own place for qmail
        yield found


@pytest.mark.root
@pytest.mark.skipif(not has_program("fastforward"), reason="needs fastforward")
def test_fastforward_reads_aliases_as_we_do(place: Place) -> None:
    write("/etc/aliases", ALIASES)
    os.utime("/etc/aliases", (1, 1))
    subprocess.run(["qmail-newaliases"], check=True)
    assert place.run("newaliases", uid=0).code == 0
    for name, host in NAMES:
        environment = {"HOST": host, "DEFAULT": name, "EXT": name, "LOCAL": name, "USER": "alias", "PATH": PATH}
        environment |= {"RECIPIENT": f"{name}@{host}", "SENDER": "a@b.org", "DTLINE": "Delivered-To: x\n"}
        their_code, theirs = ran(["fastforward", "-nd", "/etc/aliases.cdb"], environment, "/", {})
        our_code, ours = ran([place.program("qmail-aliases"), "-nd"], environment, "/", {})
        assert (their_code, our_code) in ((0, 0), (100, 100)), (name, theirs, ours)
        assert recipients(theirs) == recipients(ours), name


@pytest.mark.root
@pytest.mark.skipif(not has_program("fastforward"), reason="needs fastforward")
def test_fastforward_delivers(place: Place) -> None:
    write("/etc/aliases", 'help: joe, other\nother: "|cat > other"\n')
    subprocess.run(["qmail-newaliases"], check=True)
    place.alias_file(".qmail-default", "| fastforward -d /etc/aliases.cdb\n")
    place.start()
    place.send("help")
    assert b"\nDelivered-To: help@mx.example.org\n" in place.mail()[0]
    place.log.ends(2)
    assert b"\nDelivered-To: help@mx.example.org\n" in Path(f"{place.home}/alias/other").read_bytes()
    place.send("who")
    assert "no_mailbox" in place.log.wait("delivery", outcome="failure").report
    place.log.ends(4)
    place.stop()


@pytest.mark.root
@pytest.mark.skipif(not has_program("dot-forward"), reason="needs dot-forward")
def test_dot_forward_delivers(place: Place) -> None:
    place.alias_file(".qmail-copy", "|cat > copy\n")
    place.user_file(".forward", '\\joe, copy, "|cat > program"\n')
    place.start("|dot-forward .forward\n./Maildir/")
    place.send("joe")
    assert b"\nDelivered-To: joe@mx.example.org\n" in place.mail()[0]
    place.log.ends(2)
    assert b"\nDelivered-To: joe@mx.example.org\n" in Path(f"{place.user_home}/program").read_bytes()
    assert b"Delivered-To: joe@mx.example.org\n" in Path(f"{place.home}/alias/copy").read_bytes()
    place.stop()
