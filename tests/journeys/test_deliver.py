"""D1 to D9: the checks of qmail's own TEST.deliver, and ours (spec/09-log-and-tests.md 1). INSTALL has them by hand."""

import contextlib
import os
import re
import subprocess

import pytest

from tests.logs import in_order
from tests.neighbours import smtp_sink
from tests.places import Place, classic
from tests.support import free_port, read, wait_for

EMPTY = "status: local 0/10 remote 0/20"


@pytest.fixture
def running(place: Place) -> Place:
    """A system with the default delivery ./Mailbox and nobody's rules."""
    place.start("./Mailbox")
    return place


def mailbox(folder: str, text: bytes) -> bytes:
    """The Mailbox in this directory as soon as it holds this text."""

    def content() -> bytes:
        try:
            found = read(f"{folder}/Mailbox")
        except FileNotFoundError:
            return b""
        return found if text in found else b""

    return wait_for(content, f"{text!r} in {folder}/Mailbox")


def test_d1_the_log_begins_with_an_idle_status(running: Place) -> None:
    assert [line.text for line in running.log.lines] == [EMPTY]


def test_d1_or_exactly_one_alert(place: Place) -> None:
    os.unlink(f"{place.home}/control/me")
    os.unlink(f"{place.home}/control/locals")
    with pytest.raises(AssertionError):
        place.start()
    assert [line.text for line in place.log.lines] == ["alert: cannot start: unable to read controls"]


def test_d2_every_daemon_runs_as_who_it_should(running: Place) -> None:
    children = running.children()
    roles = {"qmail-lspawn": "root", "qmail-rspawn": "qmailr", "qmail-clean": "qmailq", "qmail-queued": "qmailq"}
    assert set(children) == set(roles)
    for name, role in roles.items():
        assert uids_of(children[name]) == {running.uid_of(role)}
    assert running.daemons is not None
    assert uids_of(running.daemons.pid) == {running.uid_of("qmails")}


def uids_of(pid: int) -> set[int]:
    """Real, effective, saved and file system uid."""
    (line,) = [line for line in read(f"/proc/{pid}/status").split(b"\n") if line.startswith(b"Uid:")]
    return {int(word) for word in line.split()[1:]}


def test_d3_a_message_to_me(running: Place) -> None:
    done = running.run("qmail-inject", stdin=b"to: %s\n" % running.user.encode())
    assert (done.code, done.errors) == (0, b"")
    running.log.ends(1)
    log = running.log.lines
    assert [line.kind for line in log] == ["status", "new", "info", "starting", "status", "delivery", "status", "end"]
    assert (log[2].sender, int(log[2].uid)) == (running.address, running.uid)
    assert int(log[2].qp) > 0
    assert log[3].text == f"starting delivery 1: msg {log[1].msg} to local {running.address}"
    assert log[4].text == "status: local 1/10 remote 0/20"
    assert log[5].text == "delivery 1: success: did_1+0+0/"
    assert log[6].text == EMPTY
    mailbox(running.user_home, b"\nDelivered-To: %s\n" % running.address.encode())


def test_d4_a_message_to_nobody_comes_back(running: Place) -> None:
    assert running.run("qmail-inject", stdin=b"to: nonexistent\n").code == 0
    running.log.ends(2)
    failure = running.log.wait("delivery", outcome="failure")
    assert failure.report == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    bounce = running.log.wait("bounce")
    second = [line for line in running.log.lines if line.kind == "info"][1]
    assert (second.sender, second.qp, int(second.uid)) == ("", bounce.qp, running.uid_of("qmails"))
    in_order(running.log, r"bounce msg \d+ qp \d+", rf"end msg {bounce.msg}", r"new msg \d+", r"info msg .* from <> .*")
    text = mailbox(running.user_home, b"\nHi. This is the qmail-send program at mx.example.org.\n")
    assert b"\n<nonexistent@mx.example.org>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in text


def test_d5_a_message_to_another_host(place: Place, tmp_path: object) -> None:
    port = free_port()
    place.control("smtproutes", f"far.example:127.0.0.1:{port}\n")
    place.start("./Mailbox")
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port) as sink:
        assert place.run("qmail-inject", stdin=b"to: me@far.example\n").code == 0
        place.log.ends(1)
        assert len(sink.mail()) == 1
    in_order(
        place.log,
        r"starting delivery 1: msg \d+ to remote me@far\.example",
        r"status: local 0/10 remote 1/20",
        r"delivery 1: success: 127\.0\.0\.1_accepted_message\./Remote_host_said:_250_.*/",
    )


def test_d6_postmaster_in_any_case(running: Place) -> None:
    running.alias_file(".qmail-postmaster", "")
    assert running.run("qmail-inject", stdin=b"to: POSTmaster\n").code == 0
    running.log.ends(1)
    mailbox(f"{running.home}/alias", b"\nDelivered-To: POSTmaster@mx.example.org\n")


def test_d7_a_bounce_that_bounces_comes_to_the_postmaster(running: Place) -> None:
    running.alias_file(".qmail-postmaster", "")
    assert running.run("qmail-inject", "-f", "nonexistent", stdin=b"to: unknown\n").code == 0
    running.log.ends(3)
    assert [line.sender for line in running.log.lines if line.kind == "info"] == [
        "nonexistent@mx.example.org",
        "",
        "#@[]",
    ]
    text = mailbox(
        f"{running.home}/alias", b"I tried to deliver a bounce message to this address, but the bounce bounced!"
    )
    assert b"Return-Path: <#@[]>\n" in text


@pytest.mark.root
@pytest.mark.parametrize("forced", ["", "1"])
def test_d8_only_the_primary_group_is_left(forced: str) -> None:
    with contextlib.closing(classic({"QMAILEXEC": forced} if forced else {})) as place:
        assert b"club" in subprocess.run(["id", "-nG", place.user], capture_output=True, check=True).stdout
        place.user_file(".qmail-groups", "|groups >> MYGROUPS; exit 0\n")
        place.start()
        assert place.run("qmail-inject", stdin=b"to: %s-groups\n" % place.user.encode()).code == 0
        place.log.ends(1)
        assert read(f"{place.user_home}/MYGROUPS").split() == [place.user.encode()]
        place.stop()


def test_d9_a_double_bounce_without_a_postmaster_is_the_end(running: Place) -> None:
    if os.path.exists(f"{running.home}/alias/.qmail-postmaster"):
        os.unlink(f"{running.home}/alias/.qmail-postmaster")
    assert running.run("qmail-inject", "-f", "nonexistent", stdin=b"to: unknown\n").code == 0
    running.log.ends(3)
    last = running.log.wait("triple")
    assert re.search(rf"^end msg {last.msg}$", running.log.text(), re.MULTILINE)
    wait_for(running.queue_is_empty, "an empty queue")
    running.stop()
