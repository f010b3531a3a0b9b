"""The embedded way from beginning to end, and setup beside a running system."""

import os
import stat
import subprocess
import sys

import pytest

from qmailpy.disk.layout import HOME, QUEUE
from qmailpy.install import order
from qmailpy.verdict import Die
from tests import ready
from tests.places import identity
from tests.support import CHECKOUT, SETUP, read
from tests.unit.install.conftest import CHECKOUT_BYTES, GID, MODES, ROOT, UID, Installed, place_for


@pytest.fixture
def home(tmp_path: object) -> Installed:
    """Setup's own work, not a copy of it."""
    installed = Installed(place_for(tmp_path))
    installed.setup()
    return installed


def test_a_new_home_has_nothing_wrong(home: Installed) -> None:
    found = home.check()
    assert found.faults == []
    assert found.notes == []


def test_every_entry_of_the_layout_is_there(home: Installed) -> None:
    for entry in (*HOME, *QUEUE):
        status = os.lstat(home.at(entry.path))
        assert stat.S_IMODE(status.st_mode) == entry.mode, entry.path
        assert (status.st_uid, status.st_gid) == (UID, GID)


def test_it_can_take_mail_for_its_user_and_for_localhost(home: Installed) -> None:
    assert read(home.at("control/me")) == b"mx.example.org\n"
    assert read(home.at("control/locals")) == b"mx.example.org\nlocalhost\nlocalhost.example.org\n"
    assert b"embedded" in read(home.at("control/embedded"))
    assert sorted(os.listdir(home.at("home/Maildir"))) == ["cur", "new", "tmp"]
    assert read(home.at("alias/.qmail-postmaster")).startswith(b"&")


def test_its_programs_run_without_the_checkout(home: Installed) -> None:
    done = subprocess.run(
        [home.at("bin/qmail-showctl")],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        **identity(UID, GID),
    )
    assert done.stderr == b""
    assert done.stdout.startswith(b"qmail home directory: " + home.path + b".\n")
    assert os.path.isabs(os.readlink(home.at("lib/current")))
    assert CHECKOUT.encode() not in read(home.at("bin/qmail-showctl"))


def test_the_library_is_compiled(home: Installed) -> None:
    packages = f"{os.readlink(home.at('lib/current'))}/qmailpy/programs"
    sources = {name.removesuffix(".py") for name in os.listdir(packages) if name.endswith(".py")}
    assert {name.partition(".")[0] for name in os.listdir(f"{packages}/__pycache__")} == sources


def test_a_second_setup_changes_nothing(home: Installed) -> None:
    before = {path: os.lstat(home.at(path)).st_ino for path in ("lib/current", "bin/sendmail", "control/me", "alias")}
    said = home.setup()
    assert {path: os.lstat(home.at(path)).st_ino for path in before} == before
    assert not [line for line in said if line.startswith(("writing", "made", "repaired", "kept"))]


@pytest.mark.parametrize("linked", [False, True])
def test_what_tests_copy_is_what_setup_makes(home: Installed, tmp_path: object, linked: bool) -> None:
    os.mkdir(f"{tmp_path}/other")
    copy = Installed(place_for(f"{tmp_path}/other"))
    ready.copy(home.at(), copy.at(), linked=linked)
    ready.rename(home.at(), copy.at())
    assert copy.check().faults == []
    assert not [
        line for line in copy.setup() if line.startswith(("writing", "lib/current", "made", "repaired", "kept"))
    ]
    assert home.path not in b"".join(
        read(path) for path in ready.files_in(copy.at("bin"), copy.at("boot"), copy.at("man"))
    )


def test_setup_never_touches_control_alias_or_queue(home: Installed) -> None:
    mine = {
        "control/me": b"other.example.org\n",
        "control/locals": b"",
        "alias/.qmail-root": b"joe\n",
        "home/.qmail": b"# mine\n",
    }
    mine["queue/mess/3/3"] = b"a message"
    for path, content in mine.items():
        with open(home.at(path), "wb") as file:
            file.write(content)
    home.setup()
    assert {path: read(home.at(path)) for path in mine} == mine


def test_a_new_version_is_switched_to_and_old_ones_are_removed_in_the_end(home: Installed) -> None:
    first = os.readlink(home.at("lib/current"))
    for number in range(1, 4):  # three older versions, each last used before the one after it
        older = f"{first}.{number}"
        os.mkdir(older)
        with open(f"{older}/MANIFEST", "wb"):
            pass
        os.utime(older, ns=(number * 10**9, number * 10**9))
    with open(f"{first}/qmailpy/verdict.py", "ab") as file:
        file.write(b"\n# damaged\n")
    said = home.setup()
    current = os.readlink(home.at("lib/current"))
    assert [line for line in said if line.startswith("writing")]
    others = [first, f"{first}.3", f"{first}.2", f"{first}.1"][current == first :]  # the newest first
    assert [os.path.exists(path) for path in others[:3]] == [True, True, False]
    assert home.check().faults == []


