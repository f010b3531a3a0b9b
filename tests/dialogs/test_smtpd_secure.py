"""qmail-smtpd with TLS, logins and the submission role: real handshakes, a checkpassword of the test's own."""

import base64
import os
import socket
from pathlib import Path

import pytest

from tests.smtp_service import NAME, Service
from tests.smtp_support import lines
from tests.support import read, write
from tests.tls_support import Authority

JOE = base64.b64encode(b"\0joe\0secret")
WRONG = base64.b64encode(b"\0joe\0guess")
MAIL = (b"MAIL FROM:<joe@mx.example.org>", b"RCPT TO:<x@else.example>")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture
def service(tmp_path: Path, authority: Authority) -> Service:
    return Service(str(tmp_path), authority)


def say(connection: socket.socket, *commands: bytes) -> list[bytes]:
    """Commands one at a time; the greeting, if it is still to come, and the last line of each answer."""
    said = []
    with connection.makefile("rb") as file:
        for command in (None, *commands):
            try:
                if command is not None:
                    connection.sendall(command + b"\r\n")
                line = file.readline()
            except (ConnectionResetError, BrokenPipeError):  # it has closed, and we had more to say
                break
            while line[3:4] == b"-":
                line = file.readline()
            if not line:
                break
            said.append(line.removesuffix(b"\r\n"))
    return said


def test_starttls_is_offered_until_it_is_spoken_and_stands_in_the_received_line(service: Service) -> None:
    with service.client(secure=False) as client:
        assert client.has_extn("starttls")
        assert not client.has_extn("auth")  # in clear
        client.starttls(context=service.context)
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 503
        client.sendmail("a@b.example", [f"joe@{NAME}"], "Subject: x\n\nx\n")
    ((content, _),) = service.queue.messages
    assert b" with ESMTPS (TLSv1.3 TLS_" in content.partition(b";")[0]
    assert b"qmail-smtpd: tls 192.0.2.7 TLSv1.3 TLS_" in read(service.log)


def test_what_comes_together_with_starttls_is_never_obeyed(service: Service) -> None:
    with service.session() as connection:
        connection.sendall(lines(b"EHLO x", b"STARTTLS", b"NOOP"))
        heard = b""
        while piece := connection.recv(4096):
            heard += piece
    assert heard.endswith(b"503 STARTTLS must be the last command before an answer (#5.5.1)\r\n")


def test_what_comes_in_clear_after_starttls_is_no_handshake(service: Service) -> None:
    with service.session() as connection:
        assert say(connection, b"EHLO x", b"STARTTLS")[-1][:3] == b"220"
        connection.sendall(lines(b"NOOP"))
        heard = b""
        while piece := connection.recv(4096):
            heard += piece
        assert b"250" not in heard


def test_a_transaction_from_before_tls_is_forgotten(service: Service) -> None:
    with service.client(secure=False) as client:
        client.mail("a@b.example")
        client.starttls(context=service.context)
        assert client.docmd("RCPT TO:<joe>") == (503, b"MAIL first (#5.5.1)")


def test_without_a_certificate_that_can_be_used_mail_goes_on_in_clear(service: Service) -> None:
    write(f"{service.home}/control/servercert.pem", "no certificate\n")
    with service.client(secure=False) as client:
        assert client.docmd("STARTTLS")[0] == 454
        client.sendmail("a@b.example", [f"joe@{NAME}"], "Subject: x\n\nx\n")
    assert len(service.queue.messages) == 1


def test_tls_from_the_first_byte(service: Service) -> None:
    with (
        service.session(SMTPS="") as connection,
        service.context.wrap_socket(connection, server_hostname=NAME) as secret,
    ):
        said = say(secret, b"EHLO x", b"QUIT")
    assert [line[:3] for line in said] == [b"220", b"250", b"221"]


def test_who_logs_in_may_send_anywhere(service: Service) -> None:
    with service.client() as client:
        assert client.docmd("RCPT TO:<x@else.example>")[0] == 503
        assert client.login("joe", "secret") == (235, b"ok, go ahead (#2.0.0)")
        client.sendmail("a@b.example", ["x@else.example"], "Subject: x\n\nx\n")
        assert client.docmd("AUTH PLAIN")[0] == 503
    ((content, _),) = service.queue.messages
    assert b" with ESMTPSA (TLSv1.3 " in content


