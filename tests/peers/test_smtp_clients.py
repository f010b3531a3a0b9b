"""Programs that speak SMTP to us, unchanged: what people send mail with, and what a relaying Postfix says."""

import email
import os
import shutil
import subprocess
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.neighbours import POSTFIX_SERVICES, is_answered, make_spool, needs, started
from tests.smtp_service import NAME, Service
from tests.support import PATH, PATIENCE, free_port, read, wait_for, write
from tests.tls_support import Authority

BODY = "first line\n.\n..last line\n"
OTHER = "x@else.example"  # only who has logged in may send there


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    os.chmod(folder, 0o711)
    return Authority(str(folder))


@pytest.fixture
def service(tmp_path: Path, authority: Authority) -> Service:
    return Service(str(tmp_path), authority)


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    with service.listening() as found:
        yield found


def run(*words: str, stdin: str = "", code: int = 0) -> str:
    done = subprocess.run(
        words,
        input=stdin.encode(),
        env={"PATH": PATH, "HOME": "/nonexistent"},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, said
    return said


def arrived(service: Service, *, recipient: str = OTHER) -> EmailMessage:
    """The one message, whose lines came whole."""
    wait_for(lambda: len(service.queue.messages) >= 1, "a message")
    ((content, envelope),) = service.queue.messages
    assert envelope.endswith(f"\0T{recipient}\0\0".encode())
    assert content.decode().rstrip().endswith("\n\n" + BODY.rstrip())
    return email.message_from_bytes(content, policy=policy.default)


def protocol(message: EmailMessage) -> str:
    """Of its Received line."""
    return str(message["Received"]).partition(" with ")[2].split()[0].strip(";")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_with_tls_and_a_login(service: Service, port: int, authority: Authority, mechanism: str) -> None:
    needs("swaks")
    said = run(
        *("swaks", "--server", "127.0.0.1", "--port", str(port), "--from", "joe@mx.example.org", "--to", OTHER),
        *("--tls", "--tls-verify", "--tls-ca-path", authority.certificate, "--tls-sni", NAME),
        *("--auth", mechanism, "--auth-user", "joe", "--auth-password", "secret", "--ehlo", "client.example"),
        *("--body", BODY),
    )
    assert "=== TLS started" in said
    assert protocol(arrived(service)) == "ESMTPSA"


def test_swaks_hears_that_it_may_not_relay(port: int) -> None:
    needs("swaks")
    said = run("swaks", "--server", "127.0.0.1", "--port", str(port), "--from", "a@b", "--to", OTHER, code=24)
    assert "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)" in said


@pytest.mark.parametrize("family", [("1", "TCP4"), ("2", "AF_INET")])
def test_swaks_in_groups_and_behind_a_proxy(service: Service, family: tuple[str, str]) -> None:
    """--pipeline sends commands together; the connection begins with the PROXY protocol."""
    needs("swaks")
    service.control(smtpproxies="127.0.0.1\n")
    with service.listening() as port:
        run(
            *("swaks", "--server", "127.0.0.1", "--port", str(port), "--pipeline", "--to", f"joe@{NAME}"),
            *("--proxy-version", family[0], "--proxy-family", family[1], "--proxy-source", "192.0.2.9"),
            *("--proxy-source-port", "4000", "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25"),
            *("--from", "a@b", "--body", BODY),
        )
    assert "(192.0.2.9)" in str(arrived(service, recipient=f"joe@{NAME}")["Received"])


def test_msmtp(service: Service, port: int, authority: Authority, tmp_path: Path) -> None:
    needs("msmtp")
    configuration = write(
        f"{tmp_path}/msmtprc",
        f"account default\nhost 127.0.0.1\nport {port}\nfrom joe@mx.example.org\ndomain client.example\n"
        f"tls on\ntls_starttls on\ntls_trust_file {authority.certificate}\ntls_host_override {NAME}\n"
        "auth plain\nuser joe\npassword secret\n",
        0o600,
    )
    run("msmtp", "-C", configuration, OTHER, stdin=f"Subject: x\n\n{BODY}")
    assert protocol(arrived(service)) == "ESMTPSA"


def test_curl(service: Service, port: int, authority: Authority, tmp_path: Path) -> None:
    needs("curl")
    message = write(f"{tmp_path}/message", f"Subject: x\n\n{BODY}".replace("\n", "\r\n"))
    run(
        *("curl", "-sS", "--url", f"smtp://{NAME}:{port}/client.example", "--connect-to", f"{NAME}::127.0.0.1:"),
        *("--ssl-reqd", "--cacert", authority.certificate, "--user", "joe:secret"),
        *("--mail-from", "joe@mx.example.org", "--mail-rcpt", OTHER, "--upload-file", message),
    )
    assert protocol(arrived(service)) == "ESMTPSA"


def test_smtp_source(service: Service, port: int) -> None:
    needs("smtp-source")
    words = ("-s", "4", "-m", "8", "-l", "5000", "-f", "a@b.example", "-t", f"joe@{NAME}")
    run("smtp-source", *words, f"127.0.0.1:{port}")
    wait_for(lambda: len(service.queue.messages) == 8, "eight messages")
    run("smtp-source", "-d", "-m", "3", *words[4:], f"127.0.0.1:{port}")
    wait_for(lambda: len(service.queue.messages) == 11, "three more by one session")


def test_openssl_s_client(port: int, authority: Authority) -> None:
    needs("openssl")
    said = run(
        *("openssl", "s_client", "-quiet", "-starttls", "smtp", "-connect", f"127.0.0.1:{port}", "-crlf"),
        *("-CAfile", authority.certificate, "-verify_hostname", NAME, "-verify_return_error"),
        stdin="EHLO x\nQUIT\n",
    )
    assert "221 mx.example.org" in said


RELAY = """compatibility_level = 3.6
myhostname = postfix.example
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
maillog_file = /var/log/postfix.log
relayhost = [127.0.0.1]:{port}
smtp_tls_security_level = verify
smtp_tls_CAfile = {authority}
smtp_tls_verify_cert_match = {name}
smtp_tls_loglevel = 1
smtp_host_lookup = native
"""
RELAY_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
"""


@pytest.mark.root
def test_postfix_relays_to_us_by_tls(service: Service, authority: Authority) -> None:
    needs("postfix", "smtp-source")
    ours = free_port()
    os.makedirs("/var/lib/postfix", exist_ok=True)
    shutil.chown("/var/lib/postfix", "postfix")
    make_spool("/var/spool/postfix")
    os.chmod(os.path.dirname(authority.folder), 0o711)
    with service.listening() as port:
        write("/etc/postfix/main.cf", RELAY.format(port=port, authority=authority.certificate, name=NAME))
        write("/etc/postfix/master.cf", RELAY_MASTER.format(port=ours) + POSTFIX_SERVICES)
        for name in ("main.cf", "master.cf"):  # Postfix waits two seconds for a file that may still be being written
            os.utime(f"/etc/postfix/{name}", (1, 1))
        with started(["/usr/lib/postfix/sbin/master", "-d"], env={"PATH": PATH, "MAIL_CONFIG": "/etc/postfix"}):
            wait_for(lambda: is_answered("127.0.0.1", ours), "postfix")
            run("smtp-source", "-m", "5", "-f", "a@b.example", "-t", f"joe@{NAME}", f"127.0.0.1:{ours}")
            wait_for(
                lambda: len(service.queue.messages) == 5,
                lambda: read("/var/log/postfix.log").decode(errors="replace") + read(service.log).decode(),
            )
    for content, envelope in service.queue.messages:
        assert envelope.startswith(b"Fa@b.example\0")
        assert b" with ESMTPS (TLSv1.3 " in content.partition(b";")[0]
