"""PIC/rem2local.md: mail from another host, by SMTP, to a user of this one."""

import re

import pytest

from tests.places import ROOMS, Place
from tests.reception_support import BOTH, HERE, LISTENER, is_resident, serving
from tests.support import free_port, wait_for


@BOTH
@pytest.mark.parametrize("place", [ROOMS[0], ROOMS[2]], indirect=True)
def test_rem2local(place: Place, kind: str) -> None:
    place.start()
    with serving(place, kind, free_port()) as port:
        with port.smtp() as client:
            answer = client.mail("liar@far.example", place.address, text="Subject: far\n\n..two dots\nend\n")
            said = re.fullmatch(r"250 ok \d+ qp (\d+)", answer)
            assert said, answer
            assert client.quit() == f"221 {place.domain}"
        (text,) = place.mail()
        place.log.ends(1)
        port.wait_for(r"end [\d.]+ status 0$")
        assert is_resident(port) == (kind == LISTENER)

    info = place.log.wait("info")
    assert (info.sender, info.qp, int(info.uid)) == ("liar@far.example", said[1], place.uid_of("qmaild"))
    lines = text.decode().split("\n")
    assert lines[:2] == ["Return-Path: <liar@far.example>", f"Delivered-To: {place.address}"]
    # in an embedded home the user is qmaild, alias and qmails in one
    assert re.fullmatch(r"Received: \(qmail \d+ (invoked|for) .*\); .* -0000", lines[2]), lines[2]
    assert place.embedded or lines[2].startswith(f"Received: (qmail {said[1]} invoked from network); ")
    assert lines[3] == f"Received: from unknown (HELO far.example) ({HERE})"
    assert re.fullmatch(rf"  by {re.escape(place.domain)} with SMTP; .* -0000", lines[4])
    assert lines[5:] == ["Subject: far", "", ".two dots", "end", ""]
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


@BOTH
@pytest.mark.parametrize("place", [ROOMS[0]], indirect=True)
def test_what_is_not_mail_for_a_user_of_this_host_is_refused_on_its_way(place: Place, kind: str) -> None:
    """Every question of the picture that can be answered with no."""
    place.control("databytes", "1000\n")
    place.control("badmailfrom", "@bulk.example\n")
    with serving(place, kind, free_port()) as port:
        with port.smtp() as client:
            assert client.say("RCPT TO:<x@y>") == "503 MAIL first (#5.5.1)"
            assert client.say("MAIL FROM:<news@bulk.example>") == "250 ok"
            assert client.say(f"RCPT TO:<{place.address}>").startswith("553 sorry, your envelope sender")
            assert client.say("MAIL FROM:<a@far.example> SIZE=1001").startswith("552 sorry, that message size")
            assert client.say("MAIL FROM:<a@far.example>") == "250 ok"
            assert client.say(f"RCPT TO:<nobody-of-that-name@{place.domain}>") == (
                "550 sorry, no mailbox here by that name (#5.1.1)"
            )
            assert client.say(f"RCPT TO:<{place.address}>") == "250 ok"
            assert client.say("DATA") == "354 go ahead"
            client.socket.sendall(b"a line\nwithout its CR\r\n.\r\n")
            assert client.line() == "451 See https://cr.yp.to/docs/smtplf.html."
            assert client.line() == ""
        with port.smtp() as client:
            assert client.say("GET / HTTP/1.1").startswith("502 ")
            assert client.line() == ""
        for rule in ("barelf", "protocol"):  # two workers: in either order
            port.wait_for(f" rule={rule} ")
        rules = re.findall(rf"^qmail-smtpd: refused {re.escape(HERE)} rule=(\S+) ", port.log(), re.MULTILINE)
        assert sorted(rules) == ["badmailfrom", "barelf", "databytes", "protocol", "recipient"]
    assert place.queue_is_empty()
