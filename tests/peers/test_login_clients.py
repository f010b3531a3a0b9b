"""Programs that log in, unchanged, with every mechanism that they and we know, in clear and by TLS."""

import os
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.login_support import Authd, keep
from tests.neighbours import needs
from tests.smtp_service import NAME, Service
from tests.support import PATH, PATIENCE, wait_for, write
from tests.tls_support import Authority

RECIPIENT = "x@else.example"
PASSWORD = 'p w:"ä'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    os.chmod(folder, 0o711)
    return Authority(str(folder))


@pytest.fixture
def alone(tmp_path: Path, authority: Authority) -> Service:
    """Passwords are kept in clear, so that every mechanism is offered; the session verifies them itself."""
    service = Service(str(tmp_path), authority)
    write(f"{service.home}/users/passwords", f"ann:{{PLAIN}}secret\nbob:{{PLAIN.b64}}{encoded(PASSWORD)}\n", 0o600)
    return service


@pytest.fixture
def service(alone: Service) -> Iterator[Service]:
    """The same with qmail-authd."""
    with Authd(alone.home, ["APOP", "SCRAM-SHA-256"]) as daemon:
        yield alone
        assert [line for line in daemon.log if "method=" in line]
        assert not [line for line in daemon.log if "secret" in line]


def encoded(text: str) -> str:
    from base64 import b64encode

    return b64encode(text.encode()).decode()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("secure", [True, False])
def test_smtplib(alone: Service, mechanism: str, secure: bool) -> None:
    with alone.client(auth=False, secure=secure) as client:
        offered = client.esmtp_features["auth"].split()
        assert ("PLAIN" in offered, "CRAM-MD5" in offered, "SCRAM-SHA-256" in offered) == (secure, True, True)
        client.user, client.password = "ann", "secret"
        ask = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
        if not secure and mechanism != "CRAM-MD5":
            with pytest.raises(smtplib.SMTPAuthenticationError, match="538"):
                client.auth(mechanism, ask)
            return
        assert client.auth(mechanism, ask)[0] == 235
        client.sendmail("ann@mx.example.org", [RECIPIENT], "Subject: x\n\nx\n")
    assert len(alone.queue.messages) == 1


def test_a_wrong_password_takes_a_moment_and_is_told(service: Service) -> None:
    with service.client(auth=False) as client:
        client.user, client.password = "ann", "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError, match="authentication failed"):
            client.auth("PLAIN", client.auth_plain)
        client.password = "secret"
        assert client.auth("LOGIN", client.auth_login)[0] == 235


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5", "scram-sha-256"])
def test_msmtp(service: Service, authority: Authority, tmp_path: Path, mechanism: str) -> None:
    needs("msmtp")
    with service.listening(auth=False) as port:
        for user, password, code in [("bob", PASSWORD, 0)] + [("ann", PASSWORD, 77)] * mechanism.startswith("scram"):
            configuration = write(
                f"{tmp_path}/msmtprc",
                f"account default\nhost 127.0.0.1\nport {port}\nfrom {user}@mx.example.org\ndomain client.example\n"
                f"tls on\ntls_starttls on\ntls_trust_file {authority.certificate}\ntls_host_override {NAME}\n"
                f"auth {mechanism}\nuser {user}\npasswordeval cat {tmp_path}/password\n",
                0o600,
            )
            write(f"{tmp_path}/password", password + "\n", 0o600)
            done = subprocess.run(
                ["msmtp", "-C", configuration, RECIPIENT],
                input=b"Subject: x\n\nx\n",
                env={"PATH": PATH, "HOME": "/nonexistent"},
                capture_output=True,
                check=False,
                timeout=PATIENCE,
            )
            assert done.returncode == code, done.stderr.decode()
        wait_for(lambda: len(service.queue.messages) == 1, "the message")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_swaks(service: Service, mechanism: str) -> None:
    needs("swaks")
    with service.listening(auth=False) as port:
        done = subprocess.run(
            [
                *("swaks", "--server", "127.0.0.1", "--port", str(port), "--tls", "--auth", mechanism),
                *("--auth-user", "ann", "--auth-password", "secret", "--from", "a@b", "--to", RECIPIENT),
            ],
            stdin=subprocess.DEVNULL,
            env={"PATH": PATH, "HOME": "/nonexistent"},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout.decode()


def test_what_only_some_logins_can_use_is_not_offered(tmp_path: Path, authority: Authority) -> None:
    service = Service(str(tmp_path), authority)
    keep(service.home, ann="secret")
    with service.client(auth=False) as client:
        assert client.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
        assert client.login("ann", "secret")[0] == 235
    write(f"{service.home}/users/passwords", "ann:{PLAIN}x\nbob:$6$a$b\n", 0o600)
    with service.client(auth=False) as client:
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]


def test_while_qmail_authd_is_dead_clients_come_again(tmp_path: Path, authority: Authority) -> None:
    service = Service(str(tmp_path), authority)
    write(f"{service.home}/auth/mechanisms", "PLAIN LOGIN\n")
    write(f"{service.home}/users/passwords", "ann:nonsense\n", 0o600)  # nobody could tell
    with service.client(auth=False) as client:
        client.user, client.password = "ann", "secret"
        with pytest.raises(smtplib.SMTPAuthenticationError, match="454"):
            client.auth("PLAIN", client.auth_plain)
