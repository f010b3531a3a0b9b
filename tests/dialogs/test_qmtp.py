"""The real qmail-qmtpd on pipes: every row of its protocol, byte for byte, and what hostile clients send."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from qmailpy.wire import netstring, qmtp
from tests.queue_support import is_empty, new_home, open_door, queued
from tests.support import CHECKOUT, PATH, RecordingQueue, wait_for, write

PROGRAM = f"{CHECKOUT}/bin/qmail-qmtpd"
CLIENT = {"TCPREMOTEIP": "192.0.2.7", "TCPREMOTEHOST": "client.example", "TCPLOCALHOST": "mx.example.org"}
MESSAGE = b"Subject: x\n\nbody\n"
SENDER, HERE, ELSEWHERE = b"me@sender.example", b"joe@here.example", b"ann@elsewhere.example"
NOT_HERE = b"66:Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1),"
BAD_RECIPIENT = b"46:Dsorry, I can't handle that recipient (#5.1.3),"
BAD_SENDER = b"29:Dunacceptable sender (#5.1.7),"
TOO_BIG = b"61:Dsorry, that message size exceeds my databytes limit (#5.3.4),"
ACCEPTED = re.compile(rb"\d+:Kok \d+ qp \d+,")


class Server:
    """A home, and a queue that records; serve() is one connection."""

    def __init__(self, folder: Path, code: int = 0, text: str = "") -> None:
        self.home = new_home(folder)
        write(f"{self.home}/control/rcpthosts", "here.example\n.below.example\n")
        write(f"{self.home}/control/recipientcheck", "0\n")
        self.queue = RecordingQueue(f"{folder}/queue", code, text)
        self.code, self.log = -1, b""

    def serve(self, said: bytes, **environment: str) -> bytes:
        """What the server answers to all this; its exit code is in code, what it logged in log."""
        return self.serve_in({**self.queue.environment, **environment}, said)

    @property
    def accepted(self) -> list[tuple[bytes, bytes]]:
        """(message, envelope) of each that was given to the queue whole."""
        return [one for one in self.queue.messages if one[1]]

    def serve_in(self, environment: Mapping[str, str], said: bytes) -> bytes:
        done = subprocess.run(
            [PROGRAM],
            input=said,
            env={"PATH": PATH, "QMAILHOME": self.home, **CLIENT, **environment},
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.code, self.log = done.returncode, done.stderr
        return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def body(message: bytes) -> bytes:
    """Without the Received line."""
    head, date, rest = message.partition(b"-0000\n")
    assert re.fullmatch(
        rb"Received: from client.example \(192.0.2.7\)\n  by mx.example.org with QMTP; \d+ ... \d{4} ..:..:.. ", head
    ), head
    assert date
    return rest


def test_each_recipient_has_its_own_answer(server: Server) -> None:
    recipients = [HERE, ELSEWHERE, b"x@a.below.example", b"local", b"a" * 1000, b"n\0ul@here.example", HERE.upper()]
    answer = server.serve(qmtp.request(MESSAGE, SENDER, recipients))
    first = ACCEPTED.match(answer)
    assert first is not None
    yes = first[0]
    assert answer == yes + NOT_HERE + yes + yes + BAD_RECIPIENT + BAD_RECIPIENT + yes
    assert server.code == 0
    [(message, envelope)] = server.accepted
    assert body(message) == MESSAGE
    taken = [HERE, b"x@a.below.example", b"local", HERE.upper()]
    assert envelope == b"F" + SENDER + b"\0" + b"".join(b"T%s\0" % one for one in taken) + b"\0"


def test_relay_clients_send_to_everybody_and_their_suffix_is_appended(server: Server) -> None:
    answer = server.serve(qmtp.request(MESSAGE, SENDER, [ELSEWHERE, b"a" * 995, b"a" * 996]), RELAYCLIENT="@fix")
    assert ACCEPTED.sub(b"K", answer) == b"KK" + BAD_RECIPIENT
    assert b"T%s@fix\0T%s@fix\0\0" % (ELSEWHERE, b"a" * 995) in server.accepted[0][1]


def test_several_messages_in_one_connection(server: Server) -> None:
    said = b"".join(qmtp.request(b"%d\n" % number, SENDER, [HERE] * number) for number in range(1, 4))
    answer = server.serve(said)
    assert ACCEPTED.sub(b"K", answer) == b"K" * 6
    assert sorted(body(message) for message, _ in server.accepted) == [b"1\n", b"2\n", b"3\n"]


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (b"\nx\r\ny\n", b"x\r\ny\n"),
        (b"\rx\r\ny\r\n", b"x\ny\n"),
        (b"\rx\ry\r\r\nz\n.\r\n", b"x\ry\r\nz\n.\n"),
        (b"\rx\r", b"x\r"),
        (b"\n", b""),
        (b"\r", b""),
        (b"\nno end", b"no end"),
        (b"\n\0\xff\n.\n", b"\0\xff\n.\n"),
        (b"\r" + b"x" * 65533 + b"\r\n" + b"y\r\n" * 40000, b"x" * 65533 + b"\n" + b"y\n" * 40000),
    ],
)
def test_lines_are_stored_by_the_messages_first_byte(server: Server, said: bytes, stored: bytes) -> None:
    answer = server.serve(netstring.pack([said, SENDER, netstring.pack([HERE])]))
    assert ACCEPTED.fullmatch(answer)
    assert body(server.accepted[0][0]) == stored


@pytest.mark.parametrize("sender", [b"a" * 1000, b"a\0b", b"x" * 100_000])
def test_a_sender_that_nobody_can_have_fails_the_message_for_all(server: Server, sender: bytes) -> None:
    answer = server.serve(qmtp.request(MESSAGE, sender, [HERE, ELSEWHERE, HERE]))
    assert answer == BAD_SENDER + NOT_HERE + BAD_SENDER
    assert server.accepted == []


def test_the_empty_sender_of_a_bounce_and_999_bytes_are_fine(server: Server) -> None:
    assert ACCEPTED.fullmatch(server.serve(qmtp.request(MESSAGE, b"", [HERE])))
    assert ACCEPTED.fullmatch(server.serve(qmtp.request(MESSAGE, b"a" * 999, [b"b" * 999])))


@pytest.mark.parametrize(("limit", "fits"), [("17", True), ("16", False), ("0", True), ("16x", False), ("x", True)])
def test_databytes_counts_what_is_stored(server: Server, limit: str, fits: bool) -> None:
    assert len(MESSAGE) == 17
    dos = b"\r" + MESSAGE.replace(b"\n", b"\r\n")
    answer = server.serve(netstring.pack([dos, SENDER, netstring.pack([HERE])]), DATABYTES=limit)
    assert bool(ACCEPTED.fullmatch(answer)) is fits
    assert fits or answer == TOO_BIG
    write(f"{server.home}/control/databytes", "5\n")
    assert server.serve(qmtp.request(MESSAGE, b"a\0b", [HERE])) == TOO_BIG
    assert b"rule=databytes" in server.log


@pytest.mark.parametrize(
    ("code", "text", "answer"),
    [
        (53, "", b"46:Zqq write error or disk full (#4.3.0),"),
        (31, "", b"53:Dmail server permanently rejected message (#5.3.0),"),
        (82, "Dno spam please", b"15:Dno spam please,"),
        (82, "Zlater", b"6:Zlater,"),
        (99, "", b"34:Zqq temporary problem (#4.3.0),"),
    ],
)
def test_what_the_queue_says_is_said_to_each_it_was_asked_for(
    tmp_path: Path, code: int, text: str, answer: bytes
) -> None:
    server = Server(tmp_path, code, text)
    expected = netstring.encode(answer.partition(b":")[2][:-1])
    assert server.serve(qmtp.request(MESSAGE, SENDER, [HERE, ELSEWHERE, HERE])) == expected + NOT_HERE + expected
    assert b'rule=queue helo=- from=<me@sender.example> to=- reply="' in server.log


def test_the_same_by_the_door(server: Server) -> None:
    with open_door(server.home):
        answer = server.serve_in({}, qmtp.request(MESSAGE, SENDER, [HERE]) * 2)
        assert ACCEPTED.sub(b"K", answer) == b"KK"
        assert [message.todo.recipients for message in queued(server.home)] == [[HERE], [HERE]]
        assert server.serve_in({}, qmtp.request(MESSAGE, SENDER, [ELSEWHERE])) == NOT_HERE
        server.serve_in({}, qmtp.request(MESSAGE, SENDER, [HERE])[:-1])
        assert server.code == 0
        assert len(queued(server.home)) == 2


def test_recipients_are_checked_during_the_session_as_by_smtp(server: Server) -> None:
    write(f"{server.home}/control/recipientcheck", "550\n")
    write(f"{server.home}/control/recipients", "joe@here.example\n")
    os.makedirs(f"{server.home}/users", exist_ok=True)
    subprocess.run(
        [f"{CHECKOUT}/bin/qmail-recipients"], env={"PATH": PATH, "QMAILHOME": server.home}, check=True, timeout=60
    )
    answer = server.serve(qmtp.request(MESSAGE, SENDER, [b"nobody@here.example", HERE]))
    no = netstring.encode(b"Dsorry, no mailbox here by that name (#5.1.1)")
    assert ACCEPTED.sub(b"K", answer) == no + b"K"
    assert b"rule=recipient helo=- from=<me@sender.example> to=<nobody@here.example>" in server.log


BAD_MAIL_FROM = netstring.encode(b"Dsorry, your envelope sender is in my badmailfrom list (#5.7.1)")
LISTED = netstring.encode(b"Zgo away")


@pytest.mark.parametrize(
    ("files", "environment", "answers"),
    [
        ({"badmailfrom": "@sender.example\n"}, {}, [BAD_MAIL_FROM, BAD_MAIL_FROM]),
        ({"badmailfrom": "@sender.example\n"}, {"RELAYCLIENT": ""}, [BAD_MAIL_FROM, BAD_MAIL_FROM]),
        ({"badmailfrom": "@other.example\n"}, {}, [b"K", NOT_HERE]),
        (
            {"badrcptto": "joe@here.example\n"},
            {},
            [netstring.encode(b"Dsorry, that address is in my badrcptto list (#5.7.1)"), NOT_HERE],
        ),
        ({"badrcptto": "joe@here.example\n"}, {"RELAYCLIENT": ""}, [b"K", b"K"]),
        ({}, {"RBLSMTPD": "go away"}, [LISTED, NOT_HERE]),
        ({}, {"RBLSMTPD": "-go away"}, [netstring.encode(b"Dgo away"), NOT_HERE]),
        ({}, {"RBLSMTPD": "go away", "RELAYCLIENT": ""}, [b"K", b"K"]),
        ({}, {"RCPTCHECK": "/bin/false"}, [b"K", NOT_HERE]),
        ({"smtpplugins": "[rcpt]\n:echo 'E550 no'\n", "badhelo": "*\n"}, {}, [b"K", NOT_HERE]),
    ],
)
def test_lists_of_senders_recipients_and_addresses_count_as_by_smtp(
    server: Server, files: dict[str, str], environment: dict[str, str], answers: list[bytes]
) -> None:
    for name, text in files.items():
        write(f"{server.home}/control/{name}", text)
    answer = server.serve(qmtp.request(MESSAGE, SENDER, [HERE, ELSEWHERE]), **environment)
    assert ACCEPTED.sub(b"K", answer) == b"".join(answers)


def test_what_rcptcheck_says_is_said_for_its_recipient_alone(server: Server, tmp_path: Path) -> None:
    program = f"{tmp_path}/check"
    write(program, "#!/bin/sh\ncase $RECIPIENT in joe@*) exit 100;; ann@*) exit 111;; bob@*) exit 112;; esac\n")
    os.chmod(program, 0o755)
    recipients = [HERE, b"ann@here.example", b"bob@here.example", b"tim@here.example"]
    answer = server.serve(qmtp.request(MESSAGE, SENDER, recipients), RCPTCHECK=program)
    no = netstring.encode(b"Dsorry, no mailbox here by that name (#5.1.1)")
    unable = netstring.encode(b"Zunable to verify recipient (#4.3.0)")
    assert ACCEPTED.sub(b"K", answer) == no + unable + b"3:Kok,K"
    assert server.accepted[0][1] == b"F" + SENDER + b"\0Ttim@here.example\0\0"


def test_who_tries_out_names_is_put_off_after_a_thousand(server: Server) -> None:
    write(f"{server.home}/control/recipientcheck", "550\n")
    write(f"{server.home}/control/recipients", "joe@here.example\n")
    os.makedirs(f"{server.home}/users", exist_ok=True)
    subprocess.run(
        [f"{CHECKOUT}/bin/qmail-recipients"], env={"PATH": PATH, "QMAILHOME": server.home}, check=True, timeout=60
    )
    names = [b"n%d@here.example" % number for number in range(1000)]
    answer = server.serve(qmtp.request(MESSAGE, SENDER, [*names, HERE]))
    assert answer.count(b"Dsorry, no mailbox here") == 1000
    assert answer.endswith(netstring.encode(b"Zsorry, too many recipients (#4.5.3)"))


# what no client says


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", 0),
        (b"0:,", 100),
        (b"1:x,", 100),
        (b"2:\nx;", 100),
        (b":\n,", 100),
        (b"-1:x", 100),
        (b"007:\nx,", 100),
        (b"1_0:\n", 100),
        (b"GET / HTTP/1.1\r\n\r\n", 100),
        (b"EHLO x\r\n", 100),
        (b"200000000:\n", 0),
        (b"200000001:\n", 111),
        (b"999999999:\n", 111),
        (b"4294967297:\n", 111),
        (b"9" * 100_000, 111),
        (b"0" * 100_000, 100),
        (netstring.pack([b"\nx", SENDER]) + b"5:9:ab,,", 100),
        (netstring.pack([b"\nx", SENDER]) + b"5:2:ab;,", 100),
        (netstring.pack([b"\nx", SENDER]) + b"4:2:ab,", 100),
        (netstring.pack([b"\nx", SENDER]) + b"2:12,", 100),
        (netstring.pack([b"\nx", SENDER]) + b"20:999999999:xxxxxxxxx,", 111),
        (netstring.pack([b"\nx", SENDER, netstring.pack([HERE])])[:-1] + b";", 100),
    ],
)
def test_what_is_not_qmtp_ends_the_connection_without_a_word(server: Server, said: bytes, code: int) -> None:
    assert server.serve(said) == b""
    assert server.code == code
    assert server.accepted == []
    assert b"internal error" not in server.log


def test_a_client_that_ends_anywhere_leaves_nothing_behind(server: Server) -> None:
    said = qmtp.request(b"x\n", b"a@b", [b"c@here.example"])
    with open_door(server.home):
        for length in range(len(said)):
            assert server.serve_in({}, said[:length]) == b""
            assert server.code == 0
        wait_for(lambda: is_empty(server.home), "an empty queue")


def test_byte_by_byte_it_is_the_same(server: Server) -> None:
    said = qmtp.request(MESSAGE, SENDER, [HERE, ELSEWHERE])
    process = subprocess.Popen(
        [PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": PATH, "QMAILHOME": server.home, **CLIENT, **server.queue.environment},
        bufsize=0,
    )
    assert process.stdin is not None
    for at in range(len(said)):
        process.stdin.write(said[at : at + 1])
    answer, _ = process.communicate(timeout=60)
    assert ACCEPTED.sub(b"K", answer) == b"K" + NOT_HERE


def test_a_hundred_thousand_recipients_are_answered_in_order_and_the_log_stays_short(server: Server) -> None:
    recipients = [HERE, ELSEWHERE] * 50_000
    answer = server.serve(qmtp.request(MESSAGE, SENDER, recipients))
    assert ACCEPTED.sub(b"K", answer) == (b"K" + NOT_HERE) * 50_000
    assert server.log.count(b"\n") == 100
    assert server.accepted[0][1].count(b"T" + HERE) == 50_000


def test_a_million_recipients_are_too_many(server: Server) -> None:
    answer = server.serve(netstring.pack([b"\nx", SENDER, b"0:," * 1_000_001]))
    assert (server.code, answer, server.accepted) == (111, b"", [])
    assert b'reply="too many recipients"' in server.log


def test_unreadable_controls_are_temporary(server: Server) -> None:
    subprocess.run(["mkdir", f"{server.home}/control/databytes"], check=True)
    assert server.serve(qmtp.request(MESSAGE, SENDER, [HERE])) == b""
    assert server.code == 111


def test_a_refusal_is_one_line_of_the_log_whatever_the_addresses_are(server: Server) -> None:
    server.serve(qmtp.request(MESSAGE, b"a\nb", [b"x\ny@elsewhere.example"]))
    assert server.log == (
        b"qmail-qmtpd: refused 192.0.2.7 rule=rcpthosts helo=- from=<a_b> to=<x_y@elsewhere.example> "
        b'reply="Dsorry, that domain isn\'t in my list of allowed rcpthosts (#5.7.1)"\n'
    )


def test_what_was_received_is_told_where_that_is_wanted(server: Server) -> None:
    said = qmtp.request(MESSAGE, SENDER, [HERE])
    assert ACCEPTED.fullmatch(server.serve(said))
    assert server.log == b""
    write(f"{server.home}/control/trace", "1\n")
    assert ACCEPTED.fullmatch(server.serve(said))
    told = rb"trace: msg=- by=qmail-qmtpd event=received qp=\d+ client=192\.0\.2\.7\n"
    assert re.fullmatch(told, server.log)
