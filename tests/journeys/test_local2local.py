"""PIC/local2local.md: a user of this machine writes to another one (or to himself)."""

import re

from tests.logs import in_order
from tests.places import Place
from tests.support import wait_for


def test_local2local(place: Place) -> None:
    place.start()

    # sendmail, qmail-inject: who is it from, whom to, what is missing in the header
    place.send(place.user, "Subject: hello\n\nLine one.\n.\nFrom here on.\n", sender="")

    # qmail-send: whose domain is it, which channel
    place.log.ends(1)
    new = place.log.wait("new")
    info = place.log.wait("info")
    assert (info.msg, info.sender, int(info.uid)) == (new.msg, place.address, place.uid)
    assert [line.kind for line in place.log.of(new.msg)] == ["new", "info", "starting", "delivery", "end"]
    in_order(
        place.log,
        rf"starting delivery 1: msg {new.msg} to local {re.escape(place.address)}",
        r"status: local 1/10 remote 0/20",
        r"delivery 1: success: did_1\+0\+0/",
        r"status: local 0/10 remote 0/20",
        rf"end msg {new.msg}",
    )

    # qmail-local: default delivery, a Maildir
    (message,) = place.mail()
    lines = message.split(b"\n")
    assert lines[0] == b"Return-Path: <%s>" % place.address.encode()
    assert lines[1] == b"Delivered-To: %s" % place.address.encode()
    assert re.fullmatch(
        rb"Received: \(qmail %s invoked by uid %d\); .* -0000" % (info.qp.encode(), place.uid), lines[2]
    )
    assert b"\nSubject: hello\n" in message
    assert re.search(rb"^Date: \d+ \w+ \d{4} ", message, re.MULTILINE)
    assert re.search(rb"^Message-ID: <\d{14}\.\d+\.qmail@mx\.example\.org>$", message, re.MULTILINE)
    assert message.endswith(b"\n\nLine one.\n.\nFrom here on.\n")
    assert int(info.bytes) == len(message) - len(lines[0]) - len(lines[1]) - 2

    # qmail-clean: nothing is left
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
    assert place.log.strangers() == []


def test_an_extension_goes_to_its_own_file(place: Place) -> None:
    place.user_file(".qmail-list-default", "|cat > list; echo $EXT $DEFAULT\n")
    place.start()
    place.send(f"{place.user}-list-Some.Thing")
    place.log.ends(1)
    assert place.log.wait("delivery").report == "list-Some.Thing_Some.Thing/did_0+0+1/"
    place.stop()


def test_many_at_once_all_arrive_once(place: Place) -> None:
    place.start()
    for number in range(12):
        place.send(place.user, f"Subject: number {number}\n\nText.\n")
    found = sorted(int(re.findall(rb"\nSubject: number (\d+)\n", text)[0]) for text in place.mail(12))
    assert found == list(range(12))
    place.log.ends(12)
    place.stop()


def test_mail_that_waits_is_delivered_after_a_restart(place: Place) -> None:
    place.user_file(".qmail", "|test -f ready || exit 111\n./Maildir/\n")
    place.start()
    place.send(place.user)
    assert place.log.wait("delivery").outcome == "deferral"
    place.stop()
    place.user_file("ready", "")
    place.user_file(".qmail", "./Maildir/\n")
    before = place.log.count()
    place.start()
    place.log.wait("status", after=before)
    assert place.daemons is not None
    place.daemons.send_signal(14)  # ALRM: try all of it now
    assert len(place.mail()) == 1
    place.log.ends(1)
    place.stop()
