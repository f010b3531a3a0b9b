"""qmail-smtpd, command by command: a row for each line of the specification's tables, and what goes beyond them."""

import re
from pathlib import Path

import pytest

from qmailpy.skeletons.submit import Result
from tests.smtp_support import GREETING, SILENCE, Server, lines

JOE = b"joe@mx.example.org"
BEGIN = (b"MAIL FROM:<a@b.example>", b"RCPT TO:<" + JOE + b">")
NOT_HERE = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
BARE_LF = b"451 See https://cr.yp.to/docs/smtplf.html."
TOO_BIG = b"552 sorry, that message size exceeds my databytes limit (#5.3.4)"
TOO_MANY = b"554 too many hops, this message is looping (#5.4.6)"
GO = b"354 go ahead"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_the_greeting_is_esmtp(server: Server) -> None:
    assert server.talk().said == GREETING + b"\r\n"


def test_smtpgreeting_stands_in_the_greeting_in_helo_and_in_quit(server: Server) -> None:
    server.control(smtpgreeting="welcome here\n")
    talk = server.talk(lines(b"HELO x", b"QUIT"))
    assert talk.said == b"220 welcome here ESMTP\r\n250 welcome here\r\n221 welcome here\r\n"


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"HELO x", b"250 mx.example.org"),
        (b"HELO", b"250 mx.example.org"),
        (b"helo x", b"250 mx.example.org"),
        (b"MAIL FROM:<a@b.example>", b"250 ok"),
        (b"MAIL FROM:<>", b"250 ok"),
        (b"mail from: a@b.example", b"250 ok"),
        (b"MAIL", b"250 ok"),
        (b"MAIL FROM:<a@b.example> FOO=BAR X", b"250 ok"),
        (b"MAIL FROM:<" + b"a" * 899 + b">", b"250 ok"),
        (b"MAIL FROM:<" + b"a" * 900 + b">", b"555 syntax error (#5.5.4)"),
        (b"RCPT TO:<" + JOE + b">", b"503 MAIL first (#5.5.1)"),
        (b"DATA", b"503 MAIL first (#5.5.1)"),
        (b"RSET", b"250 flushed"),
        (b"NOOP", b"250 ok"),
        (b"NOOP what ever", b"250 ok"),
        (b"VRFY joe", b"252 send some mail, i'll try my best"),
        (b"HELP", b"214 notqmail home page: https://notqmail.org"),
        (b"EXPN x", b"502 unimplemented (#5.5.1)"),
        (b"", b"502 unimplemented (#5.5.1)"),
        (b" HELO x", b"502 unimplemented (#5.5.1)"),
        (b"HELOx", b"502 unimplemented (#5.5.1)"),
        (b"STARTTLS", b"502 unimplemented (#5.5.1)"),
        (b"AUTH PLAIN", b"502 unimplemented (#5.5.1)"),
        (b"XCLIENT NAME=x", b"502 unimplemented (#5.5.1)"),
    ],
)
def test_a_command_by_itself(server: Server, command: bytes, reply: bytes) -> None:
    assert server.talk(lines(command)).replies == [reply]


@pytest.mark.parametrize(
    ("commands", "replies"),
    [
        ((b"MAIL FROM:<a@b>", b"DATA"), [b"250 ok", b"503 RCPT first (#5.5.1)"]),
        ((b"MAIL FROM:<a@b>", b"RCPT TO:<x@else.example>"), [b"250 ok", NOT_HERE]),
        ((b"MAIL FROM:<a@b>", b"RCPT TO:<x@MX.Example.ORG>"), [b"250 ok", b"250 ok"]),
        ((b"MAIL FROM:<a@b>", b"RCPT TO:<x@a.sub.example>"), [b"250 ok", b"250 ok"]),
        ((b"MAIL FROM:<a@b>", b"RCPT TO:<x@sub.example>"), [b"250 ok", NOT_HERE]),
        ((b"MAIL FROM:<a@b>", b"RCPT TO:<nohost>"), [b"250 ok", b"250 ok"]),
        ((b"MAIL FROM:<a@b>", b"RCPT TO:<" + b"a" * 900 + b">"), [b"250 ok", b"555 syntax error (#5.5.4)"]),
        ((*BEGIN, b"HELO y", b"RCPT TO:<x>"), [b"250 ok"] * 2 + [b"250 mx.example.org", b"503 MAIL first (#5.5.1)"]),
        ((*BEGIN, b"RSET", b"RCPT TO:<x>"), [b"250 ok"] * 2 + [b"250 flushed", b"503 MAIL first (#5.5.1)"]),
        ((*BEGIN, b"MAIL FROM:<c@d>", b"DATA"), [b"250 ok"] * 3 + [b"503 RCPT first (#5.5.1)"]),
        (
            (*BEGIN, b"MAIL FROM:<" + b"a" * 900 + b">", b"NOOP"),
            [b"250 ok"] * 2 + [b"555 syntax error (#5.5.4)", b"250 ok"],
        ),
        ((b"QUIT", b"NOOP"), [b"221 mx.example.org"]),
    ],
)
def test_commands_in_their_order(server: Server, commands: tuple[bytes, ...], replies: list[bytes]) -> None:
    assert server.talk(lines(*commands)).replies == replies


