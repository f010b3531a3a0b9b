"""Who may ask qmail-authd on a real machine, whose passwords it checks, and who becomes whom."""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.login_support import AS_CHECKPASSWORD, Authd, on_three, scram
from tests.places import Place, classic, identity
from tests.support import CHECKOUT, PATH, write

pytestmark = pytest.mark.root

ASK = """
import sys
from qmailpy.disk.home import Home
from qmailpy.skeletons import authenticating
from qmailpy.wire import authd
question = authd.Question(b"password", sys.argv[2].encode(), sys.stdin.buffer.read(), b"", b"192.0.2.7", b"587")
try:
    said = authenticating.authenticate(Home(sys.argv[1].encode()), authenticating.encode(question))
except OSError as error:
    print("nobody answers:", error.strerror)
else:
    print(authd.decode_answer(said).verdict.decode())
"""


@pytest.fixture
def place() -> Iterator[Place]:
    place = classic({})
    subprocess.run(["chpasswd"], input=b"joe:s3cret of joe\nroot:s3cret of root\n", check=True)
    yield place
    place.close()


def ask(place: Place, login: str, password: str, role: str = "qmaild") -> str:
    """As a session of this role asks."""
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", ASK, place.home, login],
        input=password.encode(),
        capture_output=True,
        check=True,
        cwd="/",
        env={"PATH": PATH, "PYTHONPATH": CHECKOUT},
        **identity(place.uid_of(role), pwd.getpwnam(role).pw_gid),
    )
    said: bytes = done.stdout
    return said.decode()[:-1]


def test_only_qmaild_and_root_are_answered(place: Place) -> None:
    write(f"{place.home}/users/passwords", b"ann:%s\n" % scram("secret"), 0o600)
    with Authd(place.home, ["SCRAM-SHA-256"]) as daemon:
        os.chmod(f"{place.home}/auth", 0o755)  # as if its directory did not keep them out
        assert ask(place, "ann", "secret") == "Y"
        assert ask(place, "ann", "wrong") == "N"
        assert ask(place, "ann", "secret", "root") == "Y"
        for role in ("qmailr", "qmailq", "alias"):
            assert ask(place, "ann", "secret", role) == "nobody answers: qmail-authd has hung up"
        assert len(daemon.log) == 3
        os.chmod(f"{place.home}/auth", 0o750)
        assert ask(place, "ann", "secret", "qmailr") == "nobody answers: Permission denied"


def test_without_a_file_the_accounts_log_in_but_not_root(place: Place) -> None:
    """And an account becomes itself for POP3."""
    with Authd(place.home) as daemon:
        assert daemon.offered == {"PLAIN", "LOGIN"}
        assert ask(place, "joe", "s3cret of joe") == "Y"
        assert ask(place, "joe", "s3cret of root") == "N"
        assert ask(place, "root", "s3cret of root") == "N"
        assert ask(place, "nobody-has-this", "x") == "N"
        assert ask(place, "joe\n", "s3cret of joe") == "N"
        done = subprocess.run(
            [
                *AS_CHECKPASSWORD,
                *(f"{place.home}/bin/qmail-checkpassword", "sh", "-c", 'echo "$(id -u) $(id -g) $(id -G) $USER $PWD"'),
            ],
            input=on_three("joe", "s3cret of joe"),
            capture_output=True,
            check=False,
            env={"PATH": PATH, "QMAILHOME": place.home},
        )
        assert (done.stdout, done.stderr) == (b"%d %d %d joe /home/joe\n" % ((place.uid,) * 3), b"")
        write(f"{place.home}/users/passwords", b"ann:%s\nJoe:{accounts}\n" % scram("secret"), 0o600)
        assert ask(place, "ann", "secret") == "Y"
        assert ask(place, "bob", "secret") == "N"


def test_it_does_not_start_where_others_could_change_what_it_runs(place: Place) -> None:
    """Nor for anybody but root."""
    for path in ("control", "users", "bin/qmail-checkpassword"):
        before = os.stat(f"{place.home}/{path}").st_mode & 0o7777
        os.chmod(f"{place.home}/{path}", before | 0o002)
        done = subprocess.run(
            [f"{place.home}/bin/qmail-authd"], capture_output=True, check=False, env={"PATH": PATH}, timeout=20
        )
        os.chmod(f"{place.home}/{path}", before)
        assert done.returncode == 111
        assert done.stderr.startswith(b"qmail-authd: fatal: others can write /var/qmail/" + path.encode())
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", "from qmailpy.programs import start; start('qmail-authd', '/var/qmail')"],
        capture_output=True,
        check=False,
        cwd="/",
        env={"PATH": PATH, "PYTHONPATH": CHECKOUT},
        **identity(place.uid_of("qmaild"), pwd.getpwnam("qmaild").pw_gid),
    )
    assert (done.returncode, done.stderr) == (
        111,
        b"qmail-authd: fatal: only root can check the passwords of others\n",
    )
