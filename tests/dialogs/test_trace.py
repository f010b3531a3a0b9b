"""control/trace: what each program tells of a message in a system that runs, that nobody can forge it, and that it is
off otherwise; and the story that qmail-trace makes of that very log.
"""

import json
import signal
from base64 import b64encode

import pytest

from qmailpy.rules import trace
from tests.neighbours import smtp_sink
from tests.places import ROOMS, Place
from tests.reception_support import LISTENER, serving
from tests.smarthost import PASSWORD, USER, smarthost
from tests.smtp_support import Server, lines
from tests.support import free_port, give, write

EMBEDDED = [room for room in ROOMS if room.id == "embedded"]
RESIDENT = [room for room in ROOMS if room.id in ("embedded", "classic")]
EXECUTED = [room for room in ROOMS if room.id == "embedded-exec"]
FORGED = "trace: msg=1.1 by=qmail-send event=end"


def traces(place: Place) -> list[dict[str, str]]:
    """All trace lines, as fields."""
    found = []
    for line in place.log.lines:
        if line.kind == "trace":
            fields = trace.decode(line.words.encode("latin-1"))
            assert fields is not None, line
            found.append({name: value.decode("latin-1") for name, value in fields.items()})
    return found


def story(place: Place, word: str, *options: str) -> str:
    """What qmail-trace says of the log."""
    done = place.run("qmail-trace", *options, word, place._log_path)
    assert done.code == 0, done.errors
    return done.output.decode()


@pytest.mark.parametrize("place", RESIDENT, indirect=True)
def test_everybody_tells_of_a_message_and_nobody_can_forge_it(place: Place, tmp_path: object) -> None:
    port, dead = free_port(), free_port()
    place.control("trace", "1\n")
    routes = f"far.example:127.0.0.1:{port}\ndead.example:127.0.0.1:{dead}\n"
    place.control("smtproutes", routes)
    place.user_file(".qmail-two", f"|echo '{FORGED}'\n./Maildir/\n")
    place.user_file(".qmail-no", f"|echo '{FORGED}'; exit 100\n")
    place.start()
    name = f"{place.user}-two@{place.domain}"
    with smtp_sink(f"{tmp_path}/sink", "127.0.0.1", port):
        text = f"Subject: x\nMessage-ID: <a\n {FORGED}@b>\nMessage-ID: <one@here>\n\nx\n"
        place.send(name, text, sender=f'"a\n{FORGED}"@x.example')
        place.log.ends(1)
        place.send("you@far.example")
        place.log.ends(2)
    place.send(f"{place.user}-no@{place.domain}", "Subject: x\nMessage-ID: <two@here>\n\nx\n")
    place.log.ends(4)
    place.send("you@dead.example")
    place.log.wait("delivery", outcome="deferral")
    place.stop()

    everybody_has_told(place, name, port)
    everything_is_in_its_story(place, name)


def everybody_has_told(place: Place, name: str, port: int) -> None:
    """Of the four messages of the test above."""
    told = traces(place)
    assert not place.log.strangers()
    assert all(fields["msg"] != "1.1" for fields in told)
    by = {(fields["by"], fields["event"]): fields for fields in reversed(told)}
    accepted = by["qmail-queued", "accepted"]
    assert accepted["uid"] == str(place.uid)
    assert accepted["recipients"] == "1"
    info = place.log.wait("info")
    assert accepted["msg"].startswith(info.msg + ".")
    assert accepted["qp"] == info.qp
    new = by["qmail-send", "new"]
    assert (new["msg"], new["qp"], new["bytes"]) == (accepted["msg"], info.qp, info.bytes)
    route = by["qmail-send", "route"]
    assert (route["recipient"], route["channel"], route["rule"]) == (name, "local", f"locals:{place.domain}")
    assert by["qmail-send", "try"]["delivery"] == "1"
    user = by["qmail-lspawn", "user"]
    assert (user["uid"], user["ext"], user["by-file"]) == (str(place.uid), "two", "accounts")
    local = by["qmail-local", "dotqmail"]
    assert (local["file"], local["lines"], local["went"]) == (".qmail-two", "2", "program; maildir ./Maildir/")
    remote = by["qmail-remote", "route"]
    assert (remote["host"], remote["rule"], remote["line"]) == (
        "far.example",
        "smtproutes:far.example",
        f"127.0.0.1:{port}",
    )
    assert by["qmail-remote", "addresses"]["count"] == "1"
    assert by["qmail-remote", "connect"]["result"] == "new"
    assert by["qmail-remote", "answer"]["reply"].startswith("250 ")
    assert {fields["verdict"] for fields in told if fields["event"] == "result"} == {"success", "failure", "deferral"}
    assert by["qmail-send", "bounce"]["qp"] == place.log.wait("bounce").qp
    assert by["qmail-send", "wait"]["channel"] == "remote"
    refused = [fields for fields in told if fields["event"] == "connect"][-1]
    assert refused["result"] == "connection refused"
    assert sum(fields["event"] == "end" for fields in told) == 4


