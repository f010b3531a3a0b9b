"""PIC/local2rem.md: mail to another host: by its mail exchangers, or by a route in smtproutes."""

import os
import re

import pytest

from tests import provider
from tests.logs import in_order
from tests.neighbours import dns_server, smtp_sink
from tests.places import ROOMS, Place
from tests.support import free_port, wait_for
from tests.tls_support import Authority
from tests.world import reports

CLASSIC = [room for room in ROOMS if str(room.id).startswith("classic")]


def test_local2rem(place: Place, tmp_path: object) -> None:
    """By a route, so that an ordinary user can take this journey too: no DNS server of his own is asked."""
    port = free_port()
    place.control("smtproutes", f"far.example:127.0.0.1:{port}\n")
    place.start()
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port) as sink:
        place.send("liar@far.example", "Subject: far\n\n.\n..\nlast line without an end")
        place.log.ends(1)
        (far,) = sink.mail()

    in_order(
        place.log,
        r"starting delivery 1: msg \d+ to remote liar@far\.example",
        r"status: local 0/10 remote 1/20",
        r"delivery 1: success: 127\.0\.0\.1_accepted_message\./Remote_host_said:_250_.*/",
        r"status: local 0/10 remote 0/20",
        r"end msg \d+",
    )
    text = far.replace(b"\r\n", b"\n")
    assert b"X-Mail-Args: <%s>" % place.address.encode() in text
    assert b"X-Rcpt-Args: <liar@far.example>" in text
    assert b"X-Helo-Args: mx.example.org" in text
    assert text.rstrip(b"\n").endswith(b"\n\n.\n..\nlast line without an end")  # dots undone by the peer
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


@pytest.mark.root
@pytest.mark.parametrize("place", CLASSIC, indirect=True)
def test_the_best_mail_exchanger_that_answers_gets_it(place: Place, tmp_path: object) -> None:
    zone = "@ IN MX 20 second\n@ IN MX 10 first\nfirst IN A 198.51.100.1\nsecond IN A 198.51.100.2\n"
    place.start()
    with (
        dns_server(f"{tmp_path}/dns", {"far.example": zone}),
        smtp_sink(f"{tmp_path}/sink", "198.51.100.2") as sink,
    ):
        place.send("liar@far.example")
        place.log.ends(1)
        sink.mail()
    assert place.log.wait("delivery").report.startswith("198.51.100.2_accepted_message./")
    place.stop()


@pytest.mark.root
@pytest.mark.parametrize("place", CLASSIC, indirect=True)
def test_a_host_without_exchangers_is_tried_by_its_address(place: Place, tmp_path: object) -> None:
    place.start()
    with (
        dns_server(f"{tmp_path}/dns", {"far.example": "@ IN A 198.51.100.3\n"}),
        smtp_sink(f"{tmp_path}/sink", "198.51.100.3"),
    ):
        place.send("liar@far.example")
        place.log.ends(1)
    assert place.log.wait("delivery").report.startswith("198.51.100.3_accepted_message./")
    place.stop()


@pytest.mark.root
@pytest.mark.parametrize("place", CLASSIC, indirect=True)
def test_a_host_that_does_not_exist_comes_back(place: Place, tmp_path: object) -> None:
    place.start()
    with dns_server(f"{tmp_path}/dns", {"example": "other IN A 198.51.100.3\n"}):
        place.send("liar@far.example")
        failure = place.log.wait("delivery")
        assert failure.outcome == "failure"
        assert "#5.1.2" in failure.report
        assert b"\n<liar@far.example>:\n" in place.mail()[0]
    place.stop()


@pytest.mark.root
@pytest.mark.parametrize("place", CLASSIC, indirect=True)
def test_an_exchanger_with_tls_gets_it_by_tls_and_must_prove_its_name_if_a_route_says_so(
    place: Place, tmp_path: object
) -> None:
    authority = Authority(f"{tmp_path}/authority")
    os.chmod(str(tmp_path), 0o755)
    os.chmod(authority.folder, 0o755)
    place.environment["SSL_CERT_FILE"] = authority.certificate
    place.control("smtproutes", "proven.example::25 tls=verify\nliar.example::25 tls=verify\n")
    mx = f"mx IN A {provider.ADDRESS}\n"
    zones = dict.fromkeys(("far.example", "proven.example", "liar.example"), "@ IN MX 10 mx\n" + mx)
    server = authority.server("exchanger", "DNS:mx.proven.example")
    place.start()
    with dns_server(f"{tmp_path}/dns", zones), provider.provider(server, "unused") as sink:
        for name in ("far.example", "proven.example"):
            place.send(f"ann@{name}")
        place.log.ends(2)
        place.send("ann@liar.example")
        deferral = place.log.wait("delivery", outcome="deferral")
        sink.mail(2)
    ended = reports(place.log)
    assert re.search(r"/Sent_by_TLSv1\.3_\w+,_certificate_not_verified\./$", ended["ann@far.example"].report)
    assert re.search(r"/Sent_by_TLSv1\.3_\w+,_certificate_verified\./$", ended["ann@proven.example"].report)
    assert f"Connected_to_{provider.ADDRESS}_but_its_certificate_did_not_match_mx.liar.example:_" in deferral.report
    place.stop()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("place", CLASSIC[:1], indirect=True)
def test_a_silent_dns_is_asked_again_later(place: Place) -> None:
    place.start()
    place.send("liar@far.example")  # nobody answers on port 53: 30 s
    assert place.log.wait("delivery", seconds=120).outcome == "deferral"
    place.stop()


def test_a_recipient_who_is_refused_comes_back(place: Place, tmp_path: object) -> None:
    port = free_port()
    place.control("smtproutes", f":127.0.0.1:{port}\n")
    place.start()
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port, "-f", "RCPT"):
        place.send("liar@far.example")
        failure = place.log.wait("delivery")
        assert failure.outcome == "failure"
        assert failure.report.startswith("127.0.0.1_does_not_like_recipient./Remote_host_said:_5")
        place.mail()
    place.stop()


def test_a_host_that_does_not_answer_is_tried_again_later(place: Place) -> None:
    port = free_port()
    place.control("smtproutes", f":127.0.0.1:{port}\n")
    place.start()
    place.send("liar@far.example")
    deferral = place.log.wait("delivery")
    assert (deferral.outcome, deferral.report) == (
        "deferral",
        (
            "Sorry,_I_wasn't_able_to_establish_an_SMTP_connection._(#4.4.1)/"
            f"Mail_waits_for_the_relay_127.0.0.1_port_{port}./"
        ),
    )
    assert not place.queue_is_empty()
    place.stop()
