"""Injection and its lists on a machine of many users: from confined services and containers, each sees his own."""

import os
import pwd
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

    line, to = own(STRANGER)
    number = line.partition(b"#")[2].split()[0].decode()
    assert line.endswith(b"  <u%d@h.x> " % STRANGER)
    assert to == b"\tlocal\t" + place.address.encode()
    with open(f"{place.home}/queue/{numbers[number]}", "rb") as file:
        assert b"invoked by uid %d)" % STRANGER in file.readline()
    assert own(OTHER)[0].endswith(b"  <u%d@h.x> " % OTHER)
    assert len(own(OTHER)) == 2
    assert own(OVERFLOW) == []  # everybody whose uid means nothing here has this one
    line = b"Received: (qmail 1 invoked by uid %d); 21 Nov 2026 02:27:41 -0000\n" % (STRANGER + 5)
    write(f"{place.home}/queue/mess/0/23", line)
    write(f"{place.home}/queue/intd/23", b"u")  # its envelope is not whole yet: nobody has accepted it
    assert own(STRANGER + 5) == []
    os.unlink(f"{place.home}/queue/intd/23")
    assert own(STRANGER + 5) == []  # qmail-send knows nothing of it either
    everything = call(place, [], place.program("sendmail"), "-bp").stdout
    for uid in (STRANGER, OTHER, OVERFLOW):
        assert b"<u%d@h.x> \n\tlocal\tjoe@" % uid in everything


def test_while_qmail_send_is_down_the_list_says_what_it_does_not_know(place: Place) -> None:
    place.control("concurrencylocal", "0\n")
    place.start()
    sent = call(place, as_uid(STRANGER), place.program("sendmail"), "-f", "a@b.c", "joe", message=b"\nx\n")
    assert sent.returncode == 0
    wait_for(lambda: place.in_queue("info") and not place.in_queue("todo"), "it to be taken up")
    place.stop()
    with open(f"{place.home}.door", "wb") as log:
        door = subprocess.Popen([place.program("qmail-queued"), "service"], stdout=log, stderr=log)
    try:
        wait_for(lambda: os.path.exists(f"{place.home}/door/socket"), "the door")
        done = call(place, as_uid(STRANGER), place.program("mailq"))
        head, said = done.stdout.splitlines()
        assert head.endswith(b"in delivery")
        assert said == b"To whom these messages still go is not known now: qmail-send does not run."
        done = call(place, as_uid(STRANGER), place.program("runq"))
        told = b"runq: fatal: your mail is not tried now: qmail-send does not run\n"
        assert (done.returncode, done.stderr) == (75, told)
    finally:
        door.terminate()
        assert door.wait(30) == 0


def test_no_stranger_reaches_qmail_sends_socket_and_nobody_can_play_it(place: Place) -> None:
    place.start()
    path = f"{place.home}/door/send/socket"
    connect = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r}); print(s.recv(1))"
    for account, code in (("joe", 1), ("qmaill", 1), ("alias", 1), ("qmailr", 0)):
        uid, gid = pwd.getpwnam(account)[2:4]
        who = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        done = call(place, who, "/usr/bin/python3", "-c", connect)
        assert done.returncode == code, done
        assert done.stdout in (b"", b"b''\n"), "hung up on without a word"
    # qmailq owns the directory above: it puts its own there
    place.stop()
    qmailq = pwd.getpwnam("qmailq")
    os.rename(f"{place.home}/door/send", f"{place.home}/door/real")
    os.mkdir(f"{place.home}/door/send", 0o755)
    os.chown(f"{place.home}/door/send", *qmailq[2:4])
    play = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({path!r}); s.listen(); print(flush=True)\n"
        "while 1: s.accept()[0].recv(9)"
    )
    who = ["setpriv", f"--reuid={qmailq[2]}", f"--regid={qmailq[3]}", "--clear-groups"]
    with subprocess.Popen([*who, "/usr/bin/python3", "-c", play], stdout=subprocess.PIPE) as player:
        try:
            assert player.stdout is not None
            player.stdout.readline()
            words = [place.program("sendmail"), "-qRjoe"]
            assert call(place, [], *words).returncode == 0
            script = (
                "import sys; sys.path.insert(0, %r)\n"
                "from qmailpy.disk.home import Home; from qmailpy.skeletons import asking\n"
                "try: list(asking.ask(Home(%r), b'l', 0, [1]))\n"
                "except asking.Silent as silent: print(silent.reason.decode())"
            ) % (f"{place.home}/lib/current", place.home.encode())
            said = call(place, [], "/usr/bin/python3", "-c", script).stdout
            assert said == f"who listens on {path} is not qmail-send\n".encode()
        finally:
            player.kill()


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
    assert done.stderr.startswith(b"mailq: fatal: the queue is not yours to read, and qmail-queued, which ")
    assert call(place, as_uid(STRANGER), place.program("sendmail"), "-bp").returncode == 75
    done = call(place, [], place.program("mailq"))
    assert (done.returncode, done.stdout) == (0, b"")


def test_q_tries_ones_own_messages_now_and_roots_all(place: Place) -> None:
    place.user_file(".qmail-later", "|test -e ok || exit 111\n")
    place.start()
    place.send("joe-later")
    assert call(place, as_uid(OTHER), place.program("sendmail"), "joe-later", message=b"\nx\n").returncode == 0
    for at in (1, 2):
        place.log.wait("delivery", delivery=str(at))
    wait_for(lambda: len(place.in_queue("info")) == 2 and not place.in_queue("todo"), "both to wait")
    after = place.log.count()
    place.user_file("ok", "")
    for program, words in (("sendmail", ["-q"]), ("runq", []), ("runq", [])):
        done = call(place, as_uid(OTHER), place.program(program), *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), (done, place.log.text())
    place.log.ends(1, after=after)
    assert len(place.in_queue("info")) == 1
    assert b"\tlocal\tjoe-later@" in call(place, as_uid(place.uid), place.program("mailq")).stdout
    after = place.log.count()
    done = call(place, [], place.program("runq"))
    assert (done.returncode, done.stderr) == (0, b"")
    place.log.ends(1, after=after)
    place.stop()
    done = call(place, [], place.program("sendmail"), "-q")
    assert (done.returncode, done.stderr) == (0, b"")
    done = call(place, as_uid(OTHER), place.program("sendmail"), "-q")
    assert done.returncode == 75
    assert done.stderr.startswith(b"sendmail: fatal: the queue is not yours to read, and qmail-queued, which ")
