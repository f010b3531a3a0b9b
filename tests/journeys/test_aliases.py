"""A host that comes from Postfix or sendmail: /etc/aliases by one line, ~/.forward by another, owners, explained."""

import json
import os
import re

from tests.places import Place
from tests.support import give, read, wait_for, write

DEFAULT = "|qmail-aliases -p\n|qmail-dotforward .forward\n./Maildir/"


def aliases(place: Place, text: str) -> str:
    """The host's file of aliases, old enough to be believed."""
    path = write(f"{place.home}/alias/aliases" if place.embedded else "/etc/aliases", text)
    os.utime(path, (1, 1))
    if place.embedded and os.geteuid() == 0:
        os.chown(path, place.uid, place.gid)
    return path


def root_of(place: Place) -> int:
    return place.uid if place.embedded else 0


def test_etc_aliases_by_one_line(place: Place) -> None:
    box = f"{place.home}/alias/box"
    aliases(place, f"webmaster: office\noffice: {place.user}, {box}\nlist: {place.user}\nowner-list: office\n")
    place.alias_file(".qmail-default", "|qmail-aliases\n")
    assert place.run("newaliases", uid=root_of(place)).code == 0
    place.start()
    place.send("Webmaster", sender="a@b.org")
    place.log.ends(2)
    _, second = [line for line in place.log.lines if line.kind == "info"]
    assert int(second.uid) == place.uid_of("alias")
    report = place.log.wait("delivery", delivery="1").report
    assert report == f"qmail-aliases:_did_1+1+0_qp_{second.qp}/did_0+0+1/"
    assert b"\nDelivered-To: Webmaster@mx.example.org\n" in read(box)
    assert os.stat(box).st_uid == place.uid_of("alias")
    assert b"\nDelivered-To: Webmaster@mx.example.org\n" in place.mail()[0]

    place.send("list", sender="a@b.org")
    assert place.mail(2)[1].startswith(b"Return-Path: <owner-list@mx.example.org>\n")
    place.log.ends(4)

    place.send("who", sender=place.address)
    assert place.log.wait("delivery", outcome="failure").report == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    place.log.ends(6)
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


def test_the_default_delivery_asks_both_files_first(place: Place) -> None:
    """An alias may have a user's name, as with other systems; what the backslash keeps comes to his mailbox."""
    aliases(place, f"{place.user}: \\{place.user}, team\nteam: |cat > team\n")
    place.alias_file(".qmail-default", "|qmail-aliases\n")
    place.alias_file(".qmail-copy", "./copy\n")
    place.user_file(".forward", f"{place.user}, copy\n")
    place.start(DEFAULT)
    place.send(place.user)
    place.log.ends(2)
    assert b"\nDelivered-To: %s\n" % place.address.encode() in place.mail()[0]
    assert b"\nDelivered-To: %s\n" % place.address.encode() in read(f"{place.user_home}/team")
    assert b"\nDelivered-To: copy@mx.example.org\n" in read(f"{place.home}/alias/copy")
    place.stop()


def test_what_is_explained_is_what_happens(place: Place) -> None:
    """Every address that gets a delivery is in the explanation, and no other; and so are the mailboxes."""
    aliases(
        place, f"all: {place.user}, far@remote.example, inner\ninner: {place.user}-list, all\n*: {place.user}-Any.X\n"
    )
    place.alias_file(".qmail-default", "|qmail-aliases\n")
    place.alias_file(".qmail-virt-default", f"&{place.user}\n&v@remote.example\n")
    place.user_file(".qmail-list", "./Box\n&other@remote.example\n")
    place.user_file(".qmail-list-owner", "#\n")
    place.user_file(".qmail-default", "./Else\n")
    place.control("virtualdomains", "virt.example:alias-virt\n.virt.example:\n")
    place.control("percenthack", "hack.example\n")
    delivery = "|qmail-dotforward .forward\n./Maildir/"
    if not place.embedded:
        give(place.user_home, place.uid, place.gid)
    recipients = ["all", "x@virt.example", "x@y.virt.example", f"{place.user}%mx.example.org@hack.example", "unknown"]
    place.start(delivery)
    told = place.run("qmail-explain", "--json", "--no-dns", "-d", delivery, *recipients, uid=root_of(place))
    assert told.code == 0, told.output + told.errors
    for recipient, line in zip(recipients, told.output.splitlines(), strict=True):
        steps = json.loads(line)["steps"]
        expected = {step["text"] for step in steps if step["kind"] == "user"}
        assert expected or any(step["kind"] == "remote" for step in steps)
        before = len(place.log.lines)
        place.send(recipient, sender="a@b.org")
        ends = addresses(steps, recipient)

        def started(before: int = before) -> set[str]:
            """Of the message and what is forwarded of it; not of a bounce."""
            found: set[str] = set()
            bounces: set[str] = set()
            for each in place.log.lines[before:]:
                if each.kind == "info":
                    (bounces.discard if each.sender.strip("#@[]") else bounces.add)(each.msg)
                elif each.kind == "starting" and each.msg not in bounces:
                    found.add(each.recipient)
            return found

        wait_for(lambda: started() >= ends, lambda: f"deliveries to {ends - started()}")  # noqa: B023 - at once
        assert started() == ends
    place.close()


def addresses(steps: list[dict[str, str]], recipient: str) -> set[str]:
    """Every address, as it stands in the log, that an explanation says gets the message."""
    found: set[str] = set()
    current = recipient
    for step in [*steps, {"kind": "to", "text": ""}]:
        if step["kind"] == "to":
            found.add(current)
            current = step["text"]
        elif became := re.match(r"(?:it becomes |.* is completed to )(.*)$", step["text"]):
            current = became.group(1)
    return {address if "@" in address else f"{address}@mx.example.org" for address in found}