def test_ehlo_tells_what_is_offered(server: Server) -> None:
    assert server.talk(lines(b"EHLO x")).replies == [
        *(b"250-mx.example.org", b"250-PIPELINING", b"250-8BITMIME", b"250-SIZE"),
        *(b"250-SMTPUTF8", b"250-CHUNKING", b"250 DSN"),
    ]


def test_ehlo_tells_what_qmail_told_where_all_else_is_switched_off(server: Server) -> None:
    server.control(smtputf8="0\n", smtpchunking="0\n", smtpdsn="0\n", databytes="5000\n")
    assert server.talk(lines(b"EHLO x")).replies == [
        *(b"250-mx.example.org", b"250-PIPELINING", b"250-8BITMIME", b"250 SIZE 5000"),
    ]


def test_badmailfrom_is_said_at_rcpt(server: Server) -> None:
    server.control(badmailfrom="evil@b.example\n@worse.example\n")
    bad = b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"
    for sender in (b"Evil@b.example", b"any@worse.EXAMPLE"):
        talk = server.talk(lines(b"MAIL FROM:<" + sender + b">", b"RCPT TO:<" + JOE + b">"))
        assert talk.replies == [b"250 ok", bad]
        assert talk.notes[0].startswith(b"qmail-smtpd: refused 192.0.2.7 rule=badmailfrom ")


def test_without_rcpthosts_everything_is_taken(server: Server) -> None:
    Path(f"{server.path}/control/rcpthosts").unlink()
    assert server.talk(lines(b"MAIL FROM:<>", b"RCPT TO:<x@else.example>")).replies == [b"250 ok"] * 2


def test_relayclient_skips_rcpthosts_and_is_appended(server: Server) -> None:
    server.environment[b"RELAYCLIENT"] = b"@relay.example"
    talk = server.talk(lines(b"MAIL FROM:<>", b"RCPT TO:<x@else.example>", b"DATA"), lines(b"x", b"."))
    assert talk.queued[0].recipients == [b"x@else.example@relay.example"]


# addresses


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"TO:<joe>", b"joe"),
        (b"<joe>", b"joe"),
        (b"TO:<joe> x y <z>", b"joe"),
        (b"TO:<joe", b"joe"),
        (b"TO: joe x", b"joe"),
        (b"TO:joe", b"joe"),
        (b"TO:  joe", b"joe"),
        (b"TO:<@a,@b:joe@mx.example.org>", JOE),
        (b"TO:<@joe>", b""),
        (b"TO:@a:joe", b"joe"),
        (b'TO:<"a b>c"@mx.example.org>', b"a b>c@mx.example.org"),
        (rb"TO:<a\>b@mx.example.org>", b"a>b@mx.example.org"),
        (rb'TO:<"a\"b"@mx.example.org>', b'a"b@mx.example.org'),
        (b'TO:"a b"@mx.example.org x', b"a b@mx.example.org"),
        (b"TO:<a@b@mx.example.org>", b"a@b@mx.example.org"),
        (b"TO:< joe >", b" joe "),
        (b"TO:<\\", b""),
        (b"TO:<>", b""),
        (b"TO:", b""),
        (b"TO:<joe@[127.0.0.1]>", JOE),
        (b"TO:<joe@[0.0.0.0]>", JOE),
        (b"TO:<caf\xc3\xa9@mx.example.org>", b"caf\xc3\xa9@mx.example.org"),
    ],
)
def test_an_address_is_read_as_qmail_reads_it(server: Server, argument: bytes, address: bytes) -> None:
    talk = server.talk(lines(b"MAIL FROM:<>", b"RCPT " + argument, b"DATA", b"x", b"."))
    assert talk.replies[1] == b"250 ok"
    assert talk.queued[0].recipients == [address]
    sender = server.talk(lines(b"MAIL " + argument, b"RCPT TO:<joe>", b"DATA", b"x", b".")).queued[0].sender
    assert sender == address


