"""The ways in which a system chooses its sendmail: BSD's mailwrapper, update-alternatives, plain links."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import Place, embedded
from tests.support import has_program, write

NAMES = ("sendmail", "send-mail", "mailq", "newaliases", "runq", "hoststat", "purgestat", "rmail")

# What mailwrapper(8) does, as far as it matters: the name it was called by is looked up, and stays argv[0]
MAILWRAPPER = """#!/usr/bin/python3 -IS
import os, sys
name = sys.argv[0].rpartition("/")[2]
for line in open({conf!r}):
    words = line.split()
    if words and not line.startswith("#") and words[0] == name:
        os.execv(words[1], [sys.argv[0], *words[2:], *sys.argv[1:]])
sys.exit("no mapping in {conf}")
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    os.chmod(tmp_path, 0o711)
    with contextlib.closing(embedded(str(tmp_path / "home"), {})) as found:
        found.start()
        yield found
        found.stop()


def every_name_works(place: Place, folder: str) -> None:
    """What a machine does with its sendmail, by whatever is in this directory."""
    message = b"Subject: chosen\n\nhello\n"
    done = place.run(f"{folder}/sendmail", "-t", stdin=b"To: " + place.address.encode() + b"\n" + message)
    assert (done.code, done.errors) == (0, b"")
    assert place.run(f"{folder}/send-mail", place.user, stdin=message).code == 0
    assert all(b"Subject: chosen" in mail for mail in place.mail(2))
    assert place.run(f"{folder}/mailq").code == 0
    assert place.run(f"{folder}/runq").code == 0
    place.alias_file("aliases", "list: joe\n")
    done = place.run(f"{folder}/newaliases")
    assert done.code == 0, done.errors
    done = place.run(f"{folder}/rmail", place.user, stdin=b"From x Sat Nov 21 10:00:00 2026 remote from y\n" + message)
    assert done.code == 0, done.errors
    assert len(place.mail(3)) == 3


def test_bsds_mailwrapper(place: Place, tmp_path: Path) -> None:
    conf = write(
        f"{tmp_path}/mailer.conf",
        "# the names that mailwrapper has links for\n" + "".join(f"{name}\t{place.program(name)}\n" for name in NAMES),
    )
    write(f"{tmp_path}/sbin/mailwrapper", MAILWRAPPER.format(conf=conf), 0o755)
    for name in NAMES:
        os.symlink("mailwrapper", f"{tmp_path}/sbin/{name}")
    every_name_works(place, f"{tmp_path}/sbin")


def test_plain_links(place: Place, tmp_path: Path) -> None:
    os.mkdir(f"{tmp_path}/sbin")
    for name in NAMES:
        os.symlink(place.program(name), f"{tmp_path}/sbin/{name}")
    every_name_works(place, f"{tmp_path}/sbin")


def test_update_alternatives(place: Place, tmp_path: Path) -> None:
    if not has_program("update-alternatives"):
        pytest.skip("needs update-alternatives (Debian: dpkg)")
    for name in ("sbin", "alternatives", "administration"):
        os.mkdir(f"{tmp_path}/{name}")
    base = ["update-alternatives", "--altdir", f"{tmp_path}/alternatives", "--log", f"{tmp_path}/log"]
    base += ["--admindir", f"{tmp_path}/administration", "--quiet"]
    words = ["--install", f"{tmp_path}/sbin/sendmail", "mta", place.program("sendmail"), "90"]
    for name in NAMES[1:]:
        words += ["--slave", f"{tmp_path}/sbin/{name}", f"mta-{name}", place.program(name)]
    subprocess.run([*base, *words], check=True, capture_output=True)
    every_name_works(place, f"{tmp_path}/sbin")
    subprocess.run([*base, "--remove", "mta", place.program("sendmail")], check=True, capture_output=True)
    assert os.listdir(f"{tmp_path}/sbin") == []
