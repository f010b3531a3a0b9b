"""PIC/alias2rem.md: mail to an alias, a user, or a name of /etc/aliases that is somebody elsewhere."""

import os

from tests.places import Place
from tests.support import wait_for, write
from tests.world import FAR, WAYS, plain, received, reports, world

SENDER = "eve@other.example"


@WAYS
def test_alias2rem(place: Place, tmp_path: object) -> None:
    place.alias_file(".qmail-help", "&ann@far.example\n")
    place.alias_file(".qmail-list", "&bob@far.example\n")
    place.alias_file(".qmail-list-owner", "#\n")
    place.alias_file(".qmail-default", "|qmail-aliases\n")
    place.user_file(".qmail", "./Maildir/\n&carl@far.example\n")
    os.utime(write("/etc/aliases", "office: dora@far.example\n"), (1, 1))
    assert place.run("newaliases", uid=0).code == 0
    place.start()
    with world(tmp_path) as sink:
        for name in ("help", "list", place.user, "office"):
            place.send(f"{name}@{place.domain}", sender=SENDER)
        place.log.ends(8)
        texts = [plain(text) for text in sink.mail(4)]

    for recipient, name, uid, sender in (
        ("ann", "help", place.uid_of("alias"), SENDER),
        ("bob", "list", place.uid_of("alias"), f"list-owner@{place.domain}"),  # who keeps the list hears of failures
        ("carl", place.user, place.uid, SENDER),
        ("dora", "office", place.uid_of("alias"), SENDER),
    ):
        (text,) = [text for text in texts if f"X-Rcpt-Args: <{recipient}@far.example>" in text]
        assert f"X-Mail-Args: <{sender}>" in text
        assert f"\nDelivered-To: {name}@{place.domain}\n" in text
        assert text.count("\nDelivered-To: ") == 1
        hops = received(text)[1:]
        assert (" invoked by alias); " if uid != place.uid else f" invoked by uid {uid}); ") in hops[0]
        assert f" invoked by uid {place.uid}); " in hops[1]
        info = next(line for line in place.log.lines if line.kind == "info" and f"(qmail {line.qp} " in hops[0])
        assert (info.sender, int(info.uid)) == (sender, uid)
        assert reports(place.log)[f"{recipient}@far.example"].report.startswith(f"{FAR}_accepted_message./")
    (kept,) = place.mail()
    assert kept.startswith(f"Return-Path: <{SENDER}>\nDelivered-To: {place.address}\n".encode())
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


@WAYS
def test_an_alias_that_nobody_takes_comes_back_to_the_sender(place: Place, tmp_path: object) -> None:
    """Under the address that was forwarded to; the sender sees in the copy whose mail it was."""
    place.alias_file(".qmail-help", "&ann@nowhere.example\n")
    place.start()
    with world(tmp_path, {"example": "far IN A 198.51.100.25\n"}):
        place.send("help", sender=place.address)
        (text,) = place.mail()
    assert b"\n<ann@nowhere.example>:\nSorry, I couldn't find any host named nowhere.example. (#5.1.2)\n" in text
    assert f"\nDelivered-To: help@{place.domain}\n".encode() in text
    place.stop()
