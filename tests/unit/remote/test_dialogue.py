"""Deliveries to a peer that misbehaves at every step: the exact words of the report."""

import os
import socket
import threading

import pytest

from tests.remote_support import GOOD, HELO, MESSAGE, NEXT, ON_THE_WIRE, Line, Peer, Place, replies
from tests.support import PATIENCE, write

A = b"127.0.0.1"
DIED = b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"
DIED_AFTER_DOT = b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\0"
TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"
STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")


@pytest.fixture
def place(tmp_path: object) -> Place:
    found = Place(str(tmp_path))
    found.control("timeoutremote", "20")
    return found


def outcome(place: Place, *recipients: bytes, **changed: bytes | None) -> tuple[bytes, bytes]:
    """The report, and what the peer heard."""
    with Peer(replies(changed)) as peer:
        place.route_to(peer)
        report = place.deliver(*recipients)
    [heard] = peer.heard
    return report, heard


def test_a_message_goes_out_whole(place: Place) -> None:
    report, heard = outcome(place)
    assert report == TAKEN
    assert (
        heard
        == (b"EHLO " + HELO.encode() + b"\r\nMAIL FROM:<from@here.example>\r\nRCPT TO:<to@there.example>\r\nDATA\r\n")
        + ON_THE_WIRE
        + b"QUIT\r\n"
    )


@pytest.mark.parametrize(
    ("step", "reply", "report"),
    [
        ("greeting", b"554 go away", b"ZConnected to %s but greeting failed.\nRemote host said: 554 go away\n\0"),
        ("greeting", b"421 busy", b"ZConnected to %s but greeting failed.\nRemote host said: 421 busy\n\0"),
        ("greeting", b"250 hm", b"ZConnected to %s but greeting failed.\nRemote host said: 250 hm\n\0"),
        ("greeting", b"SSH-2.0", b"ZConnected to %s but greeting failed.\nRemote host said: SSH-2.0\n\0"),
        ("EHLO", b"421 who", b"ZConnected to %s but my name was rejected.\nRemote host said: 421 who\n\0"),
        ("EHLO", b"450 who", b"ZConnected to %s but my name was rejected.\nRemote host said: 450 who\n\0"),
        ("MAIL", b"550 no", b"DConnected to %s but sender was rejected.\nRemote host said: 550 no\n\0"),
        ("MAIL", b"450 no", b"ZConnected to %s but sender was rejected.\nRemote host said: 450 no\n\0"),
        ("MAIL", b"354 eh", b"ZConnected to %s but sender was rejected.\nRemote host said: 354 eh\n\0"),
        (
            "RCPT",
            b"550-5.1.1 nope\r\n550 bye",
            b"h%s does not like recipient.\nRemote host said: 550-5.1.1 nope\n550 bye\n\0DGiving up on %s.\n\0",
        ),
        ("RCPT", b"450 no", b"s%s does not like recipient.\nRemote host said: 450 no\n\0DGiving up on %s.\n\0"),
        ("RCPT", b"354 eh", b"s%s does not like recipient.\nRemote host said: 354 eh\n\0DGiving up on %s.\n\0"),
        ("DATA", b"554 no", b"r\0D%s failed on DATA command.\nRemote host said: 554 no\n\0"),
        ("DATA", b"451 no", b"r\0Z%s failed on DATA command.\nRemote host said: 451 no\n\0"),
        ("DATA", b"250 ok", b"r\0Z%s failed on DATA command.\nRemote host said: 250 ok\n\0"),
        ("dot", b"554 no", b"r\0D%s failed after I sent the message.\nRemote host said: 554 no\n\0"),
        ("dot", b"451 no", b"r\0Z%s failed after I sent the message.\nRemote host said: 451 no\n\0"),
        ("dot", b"354 eh", b"r\0Z%s failed after I sent the message.\nRemote host said: 354 eh\n\0"),
        ("dot", b"250 a\0b", b"r\0K%s accepted message.\nRemote host said: 250 a?b\n\0"),
    ],
)
def test_what_a_refusal_is_called(place: Place, step: str, reply: bytes, report: bytes) -> None:
    said, heard = outcome(place, **{step: reply + b"\r\n"})
    assert said == report.replace(b"%s", A)
    assert reply == b"SSH-2.0" or heard.endswith(b"QUIT\r\n")


