"""Root starts nothing from a home, a program or a library that others can write."""

import os
import subprocess

import pytest

from tests.places import CLASSIC_HOME, ROOMS, Place
from tests.support import DOMAIN, PATH, run_setup, write

pytestmark = pytest.mark.root

LIBRARY = "lib/current/qmailpy"

BREAKS = [
    ("chmod o+w {home}", "{home}"),
    ("chmod g+w {home}/bin", "{home}/bin"),
    ("chown qmails {home}/control", "{home}/control"),
    ("chmod o+w {home}/bin/qmail-start", "{home}/bin/qmail-start"),
    ("chmod g+w {home}/bin/qmail-lspawn", "{home}/bin/qmail-lspawn"),
    ("chown qmailr {home}/bin/qmail-remote", "{home}/bin/qmail-remote"),
    ("chown 1717 {home}/bin/qmail-local", "{home}/bin/qmail-local"),
    (f"chmod o+w {{home}}/{LIBRARY}", f"{{home}}/{LIBRARY}"),
    (f"chmod g+w {{home}}/{LIBRARY}/verdict.py", f"{{home}}/{LIBRARY}/verdict.py"),
    (f"chown 1717 {{home}}/{LIBRARY}/send/heart.py", f"{{home}}/{LIBRARY}/send/heart.py"),
    ("chmod o+w {home}/lib/current/dns/name.py", "{home}/lib/current/dns/name.py"),
    ("chmod o+w {home}/lib/current/launchers/qmail-local", "{home}/lib/current/launchers/qmail-local"),
    (f"find {{home}}/{LIBRARY}/ -name heart.*.pyc -exec chmod o+w {{{{}}}} +", f"{{home}}/{LIBRARY}/send/__pycache__/"),
]


def start(**environment: str) -> tuple[int, str]:
    """Exit code and words of a qmail-start that is not expected to go on."""
    done = subprocess.run(
        [f"{CLASSIC_HOME}/bin/qmail-start", "./Maildir/"],
        env={"PATH": f"{CLASSIC_HOME}/bin:{PATH}", **environment},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_what_others_can_write_is_named_and_nothing_starts() -> None:
    run_setup("--home", CLASSIC_HOME)
    subprocess.run([f"{CLASSIC_HOME}/bin/config-fast", DOMAIN], check=True, stdout=subprocess.DEVNULL)
    for command, named in BREAKS:
        words = [word.format(home=CLASSIC_HOME) for word in command.split()]
        before = {path: os.stat(path) for path in affected(words)}
        subprocess.run(words, check=True)
        code, said = start()
        assert code == 111, command
        wanted = "qmail-start: fatal: others can write " + named.format(home=CLASSIC_HOME)
        assert said.startswith(wanted), f"{command}: {said}"
        assert said.endswith("; say chown root, chmod go-w\n")
        assert said.count("\n") == 1
        for path, status in before.items():
            os.chown(path, status.st_uid, status.st_gid)
            os.chmod(path, status.st_mode & 0o7777)


def affected(words: list[str]) -> list[str]:
    """The files whose owner or mode a command changes."""
    if words[0] != "find":
        return [words[-1]]
    found = []
    for folder, _, names in os.walk(words[1]):
        found += [f"{folder}/{name}" for name in names if name.startswith("heart.") and name.endswith(".pyc")]
    assert found
    return found


def test_a_wrapper_found_by_path_is_looked_at_too() -> None:
    run_setup("--home", CLASSIC_HOME)
    subprocess.run([f"{CLASSIC_HOME}/bin/config-fast", DOMAIN], check=True, stdout=subprocess.DEVNULL)
    wrapper = write("/var/lib/wrappers/qmail-lspawn", f'#!/bin/sh\nexec {CLASSIC_HOME}/bin/qmail-lspawn "$@"\n', 0o777)
    code, said = start(PATH=f"/var/lib/wrappers:{CLASSIC_HOME}/bin:{PATH}")
    assert (code, said) == (
        111,
        f"qmail-start: fatal: others can write {wrapper}; say chown root, chmod go-w\n",
    )


@pytest.mark.parametrize("place", ROOMS[2:3], indirect=True)
def test_a_wrapper_of_roots_that_his_own_group_can_write_is_no_hindrance(place: Place) -> None:
    """As a umask of 002 makes it: the group is root's."""
    remote = place.program("qmail-remote")
    write(remote, "#!/bin/sh\nexit 0\n", 0o775)
    os.chown(remote, 0, 0)
    place.start()
    place.send(place.address)
    assert len(place.mail()) == 1
    place.stop()
