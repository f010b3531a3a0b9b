"""PIC/bounce.md: mail that another host refuses comes back to its sender, with the reason and a copy."""

import email
import email.policy
from email.message import EmailMessage, Message

from tests.logs import in_order
from tests.neighbours import smtp_sink
from tests.places import Place
from tests.support import wait_for
from tests.world import FAR, OTHER, REFUSES, WAYS, world

SAID = f"{FAR} does not like recipient.\nRemote host said: 550 5.1.1 nobody here by that name\nGiving up on {FAR}.\n"
LETTER = "From: joe\nSubject: for nobody\n\nHello, you.\n"


@WAYS
def test_bounce(place: Place, tmp_path: object) -> None:
    """One of two recipients is refused: the other one has the mail, the sender a bounce about the one."""
    place.start()
    with world(tmp_path, None, *REFUSES), smtp_sink(f"{tmp_path}/other", OTHER) as other:
        done = place.run("sendmail", "ann@far.example", "bob@other.example", stdin=LETTER.encode())
        assert done.code == 0
        (text,) = place.mail()
        place.log.ends(2)
        other.mail()
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()

    in_order(
        place.log,
        r"delivery \d+: failure: 198\.51\.100\.25_does_not_like_recipient\./Remote_host_said:_550_5\.1\.1_.*/",
        r"bounce msg \d+ qp \d+",
        r"end msg \d+",
    )
    bounced = place.log.wait("bounce")
    (info,) = [line for line in place.log.lines if line.kind == "info" and line.qp == bounced.qp]
    assert (info.sender, int(info.uid)) == ("", place.uid_of("qmails"))
    header, body = (part.decode() for part in text.split(b"\n\n", 1))
    assert header.split("\n")[:2] == ["Return-Path: <>", f"Delivered-To: {place.address}"]
    for field in (f"From: MAILER-DAEMON@{place.domain}", f"To: {place.address}", "Subject: failure notice"):
        assert field in header.split("\n")
    # QSBMF, as programs read it: an opening, a paragraph for each recipient, a break, the message
    opening, failed, rest = body.split("\n\n", 2)
    assert opening.startswith(f"Hi. This is the qmail-send program at {place.domain}.\n")
    assert failed == f"<ann@far.example>:\n{SAID}".rstrip("\n")
    line, copy = rest.split("\n\n", 1)
    assert line == "--- Below this line is a copy of the message."
    assert copy.startswith(f"Return-Path: <{place.address}>\nReceived: (qmail ")
    assert copy.endswith(f"\n\n{LETTER.partition(chr(10) * 2)[2]}")


@WAYS
def test_a_bounce_that_programs_read(place: Place, tmp_path: object) -> None:
    place.control("bounceformat", "dsn\n")
    place.start()
    with world(tmp_path, None, *REFUSES):
        words = ("sendmail", "-N", "failure", "-V", "letter-7", "ann@far.example")
        assert place.run(*words, stdin=LETTER.encode()).code == 0
        (text,) = place.mail()
        place.log.ends(2)
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()

    bounce = email.message_from_bytes(text, policy=email.policy.default)
    assert isinstance(bounce, EmailMessage)
    assert bounce.get_content_type() == "multipart/report"
    assert bounce.get_param("report-type") == "delivery-status"
    words_for_people, status, copy = list(bounce.iter_parts())
    assert f"<ann@far.example>:\n{SAID}" in words_for_people.get_content()
    assert status.get_content_type() == "message/delivery-status"
    message, recipient = fields(status)
    assert message["Reporting-MTA"] == f"dns; {place.domain}"
    assert message["Original-Envelope-Id"] == "letter-7"
    assert recipient["Final-Recipient"] == "rfc822; ann@far.example"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Remote-MTA"] == f"dns; [{FAR}]"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 nobody here by that name"
    assert copy.get_content_type() == "message/rfc822"
    original = copy.get_content()
    assert isinstance(original, EmailMessage)
    assert original["Subject"] == "for nobody"
    assert original.get_content() == "Hello, you.\n"


def fields(status: Message) -> list[Message]:
    """The groups of message/delivery-status, as the standard library reads them."""
    groups = status.get_payload()
    assert isinstance(groups, list)
    return [group for group in groups if isinstance(group, Message)]
