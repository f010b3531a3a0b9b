"""PIC/smarthost.md: all mail goes to a provider's relay, by TLS and with a login; it may be away for a while."""

import contextlib
import glob
import os
import time
from collections.abc import Iterator

import pytest

from tests import provider
from tests.neighbours import Sink, dns_server
from tests.places import Place
from tests.support import read, wait_for, write
from tests.tls_support import Authority, Server
from tests.world import FAR, WAYS, world

ZONES = {"example.org": f"smtp IN A {provider.ADDRESS}\nother IN A {provider.ADDRESS}\n"}
PASSWORD = "correct horse battery"
HOUR = 3600
SENT = f"{provider.ADDRESS}_accepted_message./Remote_host_said:_250_2.0.0_Ok:_"


def customer(place: Place, folder: object, route: str) -> Server:
    """This machine's files, as its owner writes them.  Result: the certificate of the relay."""
    authority = Authority(f"{folder}/authority")
    os.chmod(str(folder), 0o755)
    os.chmod(authority.folder, 0o755)
    place.environment["SSL_CERT_FILE"] = authority.certificate
    place.control("smtproutes", f":{route}\n")
    path = write(f"{place.home}/control/smtpauth", f"isp:joe:{PASSWORD}\n", 0o400)
    os.chown(path, place.uid_of("qmailr"), -1)
    return authority.server("relay", "DNS:smtp.example.org")


@contextlib.contextmanager
def relay(server: Server) -> Iterator[Sink]:
    with provider.provider(server, PASSWORD, "plain") as sink:
        yield sink


@WAYS
@pytest.mark.parametrize("options", ["587 auth=isp", "465 tls=implicit auth=isp"], ids=["starttls", "implicit"])
def test_smarthost(place: Place, options: str, tmp_path: object) -> None:
    server = customer(place, tmp_path, f"smtp.example.org:{options}")
    place.start()
    with dns_server(f"{tmp_path}/dns", ZONES), relay(server) as sink:
        for name in ("ann@far.example", "bob@nowhere.invalid"):  # whom nobody asks the DNS about
            place.send(name, "Subject: by my provider\n\n.\n\u00e4\n")
        place.log.ends(2)
        texts = sink.mail(2)
        said = provider.log()
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()

    for line in (line for line in place.log.lines if line.kind == "delivery"):
        assert line.report.startswith(SENT)
        assert line.report.endswith("_certificate_verified./")
        assert "/Sent_by_TLSv1.3_" in line.report
    assert "sasl_method=PLAIN, sasl_username=joe" in said
    assert all(b"X-Mail-Args: <joe@mx.example.org>" in text for text in texts)
    assert all(text.replace(b"\r\n", b"\n").rstrip(b"\n").endswith("\n\n.\n\u00e4".encode()) for text in texts)
    assert PASSWORD not in place.log.text()


@WAYS
def test_a_relay_that_cannot_prove_its_name_hears_no_password(place: Place, tmp_path: object) -> None:
    """The same machine by another name: mail waits, and who reads the log knows for what."""
    server = customer(place, tmp_path, "smtp.example.org:587 auth=isp\nodd.example:other.example.org:587 auth=isp")
    place.start()
    with dns_server(f"{tmp_path}/dns", ZONES), relay(server) as sink:
        place.send("ann@odd.example")
        refused = place.log.wait("delivery", outcome="deferral")
        assert refused.report.startswith(f"Connected_to_{FAR}_but_its_certificate_did_not_match_other.example.org:_")
        assert "Mail_waits_for_the_relay_other.example.org_port_587./" in refused.report
        assert "sasl_username" not in provider.log()
        place.send("bob@far.example")
        place.log.ends(1)
        sink.mail()
        assert provider.log().count("sasl_username=joe") == 1
    place.stop()


@WAYS
def test_the_relay_is_away_for_an_hour_and_comes_back(place: Place, tmp_path: object) -> None:
    """What waits goes out as soon as anything has gone through, whatever the schedule says, whoever was restarted."""
    server = customer(place, tmp_path, "smtp.example.org:587 auth=isp")
    with dns_server(f"{tmp_path}/dns", ZONES):
        place.start()
        send_in_vain(place, 3)
        place.stop()
        assert waits(place) <= {
            400,
            441,
        }  # seconds after its birth: (0 + 20) squared; tried in the next second, (1 + 20)
        an_hour_passes(place)
        before = place.log.count()
        place.start()
        for delivery in "123":  # an hour has made all three of them due
            assert place.log.wait("delivery", after=before, delivery=delivery).outcome == "deferral"
        place.stop()
        assert waits(place) == {6400}  # (60 + 20) squared

        before = place.log.count()
        place.start()
        send_in_vain(place, 1)  # the old ones stay where they are
        with relay(server) as sink:
            place.send("new@far.example")
            place.log.ends(5, before)
            assert len(sink.mail(5)) == 5
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
    started = [line.recipient for line in place.log.lines[before:] if line.kind == "starting"]
    assert started[:2] == ["0@far.example", "new@far.example"]
    assert sorted(started[2:]) == ["0@far.example", "0@far.example", "1@far.example", "2@far.example"]


def send_in_vain(place: Place, count: int) -> None:
    for number in range(count):
        after = place.log.count()
        place.send(f"{number}@far.example")
        line = place.log.wait("delivery", after=after)
        assert line.outcome == "deferral"
        assert "Mail_waits_for_the_relay_smtp.example.org_port_587." in line.report


def files(place: Place, folder: str) -> list[str]:
    return glob.glob(f"{place.home}/queue/{folder}/*/*")


def waits(place: Place) -> set[int]:
    """Seconds between the birth of each message and its next attempt, as a stopped qmail-send has left them."""
    return {int(os.stat(path).st_mtime) - int(os.stat(info_of(path)).st_mtime) for path in files(place, "remote")}


def info_of(remote: str) -> str:
    return remote.replace("/queue/remote/", "/queue/info/")


def an_hour_passes(place: Place) -> None:
    """For a queue nothing else does: all that it knows of the time is when its files were changed."""
    for path in (*files(place, "info"), *files(place, "remote")):
        status = os.stat(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - HOUR * 10**9))


@WAYS
def test_a_relay_that_timed_out_is_left_alone_for_a_minute_another_host_for_an_hour(
    place: Place, tmp_path: object
) -> None:
    place.control("smtproutes", f"routed.example:{FAR}\n")
    place.start()
    table = f"{place.home}/queue/lock/tcpto"
    with world(tmp_path) as sink:
        timed_out(table, FAR, 30)
        place.send("ann@routed.example")
        assert "(#4.4.1)" in place.log.wait("delivery", delivery="1", outcome="deferral").report
        timed_out(table, FAR, 61)
        place.send("bob@far.example")
        assert "(#4.4.1)" in place.log.wait("delivery", delivery="2", outcome="deferral").report
        assert not os.listdir(sink.folder)
        place.send("carl@routed.example")
        place.log.ends(2)  # and ann's is woken
        sink.mail(2)
        assert read(table)[4] == 0  # it answers: nobody leaves it alone any longer
    place.stop()


def timed_out(table: str, address: str, seconds: int) -> None:
    """This address timed out twice, the last time so long ago (spec/06 4)."""
    packed = bytes(int(part) for part in address.split("."))
    record = packed + b"\2\0\0\0" + (int(time.time()) - seconds).to_bytes(4, "little") + bytes(4)
    with open(table, "r+b") as file:
        file.write(record)
