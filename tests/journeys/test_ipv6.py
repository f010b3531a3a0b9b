"""PIC/ipv6.md: mail to hosts that have IPv6 addresses: only such, or both and one is dead, or written as digits."""

import time

from tests.neighbours import smtp_sink
from tests.places import Place
from tests.support import wait_for
from tests.world import DEAD6, FAR, FAR6, OTHER, WAYS, ipv6, reports, world

ZONES = {
    "only6.example": f"@ IN MX 10 mx\nmx IN AAAA {FAR6}\n",
    "both.example": f"@ IN MX 10 mx\nmx IN AAAA {FAR6}\nmx IN A {FAR}\n",
    "host6.example": f"@ IN AAAA {FAR6}\n",
    "relay.example": f"@ IN AAAA {FAR6}\n",
}
RECIPIENTS = (
    "ann@only6.example",  # by its exchanger
    "bob@both.example",  # IPv6 first, as both answer
    "carl@host6.example",  # without an exchanger
    f"dora@[IPv6:{FAR6}]",
    "emil@byname.example",  # by a route
    "fred@bydigits.example",  # by a route with digits
)


@WAYS
def test_ipv6(place: Place, tmp_path: object) -> None:
    ipv6()
    place.control("smtproutes", f"byname.example:relay.example\nbydigits.example:[{FAR6}]:25\n")
    place.start()
    with world(tmp_path, ZONES, address=FAR6) as sink:
        for recipient in RECIPIENTS:
            place.send(recipient)
        place.log.ends(len(RECIPIENTS))
        texts = b"".join(sink.mail(len(RECIPIENTS)))
    assert {
        recipient: line.report.partition("/")[0] for recipient, line in reports(place.log).items()
    } == dict.fromkeys(RECIPIENTS, f"{FAR6}_accepted_message.")
    for recipient in RECIPIENTS:
        assert f"X-Rcpt-Args: <{recipient}>".encode() in texts
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


@WAYS
def test_a_dead_ipv6_address_costs_two_seconds_once(place: Place, tmp_path: object) -> None:
    """And is remembered: after a second time-out nobody waits for it at all."""
    ipv6()
    zones = {"both.example": f"@ IN MX 10 mx\nmx IN AAAA {DEAD6}\nmx IN A {FAR}\n"}
    place.start()
    with world(tmp_path, zones) as sink:
        begun = time.monotonic()
        place.send("ann@both.example")
        place.log.ends(1)
        waited = time.monotonic() - begun
        sink.mail()
    assert 2 <= waited < 30  # it would be a minute
    assert place.log.wait("delivery").report.startswith(f"{FAR}_accepted_message./")
    table = place.run("qmail-tcpto", uid=0).output.decode()
    assert f"{DEAD6} timed out" in table
    assert FAR not in table
    place.stop()


@WAYS
def test_an_exchanger_whose_address_refuses_is_tried_by_its_other_one_at_once(place: Place, tmp_path: object) -> None:
    ipv6()
    zones = {"both.example": f"@ IN MX 10 mx\nmx IN AAAA {FAR6}\nmx IN A {FAR}\nmx IN A {OTHER}\n"}
    place.start()
    with world(tmp_path, zones, address=OTHER), smtp_sink(f"{tmp_path}/six", FAR6, 25, "-f", "CONNECT"):
        place.send("ann@both.example")
        place.log.ends(1)
    assert place.log.wait("delivery").report.startswith(f"{OTHER}_accepted_message./")
    place.stop()
