"""PIC/relaybad.md: a stranger wants us to send his mail on to somebody else's host."""

import re

import pytest

from tests.places import ROOMS, Place
from tests.reception_support import BOTH, HERE, Client, make_rules, serving
from tests.support import free_port

NOT_HERE = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"


@BOTH
@pytest.mark.parametrize("place", [ROOMS[0]], indirect=True)
def test_relaybad(place: Place, kind: str) -> None:
    place.control("rcpthosts", f"{place.domain}\n.sub.example\n")
    place.control("recipientcheck", "550\n")
    place.start()
    with serving(place, kind, free_port()) as port:
        with port.smtp() as client:
            assert client.say("MAIL FROM:<liar@far.example>") == "250 ok"
            assert client.say("RCPT TO:<ann@other.example>") == NOT_HERE
            assert client.say("RCPT TO:<@mx.example.org:ann@other.example>") == NOT_HERE
            assert client.say("RCPT TO:<ann@sub.example>") == NOT_HERE
            assert client.say("RCPT TO:<ann%other.example@mx.example.org>").startswith("550 ")
            assert client.say("DATA") == "503 RCPT first (#5.5.1)"
            assert client.say("RCPT TO:<ann@a.sub.example>") == "250 ok"
            assert client.say(f"RCPT TO:<{place.user}>") == "250 ok"  # an address of this host
        with port.smtp() as client:
            assert client.mail("liar@far.example", place.address)[:7] == "250 ok "
        port.wait_for(r"end [\d.]+ status 0$|end [\d.]+ status 256$")
        lines = [line for line in port.log().splitlines() if line.startswith("qmail-smtpd: refused ")]
    assert lines[0] == (
        f"qmail-smtpd: refused {HERE} rule=rcpthosts helo=far.example from=<liar@far.example> "
        f'to=<ann@other.example> reply="{NOT_HERE}"'
    )
    assert [re.findall(r"rule=(\S+)", line)[0] for line in lines] == [*["rcpthosts"] * 3, "recipient"]
    assert len(place.mail()) == 1
    assert " to remote " not in place.log.text()
    place.stop()


@BOTH
@pytest.mark.parametrize("place", [ROOMS[0]], indirect=True)
def test_a_host_that_a_rule_denies_is_not_even_greeted(place: Place, kind: str) -> None:
    rules = make_rules(place, "127.0.0.66:deny\n:allow\n")
    with serving(place, kind, free_port(), rules=rules) as port:
        with Client(port.address, port.number, "127.0.0.66") as client:
            assert client.line() == ""
        with port.smtp() as client:
            assert client.quit() == f"221 {place.domain}"
        port.wait_for(r": deny [\d.]+ ")