@pytest.mark.parametrize(
    ("commands", "codes"),
    [
        ((b"AUTH PLAIN " + JOE, b"RCPT TO:<x>"), (b"235", b"503")),
        ((b"auth plain " + JOE, b"MAIL FROM:<>"), (b"235", b"250")),
        ((b"AUTH PLAIN", JOE), (b"334", b"235")),
        ((b"AUTH LOGIN", b"am9l", b"c2VjcmV0"), (b"334", b"334", b"235")),
        ((b"AUTH LOGIN am9l", b"c2VjcmV0"), (b"334", b"235")),
        ((b"AUTH PLAIN", b"*", b"NOOP"), (b"334", b"501", b"250")),
        ((b"AUTH PLAIN", b"!", b"NOOP"), (b"334", b"501", b"250")),
        ((b"AUTH PLAIN =", b"NOOP"), (b"501", b"250")),
        ((b"AUTH PLAIN ab", b"NOOP"), (b"501", b"250")),
        ((b"AUTH PLAIN a b c",), (b"501",)),
        ((b"AUTH",), (b"501",)),
        ((b"AUTH FOO",), (b"504",)),
        ((b"MAIL FROM:<>", b"AUTH PLAIN " + JOE), (b"250", b"503")),
        ((b"AUTH PLAIN " + JOE, b"STARTTLS"), (b"235", b"503")),
    ],
)
def test_logging_in(service: Service, commands: tuple[bytes, ...], codes: tuple[bytes, ...]) -> None:
    service.control(authplain="1\n")
    with service.session() as connection:
        assert tuple(line[:3] for line in say(connection, b"EHLO x", *commands)[2:]) == codes


def test_a_password_in_clear_is_not_taken(service: Service) -> None:
    with service.session() as connection:
        assert say(connection, b"EHLO x", b"AUTH PLAIN " + JOE)[-1][:3] == b"538"
    assert not os.path.exists(f"{os.path.dirname(service.check)}/asked")


def test_without_passwords_auth_is_no_command(service: Service) -> None:
    with service.client(auth=False) as client:
        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN " + JOE.decode())[0] == 502


# submission


def test_only_who_has_logged_in_submits(service: Service) -> None:
    with service.client(secure=False, SUBMISSION="") as client:
        assert client.docmd("MAIL FROM:<>") == (530, b"STARTTLS first, then authentication (#5.7.0)")
        client.starttls(context=service.context)
        client.ehlo()
        assert client.docmd("MAIL FROM:<>") == (530, b"authentication required (#5.7.0)")
        client.login("joe", "secret")
        assert client.docmd("MAIL FROM:<>")[0] == 250


def test_a_login_sends_as_what_is_its_own(service: Service) -> None:
    service.control(submissionsenders="joe:Joe@mx.example.org, @joes.example\nann:*\n*:nobody@mx.example.org\n")
    with service.client(SUBMISSION="") as client:
        client.login("joe", "secret")
        for sender, code in (
            ("joe@MX.example.org", 250),
            ("any@joes.example", 250),
            ("any@x.joes.example", 553),
            ("ann@mx.example.org", 553),
            ("nobody@mx.example.org", 553),
            ("", 250),
        ):
            assert client.docmd(f"MAIL FROM:<{sender}>")[0] == code, sender
    assert b" rule=submissionsenders " in read(service.log)


def test_a_submitted_message_gets_what_it_lacks(service: Service) -> None:
    with service.client(SUBMISSION="") as client:
        client.login("joe", "secret")
        client.sendmail("joe@mx.example.org", ["x@else.example"], "Subject: x\n\nDate: no header\n")
        client.sendmail("joe@mx.example.org", ["x@else.example"], "From: a@b\ndate: x\nMESSAGE-ID: <x>\n\nx\n")
    (first, _), (second, _) = service.queue.messages
    header, _, body = first.partition(b"\n\n")
    fields = header.split(b"\n")[2:]
    assert [field.partition(b":")[0] for field in fields] == [b"Subject", b"Date", b"Message-ID", b"From"]
    assert fields[3] == b"From: joe@mx.example.org"
    assert body == b"Date: no header\n"
    assert second.endswith(b"\nFrom: a@b\ndate: x\nMESSAGE-ID: <x>\n\nx\n")


@pytest.mark.slow  # each wrong one costs the client some seconds
def test_the_third_wrong_password_closes_the_connection(service: Service) -> None:
    service.control(authplain="1\n")
    with service.session() as connection:
        said = say(connection, b"EHLO x", *[b"AUTH PLAIN " + WRONG] * 4)
    assert [line[:3] for line in said] == [b"220", b"250", b"535", b"535", b"535"]
