"""PIC/outsiderefused.md: a machine whose mail stays at home: `:error:text` refuses all that would leave."""

from tests.logs import in_order
from tests.places import Place
from tests.support import wait_for
from tests.world import WAYS, world

TEXT = "outside mail is not deliverable"


@WAYS
def test_outsiderefused(place: Place, tmp_path: object) -> None:
    """But for one friend, who has a line of his own: an empty one means by MX."""
    place.control("smtproutes", f":error:{TEXT}\nother.example:\n")
    place.start()
    with world(tmp_path, {"other.example": "@ IN A 198.51.100.25\n", "far.example": "@ IN A 198.51.100.25\n"}) as sink:
        done = place.run(
            *("sendmail", "ann@far.example", "bob@other.example", place.address), stdin=b"Subject: all\n\nHello.\n"
        )
        assert done.code == 0
        bounce, kept = sorted(place.mail(2), key=lambda text: b"\nSubject: all" in text.partition(b"\n\n")[0])
        place.log.ends(2)
        (sent,) = sink.mail()
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()

    in_order(place.log, r"delivery \d+: failure: outside_mail_is_not_deliverable/", r"bounce msg \d+ qp \d+")
    assert f"\n\n<ann@far.example>:\n{TEXT}\n\n--- Below this line".encode() in bounce
    assert b"bob@other.example>:" not in bounce
    assert kept.startswith(f"Return-Path: <{place.address}>\nDelivered-To: {place.address}\n".encode())
    assert b"X-Rcpt-Args: <bob@other.example>" in sent


@WAYS
def test_nobody_is_asked_about_a_host_that_is_refused(place: Place) -> None:
    """There is no DNS here at all: who asked it would have to wait."""
    place.control("smtproutes", f".example:error:{TEXT}\n")
    place.start()
    place.send("ann@far.example")
    assert place.log.wait("delivery").text == f"delivery 1: failure: {TEXT.replace(' ', '_')}/"
    place.mail()
    place.stop()
