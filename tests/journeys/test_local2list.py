"""PIC/local2list.md: a mailing list of one file, with an owner, and a sender for each member (VERP)."""

import re

from tests.places import Place
from tests.support import wait_for

KEEP = '|cat > "$PWD/bounce-$DEFAULT"; echo "$SENDER"\n'


def make_list(place: Place, *members: str) -> None:
    """USER-friends@: its members, and where their bounces come to."""
    place.user_file(".qmail-friends", "# friends\n" + "".join(f"&{member}\n" for member in members))
    place.user_file(".qmail-friends-owner", "./Maildir/\n")
    place.user_file(".qmail-friends-owner-default", KEEP)
    for name in ("ann", "bob"):
        place.user_file(f".qmail-{name}", f'|echo "$SENDER"; cat > {name}\n')


def test_local2list(place: Place) -> None:
    user = place.user
    ann, bob = f"{user}-ann@mx.example.org", f"{user}-bob@mx.example.org"
    make_list(place, ann, bob, "gone@mx.example.org")
    place.start()
    place.send(f"{user}-Friends", "Subject: party\n\nSaturday.\n")
    place.log.ends(3)

    # one message becomes one more, for all members; its sender is the list's owner, with the mark of VERP
    first, second, third = [line for line in place.log.lines if line.kind == "info"]
    assert first.sender == place.address
    assert second.sender == f"{user}-Friends-owner-@mx.example.org-@[]"
    assert place.log.wait("delivery", delivery="1").report == f"did_0+3+0/qp_{second.qp}/"
    assert place.log.of(second.msg), "it has a number of its own"

    # each member is told another sender, which names him
    reports = {
        line.recipient: place.log.wait("delivery", delivery=line.delivery)
        for line in place.log.lines
        if line.kind == "starting" and line.msg == second.msg
    }
    for member in (ann, bob):
        expected = f"{user}-Friends-owner-{member.replace('@', '=')}@mx.example.org"
        assert reports[member].report == f"{expected}/did_0+0+1/"
    assert reports["gone@mx.example.org"].outcome == "failure"

    # what fails here comes back to the owner without a name: the base of the sender
    assert third.sender == ""
    texts = [line.text for line in place.log.lines]
    returned = next(line for line in place.log.lines[texts.index(third.text) :] if line.kind == "starting")
    assert returned.recipient == f"{user}-Friends-owner-@mx.example.org"
    with open(f"{place.user_home}/bounce-", "rb") as file:
        assert b"\n<gone@mx.example.org>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in file.read()

    # members see who wrote, and that it came through the list
    with open(f"{place.user_home}/ann", "rb") as file:
        text = file.read()
    assert b"\nDelivered-To: %s-Friends@mx.example.org\n" % user.encode() in b"\n" + text
    assert b"\nSubject: party\n" in text
    assert text.endswith(b"\n\nSaturday.\n")
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
    assert place.log.strangers() == []


def test_a_bounce_from_far_away_says_in_its_address_whose_it_is(place: Place) -> None:
    make_list(place, "ann@far.example")
    place.start()
    place.send(f"{place.user}-friends-owner-Ann=far.example@mx.example.org", "Subject: failure notice\n\n", "<>")
    place.log.ends(1)
    assert place.log.wait("delivery").outcome == "success"
    with open(f"{place.user_home}/bounce-Ann=far.example", "rb") as file:
        assert b"Subject: failure notice\n" in file.read()
    place.stop()


def test_two_files_decide_who_the_sender_is(place: Place) -> None:
    place.user_file(".qmail-ann", '|echo "$SENDER"\n')
    place.start()
    for number, (files, expected) in enumerate(
        (
            (("owner", "owner-default"), "USER-list0-owner-USER-ann=mx.example.org@mx.example.org"),
            (("owner",), "USER-list1-owner@mx.example.org"),
            (("owner-default",), "USER@mx.example.org"),  # the owner file is what is looked for first
            ((), "USER@mx.example.org"),
        )
    ):
        place.user_file(f".qmail-list{number}", f"&{place.user}-ann@mx.example.org\n")
        for name in files:
            place.user_file(f".qmail-list{number}-{name}", KEEP)
        after = place.log.count()
        place.send(f"{place.user}-list{number}")
        place.log.ends(2, after=after)
        reports = {line.report for line in place.log.lines[after:] if line.kind == "delivery"}
        assert expected.replace("USER", place.user) + "/did_0+0+1/" in reports
    place.stop()


def test_a_list_of_a_virtual_domain_is_answered_with_the_prefix_twice(place: Place) -> None:
    """As in every qmail: the sender is made of the address with its prefix, and mail to it gets one more."""
    user = place.user
    place.control("virtualdomains", f"club.example:{user}-club\n")
    place.user_file(".qmail-club-news", f"&{user}-ann@mx.example.org\n")
    for name in ("news-owner", "news-owner-default", f"{user}-club-news-owner-default"):
        place.user_file(f".qmail-club-{name}", KEEP)
    place.user_file(".qmail-ann", '|echo "$SENDER"\n')
    place.start()
    place.send("news@club.example")
    place.log.ends(2)
    found = re.fullmatch(r"(.*)/did_0\+0\+1/", place.log.wait("delivery", delivery="2").report)
    assert found is not None
    assert found[1] == f"{user}-club-news-owner-{user}-ann=mx.example.org@club.example"

    # so the file of the bounces has the prefix twice
    after = place.log.count()
    place.send(found[1], "Subject: failure notice\n\n", "<>")
    place.log.ends(1, after=after)
    assert place.log.wait("delivery", after=after).outcome == "success"
    with open(f"{place.user_home}/bounce-{user}-ann=mx.example.org", "rb") as file:
        assert b"Subject: failure notice\n" in file.read()
    place.stop()
