"""PIC/nullclient.md: a machine that keeps no mail: every message goes to the relay."""

from tests.neighbours import smtp_sink
from tests.places import Place
from tests.support import free_port, wait_for


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
