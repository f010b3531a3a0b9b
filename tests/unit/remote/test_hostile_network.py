"""A peer that goes, by real connections: politely or by a reset, in clear or by TLS, all ways at every step."""

import functools
import socket
import ssl
from collections.abc import Callable

import pytest

from tests.hostile_support import (
    DIED,
    DIED_AFTER_DOT,
    HALF,
    PIPELINING,
    STEPS,
    UNANSWERED,
    UNREAD,
    by_table,
    follow,
    reset,
)
from tests.remote_support import GOOD, Line, Peer, Place
from tests.remote_support import Script as Peers
from tests.tls_support import Authority, Server, starttls

NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"
BY_TLS = b"Sent by TLSv1.3 "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Authority(str(tmp_path_factory.mktemp("authority"))).server("good", "IP:127.0.0.1")


@pytest.fixture
def place(tmp_path: object) -> Place:
    found = Place(str(tmp_path))
    found.control("timeoutremote", "20")
    return found


def going(step: str, what: str, *, offers: bytes, rudely: bool) -> Peers:
    return lambda line: follow(line, by_table({"EHLO": offers}, (step, what)), rudely=rudely)


def going_by_tls(server: Server, step: str, what: str, *, offers: bytes, rudely: bool) -> Peers:
    def after(line: Line) -> None:
        script = by_table({"EHLO": offers}, (step, what))
        act = next(script)
        assert act == ("say", GOOD["greeting"])  # that was before TLS
        follow(line, script, rudely=rudely, first=script.send(b""))

    return starttls(server, after)


def expected(step: str, what: str) -> set[bytes]:
    """The reports that are right.  Who goes before the message comes may be known to have gone before it is sent.

    Who resets the connection at once has never let us in, for all that we know.
    """
    items = b"r\0" if step in ("DATA", "dot") else b""
    if step in STEPS[:2]:
        return {DIED, NO_CONNECTION}
    if step != "dot":
        return {items + DIED}
    return {items + DIED_AFTER_DOT} | ({items + DIED} if what == UNREAD else set())


@pytest.mark.parametrize("by_tls", [False, True], ids=["clear", "TLS"])
@pytest.mark.parametrize("offers", [GOOD["EHLO"], PIPELINING], ids=["one by one", "pipelining"])
@pytest.mark.parametrize("rudely", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("what", [UNREAD, UNANSWERED, HALF])
def test_however_a_peer_goes_the_report_says_what_may_have_happened(
    place: Place, server: Server, what: str, *, rudely: bool, offers: bytes, by_tls: bool
) -> None:
    for step in STEPS[1 if by_tls else 0 :]:
        if by_tls and step == "EHLO":
            continue  # test_hostile_tls
        script = (
            going_by_tls(server, step, what, offers=offers, rudely=rudely)
            if by_tls
            else going(step, what, offers=offers, rudely=rudely)
        )
        with Peer(script) as peer:
            place.control("smtproutes", f":127.0.0.1:{peer.port} tls={'encrypt' if by_tls else 'none'}")
            report = place.deliver()
        assert report in expected(step, what), step
        assert len(peer.heard) == 1


def test_a_thanks_whose_farewell_is_missing_is_still_thanks(place: Place, server: Server) -> None:
    def after(line: Line, *, end: Callable[[Line], None]) -> None:
        for step in ("EHLO", "MAIL", "RCPT", "DATA"):
            line.hear()
            line.say(GOOD[step])
        line.hear_body()
        line.say(GOOD["dot"])
        end(line)

    def gone(line: Line) -> None:
        line.connection.close()

    def rude(line: Line) -> None:
        reset(line.connection)
        line.connection.close()

    def garbage(line: Line) -> None:
        with socket.socket(fileno=line.connection.detach()) as below:
            below.sendall(b"250 no TLS at all\r\n")

    def polite(line: Line) -> None:
        assert isinstance(line.connection, ssl.SSLSocket)
        line.connection.unwrap()

    for end in (gone, garbage, polite, rude):
        with Peer(starttls(server, functools.partial(after, end=end))) as peer:
            place.control("smtproutes", f":127.0.0.1:{peer.port} tls=encrypt")
            report = place.deliver()
        assert report.startswith(b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n" + BY_TLS), end


@pytest.mark.parametrize("said", [b"250 tak", b"250 taken", b"250-taken\r\n"])
def test_half_a_thanks_in_clear_or_behind_tls_is_none(place: Place, server: Server, said: bytes) -> None:
    def after(line: Line) -> None:
        for step in ("EHLO", "MAIL", "RCPT", "DATA"):
            line.hear()
            line.say(GOOD[step])
        line.hear_body()
        line.say(said)
        with socket.socket(fileno=line.connection.detach()) as below:  # no farewell; the rest comes in clear
            below.sendall(b"\r\n250 taken\r\n")

    with Peer(starttls(server, after)) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} tls=encrypt")
        assert place.deliver() == b"r\0" + DIED_AFTER_DOT