def everything_is_in_its_story(place: Place, name: str) -> None:
    """As qmail-trace tells it."""
    keys = {fields["msg"] for fields in traces(place)}
    failed = story(place, "<two@here>")
    assert "failed for good: trace: msg=1.1 by=qmail-send event=end" in failed
    assert "its sender is told" in failed
    assert "(because of message" in failed
    assert "(because of message" not in story(place, name)
    waiting = story(place, "YOU@dead.example")
    assert "the remote recipients are tried again at 2" in waiting
    assert "no connection to 127.0.0.1 (127.0.0.1): connection refused" in waiting
    assert "it has not left the queue" in waiting
    (told_far,) = [json.loads(line) for line in story(place, "you@far.example", "--json").splitlines()]
    assert told_far["ended"]
    assert told_far["whole"]
    assert told_far["key"] in keys
    assert {event["trace"]["msg"] for event in told_far["events"] if "trace" in event} == {told_far["key"]}


@pytest.mark.parametrize("place", EMBEDDED, indirect=True)
def test_it_is_off_until_somebody_wants_it_and_a_hup_is_enough(place: Place) -> None:
    place.start()
    place.send(place.address)
    place.log.ends(1)
    assert not traces(place)
    place.control("trace", "1\n")
    assert place.daemons is not None
    after = place.log.count()
    place.daemons.send_signal(signal.SIGHUP)
    place.log.wait("status", after=after)
    place.send(place.address)
    place.log.ends(2)
    assert [fields["by"] for fields in traces(place) if fields["event"] in ("user", "dotqmail")] == [
        "qmail-lspawn",
        "qmail-local",
    ]
    place.control("trace", "0\n")
    after = place.log.count()
    place.daemons.send_signal(signal.SIGHUP)
    place.log.wait("status", after=after)
    place.send(place.address)
    place.log.ends(1, after)
    place.stop()
    assert [line.kind for line in place.log.lines[after:]].count("trace") <= 1  # of the door, which looks now and then


@pytest.mark.parametrize("place", EXECUTED, indirect=True)
def test_programs_that_are_executed_tell_nothing_and_deliver(place: Place) -> None:
    place.control("trace", "1\n")
    place.start()
    place.send(place.address)
    place.log.ends(1)
    place.stop()
    assert {fields["by"] for fields in traces(place)} == {"qmail-send", "qmail-queued"}


@pytest.mark.parametrize("place", EMBEDDED, indirect=True)
def test_a_qmail_remote_that_was_replaced_is_named_and_works(place: Place) -> None:
    place.control("trace", "1\n")
    wrapper = f"{place.home}/bin/qmail-remote"
    write(wrapper, "#!/bin/sh\nprintf 'r\\0Kit went\\n\\0'\n", 0o755)
    place.start()
    place.send("you@far.example")
    place.log.ends(1)
    place.stop()
    executed = [fields for fields in traces(place) if fields["by"] == "qmail-rspawn"]
    assert [(fields["event"], fields["program"]) for fields in executed] == [("execute", wrapper)]