@pytest.mark.parametrize("no", [b"500 what", b"502 no", b"504 no", b"550 no"])
def test_a_server_that_knows_no_ehlo_gets_helo(place: Place, no: bytes) -> None:
    report, heard = outcome(place, EHLO=no + b"\r\n")
    assert report == TAKEN
    assert heard.startswith(b"EHLO client.example.org\r\nHELO client.example.org\r\nMAIL FROM:")
    report, _ = outcome(place, EHLO=no + b"\r\n", HELO=b"550 no\r\n")
    assert report == b"ZConnected to 127.0.0.1 but my name was rejected.\nRemote host said: 550 no\n\0"


@pytest.mark.parametrize("reply", [b"530 5.7.0 log in first", b"535 no", b"538 by TLS only"])
def test_a_server_that_wants_a_login_holds_the_mail_and_never_bounces_it(place: Place, reply: bytes) -> None:
    report, _ = outcome(place, MAIL=reply + b"\r\n")
    assert report == b"ZConnected to 127.0.0.1 but sender was rejected.\nRemote host said: " + reply + b"\n\0"
    report, _ = outcome(place, RCPT=reply + b"\r\n")
    assert report.startswith(b"s127.0.0.1 does not like recipient.\n")


def test_mail_that_the_relay_cannot_take_says_so_and_mail_that_it_does_not_want_does_not(place: Place) -> None:
    for changed, waits in (
        ({"greeting": b"421 busy\r\n"}, True),
        ({"EHLO": None}, True),
        ({"dot": None}, True),
        ({"MAIL": b"450 later\r\n"}, False),
        ({"dot": b"450 later\r\n"}, False),
        ({"dot": b"550 no\r\n"}, False),
    ):
        with Peer(replies(changed)) as peer:
            place.route_to(peer)
            report = place.deliver(marked=True)
        line = b"Mail waits for the relay 127.0.0.1 port %d.\n\0" % peer.port
        assert report.endswith(line) is waits, report


OFFERS = b"250-peer\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n"


def test_what_the_server_offers_is_used_and_all_is_said_at_once(place: Place) -> None:
    write(place.message, MESSAGE + b"\xe4")

    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(OFFERS)
        line.hear(b"DATA\r\n")  # nothing is answered before all has come
        line.say(b"".join((GOOD["MAIL"], b"550 no\r\n", GOOD["RCPT"], GOOD["DATA"])))
        line.hear_body()
        line.say(GOOD["dot"])
        line.hear_all()

    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver(b"1@there.example", "\u00e4@there.example".encode())
    assert report == b"h127.0.0.1 does not like recipient.\nRemote host said: 550 no\n\0" + TAKEN
    assert b"MAIL FROM:<from@here.example> SIZE=27 BODY=8BITMIME SMTPUTF8\r\n" in peer.heard[0]


@pytest.mark.parametrize("offers", [OFFERS, GOOD["EHLO"]])
def test_a_recipient_refused_means_nobody_gets_it_if_all_are_wanted(place: Place, offers: bytes) -> None:
    for no, item in ((b"450 later\r\n", b"Z"), (b"550 no\r\n", b"D")):

        def script(line: Line, no: bytes = no) -> None:
            for reply in (GOOD["greeting"], offers, GOOD["MAIL"], GOOD["RCPT"]):
                line.say(reply)
                line.hear()
            line.say(no)
            line.hear_all()

        with Peer(script) as peer:
            place.route_to(peer)
            report = place.deliver(b"1@there.example", b"2@there.example", whole=True)
        assert report.endswith(b"\0%sGiving up on 127.0.0.1.\n\0" % item)
        assert b"DATA" not in peer.heard[0]


@pytest.mark.parametrize("step", STEPS)
def test_a_peer_that_closes_is_tried_again_later(place: Place, step: str) -> None:
    report, _ = outcome(place, **{step: None})
    items = b"r\0" if step in ("DATA", "dot") else b""
    assert report == items + (DIED_AFTER_DOT if step == "dot" else DIED)


@pytest.mark.parametrize("step", STEPS)
def test_a_peer_that_closes_in_the_middle_of_a_reply_is_tried_again_later(place: Place, step: str) -> None:
    def script(line: Line) -> None:
        for name in STEPS:
            if name == step:
                line.say(GOOD[name].rstrip())
                return
            line.say(GOOD[name])
            line.hear_body() if name == "DATA" else line.hear()

    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver()
    items = b"r\0" if step in ("DATA", "dot") else b""
    assert report == items + (DIED_AFTER_DOT if step == "dot" else DIED)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
