"""PIC/local2virt.md: mail to a domain that somebody on this machine takes care of (control/virtualdomains)."""

import re
import signal

from tests.places import Place
from tests.support import free_port, wait_for

SAYS = '|echo "$RECIPIENT default=$DEFAULT"\n'


def domains(place: Place, *lines: str) -> None:
    """control/virtualdomains; in its lines USER is the user.  What is remote is deferred: nobody is at the relay."""
    place.control("virtualdomains", "".join(line.replace("USER", place.user) + "\n" for line in lines))
    place.control("smtproutes", f":127.0.0.1:{free_port()}\n")


def started(place: Place, after: int = 0) -> list[tuple[str, str]]:
    """Channel and address of every delivery."""
    return [(line.channel, line.recipient) for line in place.log.lines[after:] if line.kind == "starting"]


def test_local2virt(place: Place) -> None:
    domains(place, "shop.example:USER-shop", "club.example:alias-club")
    place.user_file(".qmail-shop-default", "./Maildir/\n")
    place.alias_file(".qmail-club-default", f"&{place.address}\n")
    place.start()

    # to a user: the prefix and a dash before the address, and his default file
    place.send("Info@Shop.Example", "Subject: order\n\nOne.\n")
    place.log.ends(1)
    rewritten = f"{place.user}-shop-Info@Shop.Example"
    assert started(place) == [("local", rewritten)]
    assert place.log.wait("delivery").report == "did_1+0+0/"
    (message,) = place.mail()
    header = message.partition(b"\n\n")[0].split(b"\n")
    assert header[:2] == [
        b"Return-Path: <%s>" % place.address.encode(),
        b"Delivered-To: %s" % rewritten.encode(),
    ]
    assert b"\nTo:" not in message, "the header is nobody's business"

    # to alias: its files stand for a whole domain; what it forwards is a message of its own
    after = place.log.count()
    place.send("members@club.example", "Subject: news\n\nTwo.\n")
    place.log.ends(2, after=after)
    assert started(place, after) == [("local", "alias-club-members@club.example"), ("local", place.address)]
    second = [line for line in place.log.lines[after:] if line.kind == "info"][1]
    assert int(second.uid) == place.uid_of("alias")
    forwarded = place.mail(2)[-1]
    assert re.findall(rb"^Delivered-To: (.*)$", forwarded, re.MULTILINE) == [
        place.address.encode(),
        b"alias-club-members@club.example",
    ]
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
    assert place.log.strangers() == []


def test_every_form_of_a_line(place: Place) -> None:
    """One address, a domain, what is below it, an exception, all the rest; locals before all of them."""
    domains(
        place,
        "boss@corp.example:USER-boss",
        "corp.example:USER-corp",
        ".corp.example:USER-sub",
        "mail.corp.example:",
        "mx.example.org:USER-never",
        ":USER-all",
    )
    place.control("percenthack", "mx.example.org\n")
    place.control("envnoathost", "corp.example\n")
    for name in ("boss", "corp", "sub", "all", "never"):
        place.user_file(f".qmail-{name}-default", SAYS)
    place.start()
    user = place.user
    for recipient, channel, stored in (
        ("BOSS@Corp.Example", "local", f"{user}-boss-BOSS@Corp.Example"),
        ("clerk@corp.example", "local", f"{user}-corp-clerk@corp.example"),
        ("clerk@a.corp.example", "local", f"{user}-sub-clerk@a.corp.example"),
        ("clerk@b.a.corp.example", "local", f"{user}-sub-clerk@b.a.corp.example"),
        ("clerk@mail.corp.example", "remote", "clerk@mail.corp.example"),
        ("clerk@elsewhere.example", "local", f"{user}-all-clerk@elsewhere.example"),
        (f"{user}-never-x@mx.example.org", "local", f"{user}-never-x@mx.example.org"),
        ("clerk%corp.example@mx.example.org", "local", f"{user}-corp-clerk@corp.example"),
    ):
        after = place.log.count()
        place.send(recipient)
        delivery = place.log.wait("delivery", after=after)
        assert started(place, after) == [(channel, stored)], recipient
        assert delivery.outcome == ("success" if channel == "local" else "deferral"), delivery

    # a recipient without a host, from a program that talks to qmail-queue itself
    after = place.log.count()
    queue = place.program("qmail-queue")
    words = r"printf 'Fme@mx.example.org\0Tclerk\0\0' | { exec 3<&0; printf 'x\n' | " + queue + " 1<&3; }"
    assert place.run("/bin/sh", "-c", words).code == 0
    place.log.wait("delivery", after=after)
    assert started(place, after) == [("local", f"{user}-corp-clerk@corp.example")]
    place.stop()


def test_a_bounce_names_the_address_that_was_written_to(place: Place) -> None:
    domains(place, "shop.example:USER-shop")
    place.start()
    place.send("nobody@shop.example")
    place.log.ends(2)
    assert place.log.wait("delivery", outcome="failure").report == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    assert b"\n<nobody@shop.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in place.mail()[0]
    place.stop()


def test_hup_rereads_locals_and_virtualdomains(place: Place) -> None:
    domains(place)
    place.user_file(".qmail-new-default", SAYS)
    place.alias_file(".qmail-clerk", SAYS)
    place.start()
    assert place.daemons is not None
    for name, content, expected in (
        ("virtualdomains", f"moved.example:{place.user}-new\n", f"{place.user}-new-clerk@moved.example"),
        ("locals", "mx.example.org\nmoved.example\n", "clerk@moved.example"),  # locals beats virtualdomains
    ):
        place.control(name, content)
        place.daemons.send_signal(signal.SIGHUP)

        def arrives(expected: str = expected) -> bool:
            """A HUP is not answered: mail shows that it was heard."""
            after = place.log.count()
            place.send("clerk@moved.example")
            place.log.wait("delivery", after=after)
            return ("local", expected) in started(place, after)

        wait_for(arrives, f"the new control/{name}")
    place.stop()
