"""PIC/local2ext.md: mail to a user with an extension: his own files decide, the most special one first."""

import re

from tests.places import Place
from tests.support import wait_for

SAYS = '|echo "$1 ext=$EXT ext2=$EXT2 ext3=$EXT3 default=${DEFAULT-unset} local=$LOCAL"'


def says(place: Place, name: str) -> None:
    """A .qmail file of the user's that tells which one it is and what it was told, and keeps nothing."""
    place.user_file(name, SAYS.replace("$1", name) + "\n")


def test_local2ext(place: Place) -> None:
    place.user_file(".qmail-shop", f"./Maildir/\n&{place.user}-list-Sales.Dept@mx.example.org\n")
    says(place, ".qmail-list-default")
    says(place, ".qmail-default")
    place.start()
    place.send(f"{place.user}-SHOP", "Subject: order\n\nOne.\n")
    place.log.ends(2)

    # qmail-send knows nothing of extensions: the address as it was written
    started = [line for line in place.log.lines if line.kind == "starting"]
    assert [line.recipient for line in started] == [
        f"{place.user}-SHOP@mx.example.org",
        f"{place.user}-list-Sales.Dept@mx.example.org",
    ]

    # the file of this very extension, in lower case: a Maildir and a forward, which is a message of its own
    second = [line for line in place.log.lines if line.kind == "info"][1]
    first_delivery = place.log.wait("delivery", delivery="1")
    assert (first_delivery.outcome, first_delivery.report) == ("success", f"did_1+1+0/qp_{second.qp}/")
    (message,) = place.mail()
    header = message.partition(b"\n\n")[0].split(b"\n")
    assert header[0] == b"Return-Path: <%s>" % place.address.encode()
    assert header[1] == b"Delivered-To: %s-SHOP@mx.example.org" % place.user.encode()

    # no file for list-sales:dept: the default file of list, with what is left over in its own letters
    report = place.log.wait("delivery", delivery="2").report
    assert report == (
        ".qmail-list-default_ext=list-Sales.Dept_ext2=Sales.Dept_ext3=_default=Sales.Dept"
        f"_local={place.user}-list-Sales.Dept/did_0+0+1/"
    )
    assert int(second.uid) == place.uid
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
    assert place.log.strangers() == []


def test_the_most_special_file_decides(place: Place) -> None:
    for name in (".qmail-list-foo", ".qmail-list-default", ".qmail-default", ".qmail-a:b"):
        says(place, name)
    place.start()
    for extension, file, default in (
        ("list-foo", ".qmail-list-foo", "unset"),
        ("LIST-Foo", ".qmail-list-foo", "unset"),
        ("list-foo-bar", ".qmail-list-default", "foo-bar"),
        ("list-", ".qmail-list-default", ""),
        ("list", ".qmail-default", "list"),
        ("lists-foo", ".qmail-default", "lists-foo"),
        ("a.b", ".qmail-a:b", "unset"),
        ("list-default", ".qmail-list-default", "default"),
        ("", ".qmail-default", ""),
    ):
        after = place.log.count()
        place.send(f"{place.user}-{extension}")
        place.log.ends(1, after=after)
        report = place.log.wait("delivery", after=after).report
        assert report.startswith(f"{file}_ext={extension}_"), report
        assert re.search(rf"_default={re.escape(default)}_local=", report), report
    place.stop()


def test_an_extension_without_a_file_comes_back(place: Place) -> None:
    says(place, ".qmail-list")
    place.start()
    place.send(f"{place.user}-lost")
    place.log.ends(2)
    assert place.log.wait("delivery", outcome="failure").report == "Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/"
    (message,) = place.mail()
    assert b"\n<%s-lost@mx.example.org>:\n" % place.user.encode() in message
    place.stop()


def test_no_extension_leads_out_of_the_home(place: Place) -> None:
    place.user_file("secret", "./Maildir/\n")
    says(place, ".qmail-default")
    place.start()
    for extension in ("/../secret", "../secret", "..", "/etc/passwd", "x/../../secret"):
        after = place.log.count()
        place.send(f"{place.user}-{extension}@mx.example.org")
        place.log.ends(1, after=after)
        report = place.log.wait("delivery", after=after).report
        assert report.startswith(f".qmail-default_ext={extension}_"), report
    place.stop()