def test_nonsense_in_the_place_of_a_reply(place: Place, step: str) -> None:
    report, _ = outcome(place, **{step: b"what?\0\r\n"})
    items = b"r\0" if step in ("DATA", "dot") else b""
    duplicate = b"Possible duplicate! " if step == "dot" else b""
    assert report == (
        items + b"ZConnected to 127.0.0.1 but its reply makes no sense. " + duplicate + b"(#4.4.2)\n"
        b"Remote host said: what??\n\0"
    )


@pytest.mark.parametrize("line", [b"250-x\r\n", b"250-" + b"x" * 998 + b"\r\n", b"x"])
def test_a_reply_that_never_ends_ends_the_conversation(place: Place, line: bytes) -> None:
    def script(there: Line) -> None:
        there.say(GOOD["greeting"])
        there.hear()
        there.say(GOOD["EHLO"])
        there.hear()
        while True:
            there.say(line * 50)

    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver()
    head = b"ZConnected to 127.0.0.1 but its reply makes no sense. (#4.4.2)\nRemote host said: "
    assert report.startswith(head + line.replace(b"\r", b"")[:100])
    assert len(report) == len(head) + 5000 + 1 or line == b"x"


def test_a_megabyte_of_reply_is_reported_in_five_thousand_bytes(place: Place) -> None:
    report, _ = outcome(place, RCPT=b"550-" + b"y" * 40000 + b"\r\n550 end\r\n")
    item = report.split(b"\0")[0]
    assert len(item) == len(b"h127.0.0.1 does not like recipient.\nRemote host said: ") + 5000


def test_replies_that_come_byte_by_byte_and_with_bare_lf(place: Place) -> None:
    plain = {name: reply.replace(b"\r\n", b"\n") for name, reply in GOOD.items()}
    with Peer(replies({**plain, "EHLO": b"250-a\n250-b\n250 c\n"}, byte_by_byte=True)) as peer:
        place.route_to(peer)
        assert place.deliver() == TAKEN


def test_replies_that_all_come_at_once_are_taken_one_after_the_other(place: Place) -> None:
    def script(line: Line) -> None:
        line.say(b"".join(GOOD[name] for name in ("greeting", "EHLO", "MAIL", "RCPT", "DATA")))
        line.hear_body()
        line.say(GOOD["dot"])
        line.hear_all()

    with Peer(script) as peer:
        place.route_to(peer)
        assert place.deliver() == TAKEN