def test_localiphost_takes_the_place_of_our_own_addresses_only(server: Server) -> None:
    server.control(localiphost="ours.sub.example\n")
    commands = [b"MAIL FROM:<x@[192.0.2.1]>", b"RCPT TO:<x@[127.0.0.1]>", b"RCPT TO:<x@[192.0.2.1]>", b"DATA"]
    talk = server.talk(lines(*commands, b"x", b"."))
    assert talk.replies[:3] == [b"250 ok", b"250 ok", NOT_HERE]
    assert talk.queued[0].recipients == [b"x@ours.sub.example"]
    assert talk.queued[0].sender == b"x@[192.0.2.1]"


# the message


def test_a_message_is_stored_with_its_received_line_and_its_envelope(server: Server) -> None:
    talk = server.talk(
        lines(b"HELO there", b"MAIL FROM:<a@b.example>", b"RCPT TO:<joe>", b"RCPT TO:<ann>", b"RCPT TO:<joe>", b"DATA"),
        b"Subject: x\r\n\r\n..dot\r\n.x\r\na\rb\r\r\n\0\xff\r\n.\r\n",
    )
    (message,) = talk.queued
    assert re.fullmatch(
        rb"Received: from client\.example \(HELO there\) \(192\.0\.2\.7\)\n"
        rb"  by here\.example with SMTP; \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d -0000\n"
        rb"Subject: x\n\n\.dot\nx\na\rb\r\n\0\xff\n",
        message.content,
    )
    assert (message.sender, message.recipients) == (b"a@b.example", [b"joe", b"ann", b"joe"])
    assert message.parameters is None
    assert re.fullmatch(rb"250 ok \d+ qp 457", talk.replies[-1])
    assert talk.replies[-2] == GO


@pytest.mark.parametrize(
    ("helo", "environment", "line"),
    [
        (b"NOOP", {}, b"from client.example (192.0.2.7)"),
        (b"HELO Client.Example", {}, b"from client.example (192.0.2.7)"),
        (b"EHLO a_b(c)[1]", {}, b"from client.example (HELO a?b?c?[1]) (192.0.2.7)"),
        (b"HELO", {}, b"from client.example (HELO ) (192.0.2.7)"),
        (b"NOOP", {b"TCPREMOTEINFO": b"joe doe"}, b"from client.example (joe?doe@192.0.2.7)"),
        (b"NOOP", {b"TCPREMOTEINFO": b""}, b"from client.example (@192.0.2.7)"),
        (b"NOOP", {b"TCPREMOTEHOST": None}, b"from unknown (192.0.2.7)"),
        (b"NOOP", {b"TCPREMOTEIP": b"2001:db8::1"}, b"from client.example (2001:db8::1)"),
        (b"NOOP", {b"TCPREMOTEIP": None}, b"from client.example (unknown)"),
    ],
)
def test_the_received_line_says_who_it_was(
    server: Server, helo: bytes, environment: dict[bytes, bytes | None], line: bytes
) -> None:
    for name, value in environment.items():
        if value is None:
            del server.environment[name]
        else:
            server.environment[name] = value
    talk = server.talk(lines(helo, *BEGIN, b"DATA", b"x", b"."))
    assert talk.queued[0].content.startswith(b"Received: " + line + b"\n  by here.example with SMTP; ")


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({b"TCPLOCALHOST": b"a.example", b"TCPLOCALIP": b"192.0.2.1"}, b"a.example"),
        ({b"TCPLOCALIP": b"192.0.2.1"}, b"192.0.2.1"),
        ({}, b"unknown"),
    ],
)
def test_the_received_line_says_who_we_are(server: Server, environment: dict[bytes, bytes], name: bytes) -> None:
    server.environment.pop(b"TCPLOCALHOST")
    server.environment.update(environment)
    talk = server.talk(lines(*BEGIN, b"DATA", b"x", b"."))
    assert b"\n  by " + name + b" with SMTP; " in talk.queued[0].content


@pytest.mark.parametrize(
    ("text", "reply"),
    [(b"", b"250 ok"), (b"Dno, never (#5.0.0)", b"554 no, never (#5.0.0)"), (b"Zlater\nperhaps", b"451 later perhaps")],
)
def test_the_queues_answer_is_passed_on(server: Server, text: bytes, reply: bytes) -> None:
    server.answer = Result(457, text)
    talk = server.talk(lines(*BEGIN, b"DATA", b"x", b".", b"NOOP"))
    assert talk.replies[-2].startswith(reply)
    assert talk.replies[-1] == b"250 ok"


def test_another_message_follows_in_the_same_session(server: Server) -> None:
    one = lines(*BEGIN, b"DATA", b"one", b".")
    talk = server.talk(one + one.replace(b"one", b"two") + lines(b"QUIT"))
    assert [message.body for message in talk.queued] == [b"one\n", b"two\n"]
    assert talk.code == 0


