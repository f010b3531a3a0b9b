"""PIC/local2alias.md: mail to a name that is no account: alias' files decide."""

import re

from tests.places import Place
from tests.support import wait_for


def test_local2alias(place: Place) -> None:
    place.alias_file(".qmail-help", f"&{place.address}\n")
    place.start()
    place.send("help", "Subject: help\n\nPlease.\n")
    place.log.ends(2)

    # no account of that name: alias, dash "-", ext "help"
    first, second = [line for line in place.log.lines if line.kind == "info"]
    started = [line for line in place.log.lines if line.kind == "starting"]
    assert [line.recipient for line in started] == ["help@mx.example.org", place.address]

    # alias forwards: a message of its own, by alias' uid, same sender; the qp joins the two
    assert (int(first.uid), int(second.uid)) == (place.uid, place.uid_of("alias"))
    assert second.sender == first.sender
    forward = place.log.wait("delivery", delivery="1")
    assert (forward.outcome, forward.report) == ("success", f"did_0+1+0/qp_{second.qp}/")
    assert place.log.wait("delivery", delivery="2").report == "did_1+0+0/"

    # delivered to two addresses, newest on top
    (message,) = place.mail()
    assert re.findall(rb"^(?:Return-Path|Delivered-To): .*$", message.partition(b"\n\n")[0], re.MULTILINE) == [
        b"Return-Path: <%s>" % place.address.encode(),
        b"Delivered-To: %s" % place.address.encode(),
        b"Delivered-To: help@mx.example.org",
    ]
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


def test_a_name_nobody_has_comes_back(place: Place) -> None:
    place.start()
    place.send("nobody-has-this-name")
    place.log.ends(2)
    assert place.log.wait("delivery", outcome="failure").report == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    (message,) = place.mail()
    assert message.startswith(b"Return-Path: <>\n")
    assert b"\nSubject: failure notice\n" in message
    place.stop()


def test_a_default_file_takes_every_name(place: Place) -> None:
    place.alias_file(".qmail-default", f"&{place.user}@mx.example.org\n")
    place.start()
    place.send("Any.Body")
    assert b"\nDelivered-To: Any.Body@mx.example.org\n" in place.mail()[0]
    place.log.ends(2)
    place.stop()


def test_a_loop_of_aliases_ends(place: Place) -> None:
    place.alias_file(".qmail-ping", "&pong@mx.example.org\n")
    place.alias_file(".qmail-pong", "&ping@mx.example.org\n")
    place.start()
    place.send("ping")
    looping = place.log.wait("delivery", outcome="failure")
    assert looping.report.startswith("This_message_is_looping:_it_already_has_my_Delivered-To_line.")
    assert b"\n<ping@mx.example.org>:\n" in place.mail()[0]
    place.log.ends(4)
    place.stop()