def test_a_yes_to_a_message_that_was_not_sent_yet_is_not_believed(place: Place) -> None:
    def script(line: Line) -> None:
        line.say(b"".join(GOOD[name] for name in ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")))
        line.hear_all()

    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver()
    assert (
        report == b"r\0ZConnected to 127.0.0.1 but its reply makes no sense. (#4.4.2)\nRemote host said: 250 taken\n\0"
    )
    assert b"\r\n.\r\n" not in peer.heard[0]


def test_a_no_in_the_middle_of_a_large_message_is_its_answer(place: Place) -> None:
    write(place.message, b"x" * 70 + b"\n" + b"y" * 30_000_000)

    def script(line: Line) -> None:
        for name in ("greeting", "EHLO", "MAIL", "RCPT"):
            line.say(GOOD[name])
            line.hear()
        line.say(GOOD["DATA"])
        line.hear(b"x" * 70)
        line.say(b"552 too big\r\n")
        line.connection.shutdown(socket.SHUT_WR)
        line.hear_all()

    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver()
    assert report == b"r\0D127.0.0.1 failed after I sent the message.\nRemote host said: 552 too big\n\0"


def test_each_recipient_has_its_item_in_the_order_of_argv(place: Place) -> None:
    report, heard = outcome(
        place,
        b"1@there.example",
        b"bad\n@there.example",
        b"2@there.example",
        b"3@there.example",
        RCPT=NEXT.join((b"550 no\r\n", b"450 later\r\n", b"250 yes\r\n")),
    )
    assert report == (
        b"h127.0.0.1 does not like recipient.\nRemote host said: 550 no\n\0"
        b"hSorry, this recipient address cannot be said in SMTP. (#5.1.3)\n\0"
        b"s127.0.0.1 does not like recipient.\nRemote host said: 450 later\n\0"
        b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"
    )
    assert b"bad" not in heard


def test_items_stop_where_the_connection_died(place: Place) -> None:
    def script(line: Line) -> None:
        for name in ("greeting", "EHLO", "MAIL", "RCPT"):
            line.say(GOOD[name])
            line.hear()

    with Peer(script) as peer:
        place.route_to(peer)
        assert place.deliver(b"1@x", b"2@x", b"3@x") == b"r\0" + DIED


@pytest.mark.parametrize("step", ["greeting", "MAIL", "dot"])
def test_a_silent_peer_is_left_after_the_timeout(place: Place, step: str) -> None:
    place.control("timeoutremote", "1")

    def script(line: Line) -> None:
        for name in STEPS:
            if name == step:
                break
            line.say(GOOD[name])
            line.hear_body() if name == "DATA" else line.hear()
        line.hear_all()

    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver()
    assert report == (b"r\0" + DIED_AFTER_DOT if step == "dot" else DIED)


def test_a_peer_that_does_not_read_the_message_is_left_after_the_timeout(place: Place) -> None:
    place.control("timeoutremote", "1")
    write(place.message, b"y" * 30_000_000)

    def script(line: Line) -> None:
        for name in ("greeting", "EHLO", "MAIL", "RCPT"):
            line.say(GOOD[name])
            line.hear()
        line.say(GOOD["DATA"])
        delivered.wait(PATIENCE)

    delivered = threading.Event()
    with Peer(script) as peer:
        place.route_to(peer)
        assert place.deliver() == b"r\0" + DIED
        delivered.set()


def test_an_ill_disk_leaves_no_half_message_at_the_peer(place: Place) -> None:
    os.unlink(place.message)
    os.mkdir(place.message)  # reading a directory fails as reading a bad sector does
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver() == b"ZUnable to read message. (#4.3.0)\n\0"
    assert peer.heard == []


@pytest.mark.parametrize(
    ("sender", "path"),
    [(b"", b"<>"), (b"#@[]", b"<#@[]>"), (b"a b@c", b'<"a b"@c>'), (b"a@b@c", b'<"a@b"@c>')],
)
def test_senders_are_quoted_as_commands_need_it(place: Place, sender: bytes, path: bytes) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver(sender=sender) == TAKEN
    assert b"MAIL FROM:" + path + b"\r\n" in peer.heard[0]


@pytest.mark.parametrize("sender", [b"a\r\nDATA@b", b"a@b> SIZE=1", b"a\n@b"])
def test_a_sender_that_would_be_a_command_never_reaches_the_peer(place: Place, sender: bytes) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver(sender=sender) == b"DSorry, this sender address cannot be said in SMTP. (#5.1.7)\n\0"
    assert peer.heard == []


def test_without_a_recipient_that_can_be_said_nobody_is_called(place: Place) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver(b"a\n@b").startswith(b"hSorry, this recipient address")
    assert peer.heard == []


@pytest.mark.parametrize("size", [65535, 65536, 65537, 200_000])
def test_messages_larger_than_a_piece_arrive_whole(place: Place, size: int) -> None:
    write(place.message, (b"." + b"x" * 70 + b"\n") * (size // 72) + b"z" * (size % 72))
    report, heard = outcome(place)
    assert report == TAKEN
    body = heard.partition(b"DATA\r\n")[2].removesuffix(b".\r\nQUIT\r\n")
    assert body.replace(b"\r\n", b"\n") == (b".." + b"x" * 70 + b"\n") * (size // 72) + (
        b"z" * (size % 72) + b"\n" if size % 72 else b""
    )


def test_what_is_smuggled_in_the_queue_stays_one_message(place: Place) -> None:
    write(place.message, b"x\r.\nMAIL FROM:<evil@x>\n\r.\r\nRSET\n.\r\n")
    report, heard = outcome(place)
    assert report == TAKEN
    assert heard.count(b"\r\n.\r\n") == 1
    assert heard.endswith(b"\r\n.\r\nQUIT\r\n")


def test_the_peer_may_live_at_an_ipv6_address(place: Place) -> None:
    with Peer(replies(), socket.AF_INET6) as peer:
        place.control("smtproutes", f":[::1]:{peer.port}")
        assert place.deliver() == b"r\0K::1 accepted message.\nRemote host said: 250 taken\n\0"


def test_the_file_may_be_shared_and_is_read_from_where_it_stands(place: Place) -> None:
    write(place.message, b"skipped\n" + MESSAGE)
    with Peer(replies()) as peer:
        place.route_to(peer)
        original = os.open

        def open_after_first_line(path: str, flags: int) -> int:
            descriptor = original(path, flags)
            os.lseek(descriptor, 8, os.SEEK_SET)
            return descriptor

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "open", open_after_first_line)
            assert place.deliver() == TAKEN
    assert ON_THE_WIRE in peer.heard[0]
    assert b"skipped" not in peer.heard[0]
