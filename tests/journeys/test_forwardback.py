"""PIC/forwardback.md: mail to a user who forwards everything to the very one who sent it, on another machine."""

import contextlib
import os
from collections.abc import Iterator

from tests.far_machine import USER, ZONE, Far, far_machine
from tests.neighbours import dns_server
from tests.places import Place
from tests.reception_support import LISTENER, serving
from tests.support import NOBODY, wait_for, write
from tests.world import WAYS

BOSS = "nobody-boss@far.example"
LOOPING = "This_message_is_looping:_it_already_has_my_Delivered-To_line._(#5.4.6)/"


@contextlib.contextmanager
def two_machines(place: Place, folder: object) -> Iterator[Far]:
    """Each finds the other, and takes mail from it."""
    with (
        far_machine(str(folder)) as far,
        dns_server(f"{folder}/dns", {"far.example": ZONE}),
        serving(place, LISTENER, 25, address="0.0.0.0"),
    ):
        place.start()
        yield far
        place.stop()


def user_file(far: Far, name: str, content: str) -> None:
    os.chown(write(f"{far.home}/home/{name}", content), NOBODY, NOBODY)


@WAYS
def test_forwardback(place: Place, tmp_path: object) -> None:
    place.user_file(".qmail", f"&{USER}\n")
    with two_machines(place, tmp_path) as far:
        far.send(place.address, "Subject: to and fro\n\nHello.\n")
        (text,) = far.mail()
        place.log.ends(2)
        far.log.ends(2)
        wait_for(place.queue_is_empty, "an empty queue")
    head = text.partition("\n\n")[0].split("\n")
    assert head[:2] == [f"Return-Path: <{USER}>", f"Delivered-To: {USER}"]  # he is the sender still
    assert [line for line in head if line.startswith("Delivered-To: ")][1:] == [f"Delivered-To: {place.address}"]
    assert "Subject: to and fro" in head
    assert len(far.mail()) == 1
    assert [line.kind for line in place.log.lines].count("bounce") == 0


@WAYS
def test_two_who_forward_to_each_other_stop_at_the_second_visit(place: Place, tmp_path: object) -> None:
    """The sender, somebody else, hears of it; what is said names the one who has seen it twice."""
    place.user_file(".qmail", f"&{USER}\n")
    with two_machines(place, tmp_path) as far:
        user_file(far, ".qmail", f"&{place.address}\n")
        user_file(far, ".qmail-boss", "./Maildir/\n")
        assert far.run("sendmail", "-f", BOSS, place.address, stdin=b"Subject: round\n\nHello.\n").returncode == 0
        (text,) = far.mail()
        assert place.log.wait("delivery", outcome="failure").report == LOOPING
        place.log.ends(3)  # it, forwarded, and come back; its bounce is the fourth
        wait_for(place.queue_is_empty, "an empty queue")
    assert f"\n<{place.address}>:\n{LOOPING[:-1].replace('_', ' ')}\n" in text
    assert f"\nTo: {BOSS}\n" in text
    copy = text.partition("--- Below this line is a copy of the message.")[2]
    assert [line for line in copy.split("\n") if line.startswith("Delivered-To: ")] == [
        f"Delivered-To: {USER}",
        f"Delivered-To: {place.address}",
    ]


@WAYS
def test_a_sender_who_sends_everything_back_ends_it_too(place: Place, tmp_path: object) -> None:
    """The bounce goes round as well, once; then it is a double bounce, and somebody's postmaster reads it."""
    place.user_file(".qmail", f"&{USER}\n")
    with two_machines(place, tmp_path) as far:
        user_file(far, ".qmail", f"&{place.address}\n")
        write(f"{far.home}/alias/.qmail-postmaster", f"{far.home}/home/Maildir/\n")
        far.send(place.address, "Subject: round\n\nHello.\n")
        (text,) = far.mail()
        place.log.ends(6)
        wait_for(place.queue_is_empty, "an empty queue")
    assert text.startswith("Return-Path: <#@[]>\n")
    assert "I tried to deliver a bounce message to this address, but the bounce bounced!" in text
    assert f"\n<{USER}>:\n{LOOPING[:-1].replace('_', ' ')}\n" in text  # the bounce came to him a second time
    assert f"\n<{place.address}>:\n{LOOPING[:-1].replace('_', ' ')}\n" in text  # and that is what it said
    assert [line.kind for line in place.log.lines].count("new") == 6  # the mail in, out, in; the bounce out, in, out
