"""Injection and its lists on a machine of many users: from confined services and containers, each sees his own."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.places import FORCED, Place, classic
from tests.support import has_program, wait_for, write

pytestmark = pytest.mark.root

STRANGER, OTHER, OVERFLOW = 12345, 12346, 65534  # uids without an account
CONFINED = ["setpriv", "--no-new-privs", "--bounding-set=-all"]
PRIVATE_TMP = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /tmp && exec "$@"', "sh"]


def as_uid(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


@pytest.fixture(params=[{}, FORCED], ids=["resident", "exec"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    for name in ("setpriv", "unshare"):
        if not has_program(name):
            pytest.skip(f"needs {name} (Debian: util-linux)")
    place = classic(request.param)
    yield place
    place.close()


def call(place: Place, around: list[str], *words: str, message: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*around, *words],
        input=message,
        capture_output=True,
        cwd="/",
        env=place.environment,
        timeout=60,
        check=False,
    )


AROUND = {
    "a confined service": CONFINED,
    "a confined service of a user's": [*as_uid(STRANGER), *CONFINED[1:]],
    "a private /tmp": [*PRIVATE_TMP, *as_uid(STRANGER), "--no-new-privs"],
    "a uid without an account": as_uid(STRANGER),
    "no environment at all": [*as_uid(STRANGER), "env", "-i"],
    "a read-only root": ["unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind / ; exec "$@"', "sh", *CONFINED],
}


@pytest.mark.parametrize("name", AROUND)
def test_mail_is_sent_from_there(place: Place, name: str) -> None:
    place.start()
    done = call(place, AROUND[name], place.program("sendmail"), "-t", "-i", message=b"To: joe\nSubject: s\n\nx\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    [message] = place.mail()
    assert b"\nSubject: s\n" in message
    uid = STRANGER if str(STRANGER) in " ".join(AROUND[name]) else 0
    assert b"invoked by uid %d); " % uid in message
    wait_for(place.queue_is_empty, "an empty queue")


def test_everybody_sees_his_own_messages_and_root_all(place: Place) -> None:
    place.control("concurrencylocal", "0\n")
    place.start()
    for uid in (STRANGER, OTHER, OVERFLOW):
        done = call(place, as_uid(uid), place.program("sendmail"), "-f", f"u{uid}@h.x", "joe", message=b"\nx\n")
        assert done.returncode == 0
    wait_for(lambda: len(place.in_queue("info")) == 3 and not place.in_queue("todo"), "all messages taken up")
    numbers = {os.path.basename(path): path for path in place.in_queue("mess")}

    def own(uid: int) -> list[bytes]:
        done = call(place, as_uid(uid), place.program("mailq"))
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.splitlines()

    (line,) = own(STRANGER)
    number = line.partition(b"#")[2].split()[0].decode()
    assert line.endswith(b"in delivery")
    with open(f"{place.home}/queue/{numbers[number]}", "rb") as file:
        assert b"invoked by uid %d)" % STRANGER in file.readline()
    assert own(OTHER) not in ([line], [])
    assert own(OVERFLOW) == []  # everybody whose uid means nothing here has this one
    line = b"Received: (qmail 1 invoked by uid %d); 21 Nov 2026 02:27:41 -0000\n" % (STRANGER + 5)
    write(f"{place.home}/queue/mess/0/23", line)
    write(f"{place.home}/queue/intd/23", b"u")  # its envelope is not whole yet: nobody has accepted it
    assert own(STRANGER + 5) == []
    os.unlink(f"{place.home}/queue/intd/23")
    assert len(own(STRANGER + 5)) == 1  # for the door it looks like one that is in delivery
    everything = call(place, [], place.program("sendmail"), "-bp").stdout
    for uid in (STRANGER, OTHER, OVERFLOW):
        assert b"<u%d@h.x> \n\tlocal\tjoe@" % uid in everything


def test_a_message_that_qmail_send_has_not_seen_is_listed_with_its_envelope(place: Place) -> None:
    place.start()
    assert place.daemons is not None
    place.children()
    os.kill(place.daemons.pid, 19)  # SIGSTOP: the door goes on
    try:
        done = call(place, as_uid(STRANGER), place.program("sendmail"), "-f", "a@b.c", "joe@h.x", message=b"\nx\n")
        assert done.returncode == 0
        for around, program in ((as_uid(STRANGER), "mailq"), ([], "mailq"), (as_uid(STRANGER), "sendmail")):
            words = ["-bp"] if program == "sendmail" else []
            done = call(place, around, place.program(program), *words)
            assert done.stdout.endswith(b"  <a@b.c>  new\n\ttodo\tjoe@h.x\n"), done
        assert call(place, as_uid(OTHER), place.program("mailq")).stdout == b""
    finally:
        os.kill(place.daemons.pid, 18)


def test_without_the_door_a_user_is_told_whom_he_misses(place: Place) -> None:
    done = call(place, as_uid(STRANGER), place.program("mailq"))
    assert done.returncode == 111
    assert done.stderr.startswith(b"mailq: fatal: the queue is not yours to read, and qmail-queued, who")
    assert call(place, as_uid(STRANGER), place.program("sendmail"), "-bp").returncode == 75
    done = call(place, [], place.program("mailq"))
    assert (done.returncode, done.stdout) == (0, b"")


def test_roots_q_tries_everything_now_and_a_strangers_does_nothing(place: Place) -> None:
    place.user_file(".qmail-later", "|test -e ok || exit 111\n")
    place.start()
    place.send("joe-later")
    place.log.wait("delivery")
    after = place.log.count()
    place.user_file("ok", "")
    for around, program, words in ((as_uid(STRANGER), "sendmail", ["-q"]), (as_uid(STRANGER), "runq", [])):
        done = call(place, around, place.program(program), *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = call(place, [], place.program("runq"))
    assert done.returncode in (0, 75), done  # 75 while qmail-tcpok is not there
    place.log.ends(1, after=after)
    place.stop()
    done = call(place, [], place.program("sendmail"), "-q")
    assert (done.returncode, done.stderr) == (0, b"")
