"""The network services of boot/ under the supervisors that they are for: linked, used by clients, told to read anew.

What an administrator has then: port 25, both ports where users log in, both ports of POP3, QMTP and QMQP.
"""

import contextlib
import os
import poplib
import re
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from qmailpy.wire import netstring
from tests.login_support import keep
from tests.neighbours import needs, started
from tests.peers.test_supervisors import KINDS, STATE, Kind
from tests.places import CLASSIC_HOME, Place, classic
from tests.reception_support import children_named, make_rules
from tests.support import PATH, PATIENCE, is_running, read, wait_for, wait_for_files, write
from tests.tls_support import Authority

pytestmark = [pytest.mark.root, pytest.mark.slow]

LISTENING = ("smtp", "submission", "submissions", "pop3", "pop3s", "qmtp", "qmqp")
SERVICES = ("qmail-send", "qmail-authd", *(f"qmail-listen-{name}" for name in LISTENING))
PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "pop3": 110, "pop3s": 995, "qmtp": 209, "qmqp": 628}
PASSWORD = "sesame street"
TEXT = "Subject: {}\n\nHello.\n"


class Host:
    """A classic home with a certificate, a user who has a password, and rules for QMQP."""

    def __init__(self, folder: str) -> None:
        self.place = classic({})
        authority = Authority(f"{folder}/ca")
        server = authority.server("server", f"DNS:{self.place.domain}")
        # root's alone: under qmail-listen nobody else reads it
        write(f"{CLASSIC_HOME}/control/servercert.pem", read(server.certificate) + read(server.key), 0o400)
        self.context = ssl.create_default_context(cafile=authority.certificate)
        keep(CLASSIC_HOME, joe=PASSWORD)
        write("/etc/tcp.qmqp.cdb", read(make_rules(self.place, "192.0.2.:allow\n:deny\n")))

    def use_all(self) -> None:
        """Every port by a real client, one message each; then joe fetches them."""
        place = self.place
        with smtplib.SMTP(place.domain, PORTS["smtp"], "far.example", PATIENCE) as client:
            client.starttls(context=self.context)
            client.sendmail("liar@far.example", [place.address], TEXT.format("smtp"))
        with smtplib.SMTP(place.domain, PORTS["submission"], "laptop.example", PATIENCE) as client:
            client.starttls(context=self.context)
            client.login("joe", PASSWORD)
            client.sendmail(place.address, [place.address], TEXT.format("submission"))
        with smtplib.SMTP_SSL(
            place.domain, PORTS["submissions"], "laptop.example", timeout=PATIENCE, context=self.context
        ) as client:
            client.login("joe", PASSWORD)
            client.sendmail(place.address, [place.address], TEXT.format("submissions"))
        message, sender, recipient = TEXT.format("qm").encode(), b"liar@far.example", place.address.encode()
        answer = exchange(
            place.domain,
            PORTS["qmtp"],
            netstring.encode(b"\n" + message)
            + netstring.encode(sender)
            + netstring.encode(netstring.encode(recipient)),
        )
        assert re.fullmatch(rb"\d+:Kok \d+ qp \d+,", answer), answer
        request = b"".join(netstring.encode(one) for one in (message, sender, recipient))
        answer = exchange(place.domain, PORTS["qmqp"], netstring.encode(request))
        assert re.fullmatch(rb"\d+:Kok \d+ qp \d+,", answer), answer
        assert exchange("127.0.0.1", PORTS["qmqp"], netstring.encode(request)) == b""  # a rule denies it
        place.mail(5)
        for path in wait_for_files(f"{place.user_home}/Maildir/new", 5):
            os.utime(path, (0, 0))  # POP3 leaves out what has come in this very second
        box = poplib.POP3(place.domain, PORTS["pop3"], PATIENCE)
        with pytest.raises(poplib.error_proto):  # not in clear
            box.user("joe")
        box.stls(self.context)
        self.fetch(box, 5)
        self.fetch(poplib.POP3_SSL(place.domain, PORTS["pop3s"], timeout=PATIENCE, context=self.context), 0)

    @staticmethod
    def fetch(box: poplib.POP3, count: int) -> None:
        """Log in, delete all that is there."""
        box.user("joe")
        box.pass_(PASSWORD)
        assert box.stat()[0] == count
        for number in range(1, count + 1):
            box.dele(number)
        box.quit()


