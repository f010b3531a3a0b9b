"""Files that an administrator may change: his changes stay, ours are renewed."""

import os
import shutil

import pytest

from qmailpy.install.owners import embedded
from qmailpy.install.placed import File, Placer, read_record


class Home:
    """The few directories that a placer needs."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.said: list[str] = []
        for name in ("bin", "boot", "lib"):
            os.makedirs(f"{path}/{name}")

    def placer(self, force: set[str] | None = frozenset()) -> Placer:  # type: ignore[assignment]
        return Placer(self.path.encode(), embedded(os.geteuid(), os.getegid()), self.said.append, force)

    def place(self, *files: tuple[str, bytes], force: set[str] | None = frozenset()) -> Placer:  # type: ignore[assignment]
        placer = self.placer(force)
        placer.place([File(path, content, 0o755) for path, content in files])
        return placer

    def read(self, path: str) -> bytes:
        with open(f"{self.path}/{path}", "rb") as file:
            return file.read()

    def write(self, path: str, content: bytes) -> None:
        with open(f"{self.path}/{path}", "wb") as file:
            file.write(content)


@pytest.fixture
def home(tmp_path: object) -> Home:
    return Home(str(tmp_path))


def test_a_file_is_written_with_its_mode_whatever_the_umask(home: Home) -> None:
    before = os.umask(0o077)
    try:
        home.place(("bin/sendmail", b"one"), ("boot/runit/qmail-send/log/run", b"two"))
    finally:
        os.umask(before)
    assert home.read("bin/sendmail") == b"one"
    assert os.stat(f"{home.path}/bin/sendmail").st_mode & 0o7777 == 0o755
    assert os.stat(f"{home.path}/boot/runit/qmail-send/log").st_mode & 0o7777 == 0o755


def test_what_we_wrote_before_is_renewed(home: Home) -> None:
    home.place(("bin/sendmail", b"old"))
    home.place(("bin/sendmail", b"new"))
    assert home.read("bin/sendmail") == b"new"


def test_a_wrapper_is_kept_and_said(home: Home) -> None:
    home.place(("bin/qmail-remote", b"old"))
    home.write("bin/qmail-remote", b"#!/bin/sh\nexec qmail-remote.orig\n")
    placer = home.place(("bin/qmail-remote", b"new"))
    assert home.read("bin/qmail-remote").startswith(b"#!/bin/sh")
    assert placer.kept == ["bin/qmail-remote"]
    assert [line for line in home.said if "bin/qmail-remote" in line and line.startswith("kept")]


def test_a_program_that_was_there_before_us_is_kept(home: Home) -> None:
    home.write("bin/qmail-send", b"\x7fELF of another qmail")
    home.place(("bin/qmail-send", b"ours"))
    assert home.read("bin/qmail-send") == b"\x7fELF of another qmail"


def test_a_link_in_a_programs_place_is_kept(home: Home) -> None:
    os.symlink("/bin/true", f"{home.path}/bin/qmail-send")
    home.place(("bin/qmail-send", b"ours"))
    assert os.readlink(f"{home.path}/bin/qmail-send") == "/bin/true"


@pytest.mark.parametrize("force", [{"qmail-remote"}, None])
def test_force_overwrites_a_wrapper(home: Home, force: set[str] | None) -> None:
    home.write("bin/qmail-remote", b"wrapper")
    home.place(("bin/qmail-remote", b"ours"), force=force)
    assert home.read("bin/qmail-remote") == b"ours"


def test_force_for_one_program_leaves_another_wrapper(home: Home) -> None:
    home.write("bin/qmail-local", b"wrapper")
    home.place(("bin/qmail-remote", b"ours"), ("bin/qmail-local", b"ours"), force={"qmail-remote"})
    assert home.read("bin/qmail-local") == b"wrapper"


def test_an_older_version_of_ours_that_somebody_put_back_is_renewed(home: Home) -> None:
    for content in (b"one", b"two", b"three"):
        home.place(("bin/qmail-remote", content))
    home.write("bin/qmail-remote", b"one")
    home.place(("bin/qmail-remote", b"four"))
    assert home.read("bin/qmail-remote") == b"four"


def test_a_missing_file_comes_back(home: Home) -> None:
    home.place(("bin/sendmail", b"one"))
    os.unlink(f"{home.path}/bin/sendmail")
    home.place(("bin/sendmail", b"one"))
    assert home.read("bin/sendmail") == b"one"


def test_a_file_that_is_as_it_should_be_is_not_touched(home: Home) -> None:
    home.place(("bin/sendmail", b"one"))
    before = os.stat(f"{home.path}/bin/sendmail")
    placer = home.place(("bin/sendmail", b"one"))
    assert os.stat(f"{home.path}/bin/sendmail").st_ino == before.st_ino
    assert placer.written == 0


def test_what_we_no_longer_have_goes_unless_it_was_changed(home: Home) -> None:
    home.place(("boot/old/run", b"one"), ("boot/mine", b"two"), ("boot/home", b"three"))
    home.write("boot/mine", b"changed")
    home.place(("boot/home", b"three"))
    assert not os.path.exists(f"{home.path}/boot/old")
    assert home.read("boot/mine") == b"changed"


def test_a_setup_that_was_killed_after_writing_does_not_take_its_own_file_for_a_wrapper(home: Home) -> None:
    home.place(("bin/sendmail", b"one"))
    placer = home.placer()
    record = read_record(home.path.encode())
    shutil.copy(f"{home.path}/lib/installed", f"{home.path}/before")
    placer.place([File("bin/sendmail", b"two", 0o755)])  # wrote its record first, then the file, then died
    assert len(record["bin/sendmail"].hashes) == 1
    assert home.place(("bin/sendmail", b"three")).kept == []
    assert home.read("bin/sendmail") == b"three"


def test_removing_all_leaves_what_was_changed(home: Home) -> None:
    home.place(("bin/sendmail", b"one"), ("bin/qmail-remote", b"two"))
    home.write("bin/qmail-remote", b"wrapper")
    home.placer().remove_all()
    assert os.listdir(f"{home.path}/bin") == ["qmail-remote"]
