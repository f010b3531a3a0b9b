"""PIC/relaygood.md: a machine of the LAN, and a user who has logged in, send mail to the world."""

import contextlib
import smtplib
import ssl

import pytest

from tests.login_support import Authd, keep
from tests.neighbours import smtp_sink
from tests.places import ROOMS, Place
from tests.reception_support import BOTH, HERE, make_rules, serving, sink_route
from tests.support import PATIENCE, free_port, give, read, write
from tests.tls_support import Authority


@BOTH
@pytest.mark.parametrize("place", [ROOMS[0]], indirect=True)
def test_relaygood(place: Place, kind: str, tmp_path: object) -> None:
    far, here = free_port(), free_port()
    sink_route(place, "other.example", far)
    rules = make_rules(place, '127.0.0.7:allow,RELAYCLIENT=""\n:allow\n')
    place.start()
    with smtp_sink(f"{tmp_path}/sink", HERE, far) as sink, serving(place, kind, here, rules=rules) as port:
        with port.smtp(source="127.0.0.8") as client:
            assert client.say("MAIL FROM:<joe@mx.example.org>") == "250 ok"
            assert client.say("RCPT TO:<ann@other.example>").startswith("553 ")
        with port.smtp(source="127.0.0.7") as client:
            assert client.say("MAIL FROM:<joe@mx.example.org>") == "250 ok"
            assert client.say(f"RCPT TO:<nobody-of-that-name@{place.domain}>").startswith("550 ")  # nobody has that
            assert client.mail("joe@mx.example.org", "ann@other.example")[:7] == "250 ok "
        (text,) = sink.mail()
        place.log.ends(1)
    assert b"X-Rcpt-Args: <ann@other.example>" in text
    assert b"Received: from unknown (HELO far.example) (127.0.0.7)" in text
    place.stop()


@BOTH
@pytest.mark.parametrize("place", [ROOMS[2]], indirect=True)
def test_a_user_who_has_logged_in_may_send_anywhere(place: Place, kind: str, tmp_path: object) -> None:
    far = free_port()
    sink_route(place, "other.example", far)
    place.control("submissionsenders", f"ann:ann@{place.domain}\n")
    authority = Authority(f"{tmp_path}/ca")
    server = authority.server("server", f"DNS:{place.domain}")
    certificate = write(f"{place.home}/control/servercert.pem", read(server.certificate) + read(server.key), 0o400)
    give(certificate, place.uid_of("qmaild"), 0)
    context = ssl.create_default_context(cafile=authority.certificate)
    keep(place.home, ann="secret")
    place.start()
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(smtp_sink(f"{tmp_path}/sink", HERE, far))
        authd = stack.enter_context(Authd(place.home))
        port = stack.enter_context(serving(place, kind, 587, address="0.0.0.0", SUBMISSION="1"))
        client = stack.enter_context(smtplib.SMTP(place.domain, port.number, "laptop.example", PATIENCE))
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["SCRAM-SHA-256"]  # which tells a listener nothing
        assert client.docmd("MAIL FROM:<ann@mx.example.org>")[0] == 530
        client.starttls(context=context)
        client.ehlo()
        assert {"PLAIN", "LOGIN"} <= set(client.esmtp_features["auth"].split())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ann", "wrong")
        client.login("ann", "secret")
        assert client.docmd("MAIL FROM:<boss@mx.example.org>")[0] == 553
        client.sendmail("ann@mx.example.org", ["ann@other.example"], "Subject: no date\n\nx\n")
        (text,) = sink.mail()
        place.log.ends(1)
    assert any(line.startswith("qmail-authd: accepted 192.0.2.1 login=<ann> ") for line in authd.log)
    assert any(line.startswith("qmail-authd: refused 192.0.2.1 rule=password login=<ann> ") for line in authd.log)
    head = text.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    assert b"\n  by mx.example.org with ESMTPSA (TLSv1.3 " in head
    for field in (b"\nDate: ", b"\nMessage-ID: <", b"\nFrom: ann@mx.example.org"):
        assert field in head
    place.stop()