def exchange(host: str, port: int, request: bytes) -> bytes:
    """The answer; nothing where the server hangs up at once."""
    with socket.create_connection((host, port), PATIENCE) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()
        except TimeoutError:
            raise
        except OSError:  # it has hung up before we had said it all
            return b""


class Supervised:
    """All of them under one supervisor."""

    def __init__(self, name: str) -> None:
        self.kind: Kind = KINDS[name]
        self.boot = f"{CLASSIC_HOME}/boot/{name}"
        for service in SERVICES:
            os.symlink(f"{self.boot}/{service}", f"{self.kind.folder}/{service}")

    def tell(self, word: str, service: str) -> None:
        subprocess.run(
            [*self.kind.control[word].split(), f"{self.kind.folder}/{service}"], check=True, stdout=subprocess.DEVNULL
        )

    def pid(self, service: str) -> int:
        words = [*self.kind.status.split(), f"{self.kind.folder}/{service}"]
        done = subprocess.run(words, capture_output=True, check=False)
        found = re.search(self.kind.pid, done.stdout.decode())
        return int(found.group(1)) if found else 0

    def log(self, service: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return read(f"{self.boot}/{service}/log/main/current").decode()
        return ""


def wait_for_ports(place: Place) -> None:
    """Whatever answers; what has been started in any order may still be coming."""
    for port in PORTS.values():
        wait_for(lambda number=port: accepts(place.domain, number), f"port {port}")  # type: ignore[misc]
    wait_for(lambda: os.path.exists(f"{CLASSIC_HOME}/auth/socket"), "qmail-authd")
    wait_for(lambda: os.path.exists(f"{CLASSIC_HOME}/door/socket"), "the door")


def accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


@pytest.fixture(params=sorted(KINDS))
def supervised(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[tuple[Supervised, Host]]:
    kind = KINDS[request.param]
    needs(*sorted({command.split()[0] for command in (kind.scan, kind.status) if command}))
    host = Host(str(tmp_path))
    os.makedirs(kind.folder, exist_ok=True)
    services = Supervised(request.param)
    with started([kind.scan, kind.folder]):
        yield services, host


def test_all_services_are_linked_used_and_told_to_read_anew(supervised: tuple[Supervised, Host]) -> None:
    services, host = supervised
    wait_for_ports(host.place)
    # qmail-authd may have been the last one: what it offers is seen by the servers, or read anew when they are told
    wait_for(lambda: b"PLAIN" in mechanisms(), "auth/mechanisms")
    for name in ("submission", "submissions"):
        renew(services, f"qmail-listen-{name}")
        wait_for(lambda one=name: "PLAIN" in offered(host, one), f"AUTH of {name}")  # type: ignore[misc]
    host.use_all()

    log = services.log("qmail-listen-smtp")
    assert re.search(
        rf"^{services.kind.stamp}qmail-listen: ok \d+\.\d+ mx\.example\.org:192\.0\.2\.1:25 ", log, re.MULTILINE
    )
    assert os.stat(f"{services.boot}/qmail-listen-smtp/log/main/current").st_uid == host.place.uid_of("qmaill")
    assert " login=<joe> " in services.log("qmail-authd")

    # a control file is read anew without an end of anything
    host.place.control("badmailfrom", "liar@far.example\n")
    renew(services, "qmail-listen-smtp")
    with smtplib.SMTP(host.place.domain, PORTS["smtp"], "far.example", PATIENCE) as client:
        client.ehlo()
        client.docmd("MAIL FROM:<liar@far.example>")
        assert client.docmd(f"RCPT TO:<{host.place.address}>")[0] == 553

    # all down
    pids = [services.pid(service) for service in SERVICES]
    assert all(pids)
    for service in SERVICES:
        services.tell("down", service)
    wait_for(lambda: not any(is_running(pid) for pid in pids), "the end of all services")
    assert not any(accepts(host.place.domain, port) for port in PORTS.values())


def mechanisms() -> bytes:
    """What logins can be used for, as qmail-authd has written it."""
    with contextlib.suppress(FileNotFoundError):
        return read(f"{CLASSIC_HOME}/auth/mechanisms")
    return b""


def renew(services: Supervised, service: str) -> None:
    """HUP; when this returns only new workers accept."""
    master = services.pid(service)
    before = set(children_named(master, "qmail-smtpd"))
    services.tell("hup", service)
    wait_for(
        lambda: (now := set(children_named(master, "qmail-smtpd"))) and not now & before,
        lambda: f"new workers of {service}: {services.log(service)}",
    )


def test_openrc_starts_reloads_and_stops_each_service(tmp_path: object) -> None:
    needs("openrc-run")
    host = Host(str(tmp_path))
    for name in STATE.split():  # as its boot makes them
        os.makedirs(f"/run/openrc/{name}")
    write("/run/openrc/softlevel", "default\n")
    for name in ("localmount", "net"):
        write(f"/etc/init.d/{name}", "#!/sbin/openrc-run\nstart() { return 0; }\n", 0o755)
    write("/etc/init.d/qmail-listen", read(f"{CLASSIC_HOME}/boot/openrc/qmail-listen"), 0o755)
    names = ("authd", *LISTENING)
    for name in names:
        os.symlink("qmail-listen", f"/etc/init.d/qmail-listen.{name}")
    host.place.start()
    with ThreadPoolExecutor() as together:  # each of them is watched for two seconds
        assert set(together.map(lambda name: openrc(name, "start")[0], names)) == {0}
    wait_for_ports(host.place)
    # both ports of submission see by themselves what qmail-authd says
    wait_for(lambda: all("PLAIN" in offered(host, name) for name in ("submission", "submissions")), "AUTH")
    host.use_all()
    host.place.control("smtpgreeting", "mx.example.org as of now\n")
    assert openrc("smtp", "reload")[0] == 0
    wait_for(lambda: "as of now" in greeting(host.place), "the new greeting")
    pids = [int(read(f"/run/qmail-listen.{name}.pid")) for name in names]
    os.unlink(f"{CLASSIC_HOME}/control/rcpthosts")
    with ThreadPoolExecutor() as together:
        assert set(together.map(lambda name: openrc(name, "stop")[0], names)) == {0}
    wait_for(lambda: not any(is_running(pid) for pid in pids), "the end of all services")
    code, said = openrc("smtp", "start")
    assert (code == 0, "control/rcpthosts is missing" in said) == (False, True)
    host.place.stop()


def offered(host: Host, name: str) -> str:
    """The answer to EHLO, in TLS."""
    if name == "submissions":
        with smtplib.SMTP_SSL(host.place.domain, PORTS[name], timeout=PATIENCE, context=host.context) as client:
            return client.ehlo()[1].decode()
    with smtplib.SMTP(host.place.domain, PORTS[name], timeout=PATIENCE) as plain:
        plain.starttls(context=host.context)
        return plain.ehlo()[1].decode()


def greeting(place: Place) -> str:
    with socket.create_connection((place.domain, PORTS["smtp"]), PATIENCE) as client:
        return client.makefile("rb").readline().decode()


def openrc(name: str, word: str) -> tuple[int, str]:
    """Run the script as rc-service does."""
    done = subprocess.run(
        [f"/etc/init.d/qmail-listen.{name}", word],
        env={"PATH": PATH, "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return done.returncode, (done.stdout + done.stderr).decode()
