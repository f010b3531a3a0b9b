"""PIC/nullclient.md: a machine that keeps no mail: every message goes to the relay."""

import os

from tests.neighbours import smtp_sink
from tests.places import Place
from tests.support import free_port, wait_for
from tests.tls_support import Authority, Smarthost


def test_nullclient(place: Place, tmp_path: object) -> None:
    port = free_port()
    place.control("me", "null.example.org\n")
    place.control("defaulthost", "example.org\n")
    place.control("locals", "")  # present and empty: no domain is ours
    place.control("smtproutes", f":127.0.0.1:{port}\n")
    place.start()
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port) as sink:
        place.send("boss", "Subject: report\n\nDone.\n")  # a name alone: somebody at defaulthost
        place.send("somebody@elsewhere.example", "Subject: report\n\nDone.\n")
        place.log.ends(2)
        texts = [text.replace(b"\r\n", b"\n") for text in sink.mail(2)]

    # no name is local, no DNS is asked: the empty route takes all
    started = {(line.channel, line.recipient) for line in place.log.lines if line.kind == "starting"}
    assert started == {("remote", "boss@example.org"), ("remote", "somebody@elsewhere.example")}
    assert any(b"X-Rcpt-Args: <boss@example.org>" in text for text in texts)
    assert all(b"X-Mail-Args: <%s@example.org>" % place.user.encode() in text for text in texts)
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


def test_it_keeps_mail_while_the_relay_is_away(place: Place) -> None:
    place.control("locals", "")
    place.control("smtproutes", f":127.0.0.1:{free_port()}\n")
    place.start()
    place.send("boss@example.org")
    assert place.log.wait("delivery").outcome == "deferral"
    place.stop()
    assert not place.queue_is_empty()


PASSWORD = "correct:horse battery"


def become_null_client(place: Place, tmp_path: object, port: int, options: str) -> Authority:
    """All mail goes to a relay on this port that has a certificate for 127.0.0.1."""
    authority = Authority(f"{tmp_path}/authority")
    os.chmod(str(tmp_path), 0o755)
    os.chmod(authority.folder, 0o755)
    os.chmod(authority.certificate, 0o644)
    place.environment["SSL_CERT_FILE"] = authority.certificate
    place.control("locals", "")
    place.control("smtproutes", f":127.0.0.1:{port} {options}\n")
    return authority


def write_login(place: Place, password: str) -> None:
    place.control("smtpauth", f"isp:joe:{password}\n")
    path = f"{place.home}/control/smtpauth"
    if os.geteuid() == 0:
        os.chown(path, place.uid_of("qmailr"), -1)
    os.chmod(path, 0o400)


def test_the_relay_wants_a_login(place: Place, tmp_path: object) -> None:
    authority = become_null_client(place, tmp_path, 1, "auth=isp")
    smarthost = Smarthost(authority.server("smarthost", "IP:127.0.0.1"), b"joe", PASSWORD.encode())
    place.control("smtproutes", f":127.0.0.1:{smarthost.port} auth=isp\n")
    write_login(place, "wrong")
    place.start()
    with smarthost:
        place.send("boss@example.org")
        refused = place.log.wait("delivery")
        assert refused.outcome == "deferral"
        assert "my_login_in_control/smtpauth_was_refused" in refused.text
        assert "535" in refused.text
        warned = place.log.wait("warning")
        assert warned.words == (
            f"the relay 127.0.0.1 port {smarthost.port} refuses our login; its mail waits: mend control/smtpauth"
        )
        os.unlink(f"{place.home}/control/smtpauth")
        write_login(place, PASSWORD)
        place.send("boss@example.org")
        place.log.ends(2)  # the first one is woken by the second
    assert len(smarthost.envelopes) == 2
    sent = [line for line in place.log.lines if line.kind == "delivery" and line.outcome == "success"]
    assert all("Sent_by_TLSv1.3_" in line.text and "certificate_verified" in line.text for line in sent)
    assert PASSWORD.split(":", maxsplit=1)[0] not in place.log.text()
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


def test_a_login_that_others_can_read_is_not_used(place: Place, tmp_path: object) -> None:
    become_null_client(place, tmp_path, free_port(), "auth=isp")
    write_login(place, PASSWORD)
    os.chmod(f"{place.home}/control/smtpauth", 0o444)
    place.start()
    place.send("boss@example.org")
    refused = place.log.wait("delivery")
    assert refused.outcome == "deferral"
    assert "others_can_read_or_write_it" in refused.text
    place.stop()


def test_mail_of_a_relay_that_comes_back_goes_out_at_once(place: Place, tmp_path: object) -> None:
    port = free_port()
    place.control("locals", "")
    place.control("smtproutes", f":127.0.0.1:{port}\n")
    place.start()
    for number in range(3):
        after = place.log.count()
        place.send(f"{number}@example.org")
        away = place.log.wait("delivery", after=after)
        assert away.outcome == "deferral"
        assert f"Mail_waits_for_the_relay_127.0.0.1_port_{port}." in away.text
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port) as sink:
        place.send("last@example.org")
        place.log.ends(4)
        assert len(sink.mail(4)) == 4
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()