def test_a_server_names_the_qp_of_what_it_has_received_and_nothing_that_a_client_says_ends_its_line(
    tmp_path: object,
) -> None:
    server = Server(tmp_path)
    script = lines(
        b'EHLO x"\x01 trace:',
        b"MAIL FROM:<a@b>",
        b"RCPT TO:<joe@mx.example.org>",
        b"DATA",
        b"Subject: x",
        b"",
        b".",
        b"QUIT",
    )
    assert not [note for note in server.talk(script).notes if note.startswith(b"trace:")]
    server.control(trace="1\n")
    (note,) = [note for note in server.talk(script).notes if note.startswith(b"trace:")]
    fields = trace.decode(note.removeprefix(b"trace: "))
    assert fields is not None
    assert (fields["msg"], fields["by"], fields["event"], fields["qp"]) == (b"-", b"qmail-smtpd", b"received", b"457")
    assert fields["helo"] == b'x"\x01 trace:'


@pytest.mark.parametrize("place", EMBEDDED, indirect=True)
def test_the_story_begins_at_the_server_where_its_log_is_read_too(place: Place) -> None:
    place.control("trace", "1\n")
    place.start()
    with serving(place, LISTENER, free_port()) as port:
        with port.smtp() as client:
            client.mail("you@far.example", place.address)
            client.quit()
        place.log.ends(1)
        place.stop()
        done = place.run("qmail-trace", place.address, f"{place.home}.{port.number}.log", place._log_path)
    text = done.output.decode()
    assert text.splitlines()[1] == "  came by SMTP from 127.0.0.1, which calls itself far.example"
    assert "the door took it from uid" in text
    assert text.endswith("its end: nothing is left to do\n")


@pytest.mark.parametrize("place", EMBEDDED, indirect=True)
def test_tls_and_the_login_are_told_and_the_password_is_not(place: Place, tmp_path: object) -> None:
    with smarthost(str(tmp_path)) as relay:
        place.control("trace", "1\n")
        route = f":127.0.0.1:{relay.port} tls=fingerprint fingerprint={relay.fingerprint} auth=isp\n"
        place.control("smtproutes", route)
        path = write(f"{place.home}/control/smtpauth", f"isp:{USER}:{PASSWORD}\n", 0o400)
        give(path, place.uid, place.gid)
        place.start()
        for count in (1, 2):
            place.send("you@far.example")
            place.log.ends(count)
        place.stop()
    by = {(fields["by"], fields["event"]): fields for fields in reversed(traces(place))}
    assert by["qmail-remote", "tls"]["facts"].startswith("TLSv1.3")
    assert by["qmail-remote", "login"]["user"] == USER
    assert by["qmail-remote", "answer"]["step"] == "done"
    connections = [fields["result"] for fields in traces(place) if fields["event"] == "connect"]
    assert connections[0] == "new"
    assert set(connections[1:]) <= {"new", "warm"}
    for secret in (PASSWORD, b64encode(PASSWORD.encode()).decode()):
        assert secret not in place.log.text()


@pytest.mark.parametrize("place", EMBEDDED, indirect=True)
def test_what_is_told_of_long_lines_in_a_dotqmail_is_short_and_changes_no_verdict(place: Place) -> None:
    place.user_file(".qmail-long", f"./Maildir/\n&{'a' * 200_000}@far.example\n")
    verdicts = []
    for word in ("0", "1"):
        place.control("trace", f"{word}\n")
        after = place.log.count()
        place.start()
        place.send(f"{place.user}-long@{place.domain}")
        line = place.log.wait("delivery", after=after)
        verdicts.append((line.outcome, line.report))
        place.log.ends(2, after)  # and its bounce
        place.stop()
    assert verdicts[0] == verdicts[1]
    assert "crashed" not in verdicts[0][1]
    told = next(fields for fields in traces(place) if fields["event"] == "dotqmail")
    assert told["lines"] == "2"
    assert told["went"].startswith("maildir ./Maildir/; forward aaa")
