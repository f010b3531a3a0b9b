"""qmail-queuectl and qmail-queuecheck where every role has an account of its own: who may order, and who does it."""

import grp
import json
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from qmailpy.wire import asking
from tests.places import Place, classic
from tests.queue_check_support import Scene
from tests.support import read, wait_for, write

pytestmark = pytest.mark.root

ASK = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(20)
try:
    connection.connect(sys.argv[1])
    connection.sendall(bytes.fromhex(sys.argv[2]))
    sys.stdout.buffer.write(connection.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def place() -> Iterator[Place]:
    place = classic({})
    yield place
    place.close()


def waiting(place: Place) -> tuple[int, int]:
    """A message that waits: its number and key."""
    os.rename(f"{place.user_home}/Maildir", f"{place.user_home}/elsewhere")
    place.start()
    place.send(place.address)
    place.log.wait("delivery", outcome="deferral")
    wait_for(lambda: place.in_queue("info"), "it to be taken up")
    (name,) = place.in_queue("mess")
    return int(name.rpartition("/")[2]), os.stat(f"{place.home}/queue/{name}").st_mtime_ns


def asked(place: Place, role: str, question: asking.Question) -> bytes:
    """What qmail-send says to a process of this account."""
    account = pwd.getpwnam(role)
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", ASK, f"{place.home}/door/send/socket", question.encode().hex()],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    return done.stdout


def test_only_root_and_qmails_may_give_orders(place: Place) -> None:
    number, key = waiting(place)
    order = asking.Question(asking.DELETE, asking.ANYBODY, [number], [key])
    state = asking.Question(asking.STATE, asking.ANYBODY, [number])
    assert asked(place, "qmailq", order) == asking.encode_text(b"")
    assert asked(place, "qmailq", state) == asking.encode_text(b"")
    assert asked(place, "qmailr", order) in (b"", b"ConnectionResetError\n", b"BrokenPipeError\n")
    for role in (place.user, "qmaild", "alias"):
        assert asked(place, role, order) == b"PermissionError\n"
    assert place.in_queue("info")
    assert place.run("qmail-queuectl", "list").code == 111
    assert place.run("qmail-queuecheck").code == 111

    done = place.run("qmail-queuectl", "hold", "-a", uid=0)
    assert (done.code, done.output, done.errors) == (0, b"#%d  held\nheld: 1\n" % number, b"")
    assert os.stat(f"{place.home}/queue/orders/{number}").st_uid == place.uid_of("qmails")
    (told,) = (json.loads(line) for line in place.run("qmail-queuectl", "-j", "list", uid=0).output.splitlines())
    assert (told["held"], told["sender"]) == (True, f"{place.user}@mx.example.org")
    assert place.run("qmail-queuectl", "release", "-a", uid=0).code == 0
    assert asked(place, "qmails", order) == asking.encode_text(asking.DONE)
    place.log.wait("end", msg=str(number))


def test_a_copied_queue_is_mended_and_keeps_its_owners(place: Place) -> None:
    waiting(place)
    done = place.run("qmail-queuecheck", "--mend", uid=0)
    assert done.code == 111
    assert b"runs" in done.errors
    place.stop()
    os.rename(f"{place.user_home}/elsewhere", f"{place.user_home}/Maildir")
    scene = Scene(place.home)
    scene.new_disk()
    (name,) = place.in_queue("info")
    os.chown(f"{place.home}/queue/{name}", 0, 0)  # whoever copied it was root, and forgot
    assert place.run("qmail-queuecheck", uid=0).code == 1
    done = place.run("qmail-queuecheck", "--mend", uid=0)
    assert (done.code, done.errors) == (0, b"")
    scene.check_legal()
    (name,) = place.in_queue("info")
    assert os.stat(f"{place.home}/queue/{name}").st_uid == place.uid_of("qmails")
    after = place.log.count()
    place.start()
    assert place.daemons is not None
    place.daemons.send_signal(signal.SIGALRM)
    place.log.ends(1, after)
    assert len(place.mail()) == 1
    place.stop()
    assert place.queue_is_empty()


def test_what_is_moved_is_handed_over_by_qmails_and_by_nobody_else(place: Place) -> None:
    number, _ = waiting(place)
    os.mkdir("/tmp/other")
    os.chmod("/tmp/other", 0o777)
    script = "umask 0\ncd /tmp/other\nid > who\nls -l /proc/$$/fd > open\ncat > /dev/null\ncat <&1 > /dev/null\n"
    queue = write("/tmp/other/queue", f"#!/bin/sh\n{script}", 0o755)
    assert place.run("qmail-queuectl", "move", "-q", queue, "-a").code == 111
    done = place.run("qmail-queuectl", "move", "-q", queue, "-a", uid=0)
    assert (done.code, done.output) == (0, b"#%d  on its way\non its way: 1\n" % number)
    place.log.wait("end", msg=str(number))
    role, group = place.uid_of("qmails"), grp.getgrnam("qmail").gr_gid
    assert read("/tmp/other/who").decode() == f"uid={role}(qmails) gid={group}(qmail) groups={group}(qmail)\n"
    opened = {line.split()[-3] for line in read("/tmp/other/open").decode().splitlines() if "->" in line}
    assert opened == {"0", "1", "2", "4", "6", "10", "11"}, "message, envelope, its own words; and two of the shell's"
    shutil.rmtree("/tmp/other")
