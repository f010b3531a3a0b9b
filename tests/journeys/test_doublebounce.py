"""PIC/doublebounce.md: a bounce that nobody takes is told to the one who keeps this machine."""

from tests.neighbours import smtp_sink
from tests.places import Place
from tests.support import wait_for
from tests.world import OTHER, REFUSES, WAYS, world

GHOST = "ghost@other.example"


@WAYS
def test_doublebounce(place: Place, tmp_path: object) -> None:
    place.control("doublebounceto", "joe\n")
    place.start()
    with world(tmp_path, None, *REFUSES), smtp_sink(f"{tmp_path}/other", OTHER, 25, *REFUSES):
        place.send("ann@far.example", "Subject: for nobody\n\nHello.\n", sender=GHOST)
        (text,) = place.mail()
        place.log.ends(3)
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()

    senders = [line.sender for line in place.log.lines if line.kind == "info"]
    assert senders == [GHOST, "", "#@[]"]
    started = [(line.channel, line.recipient) for line in place.log.lines if line.kind == "starting"]
    assert started == [("remote", "ann@far.example"), ("remote", GHOST), ("local", place.address)]
    assert [line.kind for line in place.log.lines].count("bounce") == 2
    header, body = (part.decode() for part in text.split(b"\n\n", 1))
    assert header.startswith(f"Return-Path: <#@[]>\nDelivered-To: {place.address}\n")
    opening, failed, line, bounce = body.split("\n\n", 3)
    assert opening.endswith("\nI tried to deliver a bounce message to this address, but the bounce bounced!")
    assert failed.startswith(f"<{GHOST}>:\n{OTHER} does not like recipient.\nRemote host said: 550 5.1.1 ")
    assert line == "--- Below this line is the original bounce."
    assert bounce.startswith("Return-Path: <>\n")
    assert "\n<ann@far.example>:\n198.51.100.25 does not like recipient.\n" in bounce  # and all that it said
    assert bounce.endswith("\nSubject: for nobody\n\nHello.\n")
