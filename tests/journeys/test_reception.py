"""R1 to R5: the checks of qmail's own TEST.receive (spec/09-log-and-tests.md 2); R6: ours. INSTALL has them by hand."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.far_machine import ADDRESS, USER, ZONE, Far, far_machine
from tests.neighbours import dns_server, needs
from tests.places import ROOMS, Place, make_maildir
from tests.reception_support import BOTH, LISTENER, Client, Port, serving
from tests.support import give, read, wait_for, wait_for_files

pytestmark = [pytest.mark.root, pytest.mark.parametrize("place", [ROOMS[2]], indirect=True)]


@contextlib.contextmanager
def receiving(place: Place, kind: str, folder: str) -> Iterator[tuple[Port, Far]]:
    """This machine takes mail on port 25, and there is another one."""
    needs("knotd", "mail", "ip", "setpriv")
    place.alias_file(".qmail-postmaster", "")
    make_maildir(f"{place.home}/alias/Maildir")
    give(f"{place.home}/alias/Maildir", place.uid_of("alias"), 0)
    os.unlink("/usr/sbin/sendmail")
    os.symlink(place.program("sendmail"), "/usr/sbin/sendmail")
    with (
        far_machine(folder) as far,
        dns_server(f"{folder}/dns", {"far.example": ZONE}),
        serving(place, kind, 25, address="0.0.0.0") as port,
    ):
        place.start()
        yield port, far
        place.stop()


@BOTH
def test_reception(place: Place, kind: str, tmp_path: object) -> None:
    with receiving(place, kind, str(tmp_path)) as (port, far):
        r1_smtp_by_hand(place)
        r2_mail_from_another_machine(place, far)
        r3_an_address_that_nobody_has(place, far, port, kind)
        r4_a_mail_program(place, far)
        r5_postmaster_in_any_case(place, far)
        r6_no_open_relay(place, far)


def r1_smtp_by_hand(place: Place) -> None:
    with Client("127.0.0.1", 25) as client:
        assert client.line() == f"220 {place.domain} ESMTP"
        assert client.say("helo dude") == f"250 {place.domain}"
        assert client.say(f"mail <{place.address}>") == "250 ok"
        assert client.say(f"rcpt <{place.address}>") == "250 ok"
        assert client.say("data") == "354 go ahead"
        client.socket.sendall(b"Subject: testing\r\n\r\nThis is a test.\r\n")
        assert re.fullmatch(r"250 ok \d{10} qp \d+", client.say("."))
        assert client.quit() == f"221 {place.domain}"
    assert b"\nSubject: testing\n\nThis is a test.\n" in place.mail(1)[0]


def r2_mail_from_another_machine(place: Place, far: Far) -> None:
    far.send(place.address)
    text = place.mail(2)[1].decode()
    assert f"Return-Path: <{USER}>" in text
    assert f"\nReceived: from unknown (HELO far.example) ({ADDRESS})\n  by {place.domain} with SMTP; " in text


def r3_an_address_that_nobody_has(place: Place, far: Far, port: Port, kind: str) -> None:
    """The other machine's mail system hears it and tells its user; or, as qmail always did, we take it and bounce."""
    nobody = f"nonexistent@{place.domain}"
    far.send(nobody)
    bounce = far.mail(1)[0]
    assert "\nHi. This is the qmail-send program at far.example.\n" in bounce
    assert (
        f"\n<{nobody}>:\n203.0.113.1 does not like recipient.\nRemote host said: 550 sorry, no mailbox here" in bounce
    )
    port.wait_for(rf"^qmail-smtpd: refused {re.escape(ADDRESS)} rule=recipient .* to=<{re.escape(nobody)}> ")

    place.control("recipientcheck", "0\n")
    if kind == LISTENER:
        port.tell(signal.SIGHUP)
    far.send(nobody)
    bounce = far.mail(2)[1]
    assert f"\nHi. This is the qmail-send program at {place.domain}.\n" in bounce
    assert f"\n<{nobody}>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in bounce
    place.log.wait("bounce")


def r4_a_mail_program(place: Place, far: Far) -> None:
    for recipient in (place.user, USER):
        done = place.run("/usr/bin/mail", "-s", "by a mail program", recipient, stdin=b"Hello.\n")
        assert (done.code, done.errors) == (0, b"")
    assert b"\nSubject: by a mail program\n" in place.mail(3)[2]
    text = far.mail(3)[2]
    assert f"Return-Path: <{place.address}>\n" in text
    assert "\nSubject: by a mail program\n" in text


def r5_postmaster_in_any_case(place: Place, far: Far) -> None:
    far.send(f"PoStMaStEr@{place.domain}", "Subject: postmaster\n\nHello.\n")
    (path,) = wait_for_files(f"{place.home}/alias/Maildir/new")
    assert b"\nSubject: postmaster\n" in read(path)
    wait_for(place.queue_is_empty, "an empty queue")


def r6_no_open_relay(place: Place, far: Far) -> None:
    """The other machine sends everything to us."""
    far.send("somebody@elsewhere.example")
    bounce = far.mail(4)[3]
    assert "\nRemote host said: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\n" in bounce
    assert place.queue_is_empty()
