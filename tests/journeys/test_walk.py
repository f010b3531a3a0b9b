"""The walk: exactly what an administrator does on a fresh machine, from config-fast to a repaired system.

Without QMAILHOME in the environment; the home is /var/qmail, in namespaces of the test's own.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests import neighbours
from tests.logs import Log, in_order
from tests.neighbours import Service, needs
from tests.places import Place, add_user, children_of
from tests.support import PATH, is_running, run_setup, wait_for, write

pytestmark = [pytest.mark.root, pytest.mark.slow]

HOME = "/var/qmail"
RUN = """#!/bin/sh
exec env - PATH="/var/qmail/bin:$PATH"{more} qmail-start ./Maildir/ splogger qmail
"""
FAR = "198.51.100.25"  # the mail exchanger of my.domain.example
ZONES = {
    "my.domain.example": f"@ IN MX 10 mail\nmail IN A {FAR}\n",
    "example.org": "mx IN A 192.0.2.1\n",
}
DAEMONS = ["qmail-clean", "qmail-lspawn", "qmail-queued", "qmail-rspawn", "splogger"]


class Walk:
    """What the administrator has: the user, the service, the log, the server far away."""

    def __init__(self, log: neighbours.Syslog, sink: neighbours.Sink) -> None:
        self.joe = add_user("joe")
        self.place = Place(HOME, "joe", self.joe, self.joe, "/home/joe", {})
        self.service = Service("/etc/service/qmail")
        self.log, self.sink = Log(log.lines), sink

    def as_joe(self, *words: str, stdin: bytes = b"") -> None:
        done = subprocess.run(
            words,
            input=stdin,
            cwd="/home/joe",
            env={"PATH": f"{HOME}/bin:{PATH}", "HOME": "/home/joe", "USER": "joe", "LOGNAME": "joe"},
            user=self.joe,
            group=self.joe,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)

    def mail(self, subject: str, to: str = "root") -> None:
        """A real client sends."""
        self.as_joe("mail", "-s", subject, to, stdin=b"Hello.\n")

    def cron_sends(self, subject: str) -> None:
        """As Debian's cron hands a report over: sendmail -i -FCronDaemon -B8BITMIME -oem USER, the header on stdin."""
        self.as_joe(
            *("/usr/sbin/sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "joe"),
            stdin=f"From: root (Cron Daemon)\nTo: joe\nSubject: {subject}\n\nDone.\n".encode(),
        )

    def is_up(self) -> bool:
        pid = self.service.pid
        return pid > 0 and sorted(children_of(pid)) == DAEMONS and os.path.exists(f"{HOME}/door/socket")

    def go_up(self) -> int:
        self.service.svc("-u")
        wait_for(self.is_up, lambda: f"the whole system: {self.service.state()}\n{self.log.text()}")
        return self.service.pid

    def find(self, subject: str) -> list[bytes]:
        """The user's messages with this subject."""
        folder = "/home/joe/Maildir/new"
        texts = []
        for name in os.listdir(folder):
            with open(f"{folder}/{name}", "rb") as file:
                texts.append(file.read())
        return [text for text in texts if f"\nSubject: {subject}\n".encode() in text]


@pytest.fixture(params=["resident", "exec"])
def walk(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Walk]:
    """A fresh machine with the programs installed, then the administrator's files."""
    needs("svscan", "mail", "pstree", "knotd", "smtp-sink")
    assert "QMAILHOME" not in os.environ
    with contextlib.ExitStack() as stack:
        stack.enter_context(neighbours.dns_server(f"{tmp_path}/dns", ZONES))
        sink = stack.enter_context(neighbours.smtp_sink(f"{tmp_path}/sink", FAR))
        log = stack.enter_context(neighbours.syslog())
        run_setup()
        configure(" QMAILEXEC=1" if request.param == "exec" else "")
        walk = Walk(log, sink)
        walk.as_joe("maildirmake", "Maildir")
        walk.place.user_file(".qmail", "./Maildir/\n&liar@my.domain.example\n")
        stack.enter_context(neighbours.svscan())
        yield walk


def configure(more: str) -> None:
    """config-fast, the aliases, sendmail's link, the run file beside `down`, the link into the service directory."""
    subprocess.run([f"{HOME}/bin/config-fast", "mx.example.org"], check=True, stdout=subprocess.DEVNULL)
    for name in ("postmaster", "mailer-daemon", "root"):
        write(f"{HOME}/alias/.qmail-{name}", "joe\n")
    if os.path.lexists("/usr/sbin/sendmail"):
        os.unlink("/usr/sbin/sendmail")
    os.symlink(f"{HOME}/bin/sendmail", "/usr/sbin/sendmail")
    write(f"{HOME}/run", RUN.format(more=more), 0o755)
    write(f"{HOME}/down", "")
    os.symlink(HOME, "/etc/service/qmail")


def test_the_walk(walk: Walk) -> None:
    alias = walk.place.uid_of("alias")

    # nothing starts until svc -u
    wait_for(lambda: os.path.exists(f"{HOME}/supervise/ok"), "supervise to take the service")
    assert ": down" in walk.service.state()
    assert walk.service.pid == 0
    assert not os.path.exists(f"{HOME}/door/socket")
    send = walk.go_up()

    # the tree, with its names and uids
    tree = subprocess.run(["pstree", "-uT", str(send)], capture_output=True, check=True).stdout.decode()
    assert re.findall(r"[a-z]+(?:-[a-z]+)?\(\w+\)", tree) == [
        "qmail-send(qmails)",
        "qmail-clean(qmailq)",
        "qmail-lspawn(root)",
        "qmail-queued(qmailq)",
        "qmail-rspawn(qmailr)",
        "splogger(qmaill)",
    ], tree

    # a real client sends; the log, in order and grammar: each chain of causes (a report of delivery 1 may come while
    # message 2 is already on its way)
    walk.mail("test 1")
    walk.log.ends(3)
    first_chain = (
        r"status: local 0/10 remote 0/20",
        r"new msg \d+",
        rf"info msg \d+: bytes \d+ from <joe@mx\.example\.org> qp \d+ uid {walk.joe}",
        r"starting delivery 1: msg \d+ to local root@mx\.example\.org",
        r"status: local 1/10 remote 0/20",
    )
    second_message = (r"new msg \d+", rf"info msg \d+: bytes \d+ from <joe@mx\.example\.org> qp \d+ uid {alias}")
    in_order(walk.log, *first_chain, r"delivery 1: success: did_0\+1\+0/qp_\d+/", r"end msg \d+")
    in_order(
        walk.log,
        *first_chain,
        *second_message,
        r"starting delivery 2: msg \d+ to local joe@mx\.example\.org",
        r"new msg \d+",
        rf"info msg \d+: bytes \d+ from <joe@mx\.example\.org> qp \d+ uid {walk.joe}",
        r"starting delivery 3: msg \d+ to remote liar@my\.domain\.example",
        rf"delivery 3: success: {re.escape(FAR)}_accepted_message\./Remote_host_said:_250_.*/",
        r"end msg \d+",
    )
    in_order(walk.log, r"starting delivery 2: .*", r"delivery 2: success: did_1\+1\+0/qp_\d+/", r"end msg \d+")
    assert walk.log.strangers() == []

    # the uids are the caller's, alias', the user's; the qp of did_... is that of the next info msg
    first, second, third = [line for line in walk.log.lines if line.kind == "info"]
    assert [int(line.uid) for line in (first, second, third)] == [walk.joe, alias, walk.joe]
    assert walk.log.wait("delivery", delivery="1").report == f"did_0+1+0/qp_{second.qp}/"
    assert walk.log.wait("delivery", delivery="2").report == f"did_1+1+0/qp_{third.qp}/"

    # the file in the Maildir
    (message,) = walk.find("test 1")
    header = message.partition(b"\n\n")[0].split(b"\n")
    assert header[0] == b"Return-Path: <joe@mx.example.org>"
    assert header[1] == b"Delivered-To: joe@mx.example.org"
    chain = [line for line in header if line.startswith((b"Received:", b"Delivered-To:"))]
    assert len(chain) >= 4
    assert re.fullmatch(rb"Received: \(qmail %s invoked by alias\); .* -0000" % second.qp.encode(), chain[1]), (
        alias,
        chain,
    )
    assert chain[2] == b"Delivered-To: root@mx.example.org"
    assert re.fullmatch(
        rb"Received: \(qmail %s invoked by uid %d\); .* -0000" % (first.qp.encode(), walk.joe), chain[3]
    )
    assert message.endswith(b"\n\nHello.\n")

    # the same message came to the server that the MX names
    (far,) = walk.sink.mail()
    assert b"liar@my.domain.example" in far
    assert b"\nDelivered-To: joe@mx.example.org\n" in far.replace(b"\r\n", b"\n")

    # svc -d stops all of it
    daemons = children_of(send)
    walk.service.svc("-d")
    walk.service.wait_down()
    wait_for(lambda: not any(is_running(pid) for pid in (send, *daemons.values())), "the end of all daemons")
    walk.log.wait("exiting")

    # what cron sends now is not lost, svc -u delivers it
    walk.cron_sends("while down")
    assert len(os.listdir(f"{HOME}/drop")) >= 2  # aside, and the message
    assert walk.find("while down") == []
    before = walk.log.count()
    walk.go_up()
    wait_for(lambda: walk.find("while down"), "cron's report in the Maildir")
    info = walk.log.wait("info", after=before)
    assert int(info.uid) == walk.joe
    walk.log.ends(2, after=before)
    wait_for(walk.place.queue_is_empty, "an empty queue")


def test_a_daemon_that_dies_ends_all_in_order_and_the_supervisor_repairs(walk: Walk) -> None:
    os.unlink(f"{HOME}/down")
    wait_for(lambda: os.path.exists(f"{HOME}/supervise/ok"), "supervise")
    walk.go_up()
    for name in [*DAEMONS, "qmail-send"]:
        kill_one(walk, name)
    # a killed door or qmail-clean may leave a message that nobody holds (S2, S3): collected after 36 hours
    held = ("todo", "info", "local", "remote", "bounce")
    wait_for(lambda: not walk.place.in_queue(*held), "the end of all deliveries")


def kill_one(walk: Walk, name: str) -> None:
    """This daemon dies: the others end, all of them come back, and a message sent meanwhile arrives."""
    old = walk.service.pid
    family = {**children_of(old), "qmail-send": old}
    before = walk.log.count()
    os.kill(family[name], signal.SIGKILL)
    walk.mail(f"after {name}", "joe")  # at once: the door may be open, closing, closed
    wait_for(lambda: walk.service.pid not in {0, old} and walk.is_up(), f"a repair after {name}")
    wait_for(lambda: not any(is_running(pid) for pid in family.values()), f"the end of the others after {name}")
    if name not in {"qmail-send", "splogger"}:  # these can say nothing any more
        walk.log.wait("exiting", after=before)
    wait_for(lambda: walk.find(f"after {name}"), f"the mail sent after the death of {name}")