@pytest.mark.parametrize("word", [b"Received", b"received:", b"DELIVERED-TO: x", b"delivered"])
def test_a_hundred_hops_are_a_loop(server: Server, word: bytes) -> None:
    talk = server.talk(lines(*BEGIN, b"DATA", *[word] * 99, b"", word, b"."))
    assert talk.replies[-1].startswith(b"250 ok ")
    talk = server.talk(lines(*BEGIN, b"DATA", *[word] * 100, b"", b"."))
    assert talk.replies[-1] == TOO_MANY
    assert not talk.queued


def test_databytes_counts_stored_bytes_without_our_received_line(server: Server) -> None:
    server.control(databytes="6\n")
    assert server.talk(lines(*BEGIN, b"DATA", b"..abc", b"", b".")).queued[0].body == b".abc\n\n"
    talk = server.talk(lines(*BEGIN, b"DATA", b"..abcd", b"", b".", b"NOOP"))
    assert talk.replies[-2:] == [TOO_BIG, b"250 ok"]
    assert not talk.queued


@pytest.mark.parametrize(("value", "is_taken"), [(b"3", False), (b"4k", True), (b"x", True), (b"", True), (b"0", True)])
def test_the_variable_databytes_overrides_the_file(server: Server, value: bytes, *, is_taken: bool) -> None:
    server.control(databytes="2\n")
    server.environment[b"DATABYTES"] = value
    assert bool(server.talk(lines(*BEGIN, b"DATA", b"abc", b".")).queued) == is_taken


def test_hops_beat_size_and_size_beats_the_queue(server: Server) -> None:
    server.control(databytes="5\n")
    server.answer = Result(457, b"Dno")
    assert server.talk(lines(*BEGIN, b"DATA", *[b"Received"] * 100, b".")).replies[-1] == TOO_MANY
    assert server.talk(lines(*BEGIN, b"DATA", *[b"Received"] * 99, b".")).replies[-1] == TOO_BIG
    assert server.talk(lines(*BEGIN, b"DATA", b"x", b".")).replies[-1] == b"554 no"


@pytest.mark.parametrize("text", [b"a\nb\r\n.\r\n", b"\n.\n", b"a\r\n.\n", b"a\n.\r\n", b"\r.\n", b"x\r\n\n.\r\n"])
def test_a_lone_lf_ends_the_session(server: Server, text: bytes) -> None:
    talk = server.talk(lines(*BEGIN, b"DATA"), text + lines(*BEGIN, b"DATA", b"smuggled", b".", b"QUIT"))
    assert talk.replies[-1] == BARE_LF
    assert (talk.code, talk.queued) == (1, [])
    assert talk.messages[0].failed


@pytest.mark.parametrize("commands", [(), (b"HELO x",), BEGIN, (*BEGIN, b"DATA")])
def test_a_client_that_says_no_more_times_out(server: Server, commands: tuple[bytes, ...]) -> None:
    script = [lines(*commands)] if commands else []
    talk = server.talk(*script, SILENCE)
    assert talk.replies[-1] == b"451 timeout (#4.4.2)"
    assert (talk.code, talk.queued) == (1, [])


@pytest.mark.parametrize("commands", [(), (b"HELO x",), BEGIN, (*BEGIN, b"DATA"), (*BEGIN, b"DATA", b"x")])
def test_a_client_that_hangs_up_leaves_nothing(server: Server, commands: tuple[bytes, ...]) -> None:
    talk = server.talk(*([lines(*commands)] if commands else []))
    assert (talk.code, talk.queued) == (1, [])


def test_answers_wait_until_the_client_has_said_everything(server: Server) -> None:
    talk = server.talk(lines(*BEGIN, b"RSET"), lines(b"NOOP"))
    greeted = len(GREETING + b"\r\n")
    assert talk.turns[:2] == [greeted, greeted + len(b"250 ok\r\n250 ok\r\n250 flushed\r\n")]


def test_without_any_name_there_is_no_session(server: Server) -> None:
    Path(f"{server.path}/control/me").unlink()
    talk = server.talk(lines(b"NOOP"))
    assert (talk.code, talk.said) == (1, b"421 unable to read controls (#4.3.0)\r\n")


def test_a_line_may_end_with_lf_alone_and_has_one_cr_removed(server: Server) -> None:
    talk = server.talk(b"NOOP\nNOOP\r\r\nHELO x\n")
    assert talk.replies == [b"250 ok", b"502 unimplemented (#5.5.1)", b"250 mx.example.org"]