def test_what_a_killed_setup_left_is_removed(home: Installed) -> None:
    os.makedirs(home.at("lib/.new-77/qmailpy"))
    os.symlink("nowhere", home.at("lib/.current-77"))
    home.setup()
    assert not [name for name in os.listdir(home.at("lib")) if name.startswith(".")]


def test_two_setups_at_once_are_refused(home: Installed) -> None:
    from qmailpy.install import library, owners

    other = library.Library(home.path, owners.embedded(UID, GID), print)
    other.lock()
    try:
        with pytest.raises(Die) as died:
            home.setup()
    finally:
        other.unlock()
    assert b"another setup" in died.value.text


def test_a_wrapper_stays_and_is_only_noted(home: Installed) -> None:
    with open(home.at("bin/qmail-remote"), "wb") as file:
        file.write(b"#!/bin/sh\nexec true\n")
    said = home.setup()
    found = home.check()
    assert [line for line in said if line.startswith("kept") and "qmail-remote" in line]
    assert found.faults == []
    assert [line for line in found.notes if "qmail-remote" in line]


def test_setup_goes_on_to_its_end_whoever_stops_reading(tmp_path: object) -> None:
    """Make setup | head -1 must not leave half a home."""
    place = place_for(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-P", "-B", SETUP, "--embedded", place, "--uid", str(UID)],
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Installed(place).check().faults == []


def snapshot(folder: str) -> list[tuple[str, int, int, int]]:
    """Everything in a directory, and the directory: name, owner, mode, time of the last change."""
    paths = [
        folder,
        *(os.path.join(top, name) for top, folders, files in os.walk(folder) for name in [*folders, *files]),
    ]
    return [(path, (status := os.lstat(path)).st_uid, status.st_mode, status.st_ctime_ns) for path in sorted(paths)]


@pytest.mark.parametrize(
    ("names", "mode"),
    [
        (["letters.txt"], 0o755),
        (["queue/letters.txt", "other"], 0o755),  # a directory that is called as one of ours makes no home
        (["lib/python3", "bin/ls", "etc/passwd"], 0o755),
        ([], 0o1777),
        ([], 0o777),
    ],
)
def test_a_directory_that_is_something_else_is_refused_before_anything_is_touched(
    tmp_path: object, names: list[str], mode: int
) -> None:
    place = f"{tmp_path}/place"
    os.mkdir(place)
    for name in names:
        os.makedirs(os.path.dirname(f"{place}/{name}"), exist_ok=True)
        with open(f"{place}/{name}", "wb"):
            pass
    os.chmod(place, mode)
    before = snapshot(place)
    with pytest.raises(Die) as died:  # the classic way: tests/privilege, where a failure would change no real machine
        order.embedded(CHECKOUT_BYTES, place.encode(), MODES, print, uid=UID)
    assert b"home" in died.value.text
    assert snapshot(place) == before


@pytest.mark.parametrize("names", [[], ["lost+found"], ["run", "down"], ["bin", "alias"]])
def test_an_empty_directory_and_what_a_killed_setup_left_may_become_a_home(tmp_path: object, names: list[str]) -> None:
    place = f"{tmp_path}/place"
    for name in ["", *names]:
        os.makedirs(f"{place}/{name}")
    order.refuse_strange(place.encode())


def test_the_checkout_is_no_home() -> None:
    with pytest.raises(Die) as died:
        order.embedded(CHECKOUT_BYTES, CHECKOUT_BYTES, MODES, print, uid=UID)
    assert b"checkout" in died.value.text


@pytest.mark.skipif(ROOT, reason="for an ordinary user")
def test_an_ordinary_user_cannot_make_the_classic_way(tmp_path: object) -> None:
    with pytest.raises(Die) as died:
        order.setup(CHECKOUT_BYTES, os.fsencode(f"{tmp_path}/home"), MODES, print)
    assert b"root" in died.value.text


@pytest.mark.skipif(not ROOT, reason="root only: an ordinary user has but one uid")
@pytest.mark.parametrize("uid", [None, 0])
def test_root_must_say_whose_an_embedded_home_is(tmp_path: object, uid: int | None) -> None:
    """No mail is delivered as root: a home of root's would defer everything for ever."""
    with pytest.raises(Die) as died:
        order.embedded(CHECKOUT_BYTES, os.fsencode(f"{tmp_path}/home"), MODES, print, uid=uid)
    assert died.value.text.startswith(b"no mail is delivered as root")
    assert died.value.text.endswith(b"--uid N")
    assert os.listdir(str(tmp_path)) == []
