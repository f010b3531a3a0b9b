"""qmail-smtpd beyond what qmail had: SIZE, BDAT, DSN, status codes, PROXY, XCLIENT, early talkers, limits."""

import itertools
import os
import struct
from pathlib import Path

import pytest

from qmailpy.receive.smtp.controls import Controls
from tests.dialogs.test_smtpd import BEGIN, GO, NOT_HERE, TOO_BIG, TOO_MANY
from tests.smtp_support import GREETING, SILENCE, Server, lines

FULL = b"452 out of disk space: try again later (#4.3.1)"
GREETED = GREETING + b"\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


# SIZE and other words of MAIL and RCPT


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (b"SIZE=100", b"250 ok"),
        (b"size=100 BODY=8BITMIME", b"250 ok"),
        (b"SIZE=101", TOO_BIG),
        (b"SIZE=1_0", b"501 SIZE must be a number of bytes (#5.5.4)"),
        (b"SIZE=", b"501 SIZE must be a number of bytes (#5.5.4)"),
        (b"SIZE", b"501 SIZE must be a number of bytes (#5.5.4)"),
        (b"SIZE=" + b"9" * 20, b"501 SIZE must be a number of bytes (#5.5.4)"),
        (b"BODY=7BIT SMTPUTF8 RET=HDRS ENVID=a+20b", b"250 ok"),
        (b"BODY=BINARYMIME", b"501 BODY must be 7BIT or 8BITMIME (#5.5.4)"),
        (b"SMTPUTF8=1", b"501 SMTPUTF8 has no value (#5.5.4)"),
        (b"RET=ALL", b"501 RET must be FULL or HDRS (#5.5.4)"),
        (b"AUTH=<> HOLDFOR=5", b"250 ok"),
        (b"REQUIRETLS", b"555 REQUIRETLS is not offered here: nobody could promise it beyond this host (#5.5.4)"),
    ],
)
def test_parameters_of_mail(server: Server, words: bytes, reply: bytes) -> None:
    server.control(databytes="100\n")
    talk = server.talk(lines(b"MAIL FROM:<a@b.example> " + words, b"RCPT TO:<joe>"))
    assert talk.replies == [reply, b"250 ok" if reply == b"250 ok" else b"503 MAIL first (#5.5.1)"]


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (b"NOTIFY=NEVER", b"250 ok"),
        (b"NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y", b"250 ok"),
        (b"ORCPT=rfc822;x+0Ay", b"501 ORCPT must be printable (#5.5.4)"),
        (b"FOO", b"250 ok"),
    ],
)
def test_parameters_of_rcpt(server: Server, words: bytes, reply: bytes) -> None:
    assert server.talk(lines(b"MAIL FROM:<>", b"RCPT TO:<joe> " + words)).replies == [b"250 ok", reply]


def test_wishes_reach_the_queue(server: Server) -> None:
    commands = [b"MAIL FROM:<a@b> RET=HDRS ENVID=42 BODY=8BITMIME", b"RCPT TO:<joe>", b"RCPT TO:<ann> NOTIFY=NEVER"]
    parameters = server.talk(lines(*commands, b"DATA", b"x", b".")).queued[0].parameters
    assert parameters is not None
    assert parameters.message.encode() == b"RET=HDRS ENVID=42 BODY=8BITMIME"
    assert [each and each.encode() for each in parameters.recipients] == [None, b"NOTIFY=NEVER"]


def test_dsn_that_is_switched_off_is_ignored_as_always(server: Server) -> None:
    server.control(smtpdsn="0\n")
    commands = [b"MAIL FROM:<a@b> RET=nonsense", b"RCPT TO:<joe> NOTIFY=nonsense", b"DATA", b"x", b"."]
    assert server.talk(lines(*commands)).queued[0].parameters is None


def test_smtputf8_is_named_in_the_received_line(server: Server) -> None:
    talk = server.talk(lines(b"MAIL FROM:<a@b> SMTPUTF8", b"RCPT TO:<caf\xc3\xa9>", b"DATA", b"x", b"."))
    assert b" with UTF8SMTP; " in talk.queued[0].content


def test_a_full_disk_is_said_before_the_message(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Controls, "has_room", lambda _, size: size < 50)
    assert server.talk(lines(b"MAIL FROM:<> SIZE=50")).replies == [FULL]
    assert server.talk(lines(b"MAIL FROM:<> SIZE=49")).codes == [250]
    rooms = iter((True, False))  # it fills up in between
    monkeypatch.setattr(Controls, "has_room", lambda *_: next(rooms))
    talk = server.talk(lines(*BEGIN, b"DATA", b"NOOP"))
    assert talk.replies[2:] == [FULL, b"250 ok"]
    assert not talk.messages


def test_a_disk_below_its_reserve_is_said_at_mail(server: Server) -> None:
    for name in ("queuereserve", "queuereservefiles"):
        server.control(**{name: f"{1 << 60}\n"})
        assert server.talk(lines(b"MAIL FROM:<>")).replies == [FULL]
        server.control(**{name: "0\n"})
        assert server.talk(lines(b"MAIL FROM:<>")).codes == [250]


# BDAT


def bdat(content: bytes, word: bytes = b"") -> bytes:
    return b"BDAT %d%b\r\n%b" % (len(content), word, content)


@pytest.mark.parametrize(
    ("chunks", "stored"),
    [
        ((b"a\r\nb\r\n",), b"a\nb\n"),
        ((b"a\r", b"\nb"), b"a\nb\n"),
        ((b".\r\n", b"\r\n.\r\n"), b".\n\n.\n"),
        ((b"a\nb\n",), b"a\nb\n"),
        ((b"a\rb\r",), b"a\rb\r\n"),
        ((b"", b"", b""), b""),
        ((b"a\0\xff", b""), b"a\0\xff\n"),
    ],
)
def test_chunks_become_lines(server: Server, chunks: tuple[bytes, ...], stored: bytes) -> None:
    script = lines(*BEGIN) + b"".join(bdat(chunk) for chunk in chunks[:-1]) + bdat(chunks[-1], b" LAST")
    for pieces in ([script], [script[at : at + 1] for at in range(len(script))]):
        talk = server.talk(*pieces, lines(b"NOOP"))
        assert talk.queued[0].body == stored
        assert talk.codes == [250] * (2 + len(chunks) + 1)


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"1_0", b"5 FIRST", b"5 LAST x", b"9" * 20, b"9" * 19])
def test_bdat_that_cannot_be_read_ends_the_session(server: Server, argument: bytes) -> None:
    """What follows is a message, or commands, or both: nobody can tell."""
    talk = server.talk(lines(*BEGIN, b"BDAT " + argument, b"NOOP"))
    assert (talk.code, talk.codes, talk.queued) == (1, [250, 250, 501], [])


@pytest.mark.parametrize("before", [(), BEGIN[:1], (*BEGIN, b"RSET")])
def test_a_chunk_that_is_refused_is_still_taken_off_the_wire(server: Server, before: tuple[bytes, ...]) -> None:
    talk = server.talk(lines(*before) + bdat(b"QUIT\r\n" * 3, b" LAST") + lines(b"NOOP"))
    assert talk.codes[-2:] == [503, 250]
    assert not talk.messages


@pytest.mark.parametrize("command", [b"DATA", b"RCPT TO:<ann>"])
def test_what_must_not_stand_between_chunks(server: Server, command: bytes) -> None:
    talk = server.talk(lines(*BEGIN) + bdat(b"x\r\n") + lines(command) + bdat(b"y\r\n", b" LAST"))
    assert talk.codes == [250, 250, 250, 503, 250]
    assert talk.queued[0].recipients == [b"joe@mx.example.org"]


@pytest.mark.parametrize("command", [b"RSET", b"HELO x", b"EHLO x", b"MAIL FROM:<c@d>"])
def test_what_ends_a_message_between_its_chunks(server: Server, command: bytes) -> None:
    talk = server.talk(lines(*BEGIN) + bdat(b"x\r\n") + lines(command) + bdat(b"y\r\n", b" LAST"))
    assert talk.codes[-1] == 503
    assert (talk.queued, [message.failed for message in talk.messages]) == ([], [True])


def test_chunks_have_the_same_limits_as_data(server: Server) -> None:
    server.control(databytes="6\n")
    talk = server.talk(lines(*BEGIN) + bdat(b"1234\r\n") + bdat(b"5", b" LAST"))
    assert talk.queued == []
    assert talk.replies[-1] == TOO_BIG
    talk = server.talk(lines(*BEGIN) + bdat(b"1234567") + bdat(b"5", b" LAST") + lines(b"NOOP"))
    assert talk.replies[2:] == [TOO_BIG, b"503 MAIL first (#5.5.1)", b"250 ok"]
    server.control(databytes="0\n")
    assert server.talk(lines(*BEGIN) + bdat(b"Received:\r\n" * 100, b" LAST")).replies[-1] == TOO_MANY


def test_a_chunk_that_is_cut_off_is_no_message(server: Server) -> None:
    talk = server.talk(lines(*BEGIN) + b"BDAT 10 LAST\r\nabc")
    assert (talk.code, talk.queued, talk.messages[0].failed) == (1, [], True)


def test_bdat_that_is_switched_off_is_no_command(server: Server) -> None:
    server.control(smtpchunking="0\n")
    assert server.talk(lines(*BEGIN, b"BDAT 3 LAST", b"x")).codes == [250, 250, 502, 502]


# status codes


def test_status_codes_stand_in_front_where_they_are_switched_on(server: Server) -> None:
    server.control(smtpstatus="1\n")
    talk = server.talk(lines(b"EHLO x", *BEGIN, b"RCPT TO:<x@else.example>", b"FOO", b"DATA", b"x", b".", b"QUIT"))
    assert b"250-ENHANCEDSTATUSCODES" in talk.replies
    said = [reply for reply in talk.replies if not reply.startswith(b"250-")][1:]
    assert said[:3] == [b"250 2.0.0 ok"] * 2 + [b"553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts"]
    assert said[3:5] == [b"502 5.5.1 unimplemented", GO]
    assert said[5].startswith(b"250 2.0.0 ok ")
    assert said[6] == b"221 2.0.0 mx.example.org"
    assert server.talk(lines(b"HELO x", b"NOOP")).replies[-1] == b"250 ok"


# who stands in front

V1 = b"PROXY TCP4 198.51.100.9 192.0.2.1 4000 25\r\n"
V1_SIX = b"PROXY TCP6 2001:DB8::9 ::1 4000 25\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FOUR = bytes((198, 51, 100, 9, 192, 0, 2, 1)) + struct.pack("!HH", 4000, 25)
V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H", 12) + FOUR
V2_MORE = SIGNATURE + b"\x21\x11" + struct.pack("!H", 15) + FOUR + b"\x04\0\0"
V2_LOCAL = SIGNATURE + b"\x20\0\0\0"


@pytest.mark.parametrize(
    ("head", "address"),
    [
        (V1, b"198.51.100.9"),
        (V1_SIX, b"2001:db8::9"),
        (b"PROXY UNKNOWN\r\n", b"192.0.2.7"),
        (b"PROXY UNKNOWN what ever\r\n", b"192.0.2.7"),
        (V2, b"198.51.100.9"),
        (V2_MORE, b"198.51.100.9"),
        (V2_LOCAL, b"192.0.2.7"),
    ],
)
def test_a_listed_proxy_says_who_the_client_is(server: Server, head: bytes, address: bytes) -> None:
    server.control(smtpproxies="192.0.2.0/24\n")
    script = head + lines(*BEGIN, b"DATA", b"x", b".")
    for pieces in ([script], [script[at : at + 1] for at in range(len(script))]):
        assert b"(" + address + b")\n" in server.talk(*pieces).queued[0].content


@pytest.mark.parametrize(
    "head",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 198.51.100.9 192.0.2.1 4000\r\n",
        b"PROXY TCP4 198.51.100.9 ::1 4000 25\r\n",
        b"PROXY TCP4 198.51.100.9 192.0.2.1 99999 25\r\n",
        b"PROXY TCP9 198.51.100.9 192.0.2.1 4000 25\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x21\x11" + struct.pack("!H", 3) + b"abc",
        SIGNATURE + b"\x21\x11" + struct.pack("!H", 60000),
        SIGNATURE + b"\x31\x11" + struct.pack("!H", 12) + FOUR,
    ],
)
def test_a_listed_proxy_must_speak_its_protocol(server: Server, head: bytes) -> None:
    server.control(smtpproxies="192.0.2.7\n")
    talk = server.talk(head, lines(b"NOOP"))
    assert (talk.code, talk.said) == (1, b"554 the PROXY protocol is needed here (#5.5.0)\r\n")


def test_who_is_no_listed_proxy_does_not_say_who_the_client_is(server: Server) -> None:
    server.control(smtpproxies="198.51.100.1\n")
    assert server.talk(V1).replies == [b"502 unimplemented (#5.5.1)"]


def test_a_proxys_right_to_relay_is_not_its_clients(server: Server) -> None:
    server.control(smtpproxies="192.0.2.\n")
    server.environment[b"RELAYCLIENT"] = b""
    talk = server.talk(V1 + lines(b"MAIL FROM:<>", b"RCPT TO:<x@else.example>"))
    assert talk.replies == [b"250 ok", NOT_HERE]


BAD_HELO = b"553 sorry, your HELO name is in my badhelo list (#5.7.1)"


def test_xclient_names_another_client(server: Server) -> None:
    server.control(smtpxclients="192.0.2.7\n")
    server.environment[b"RELAYCLIENT"] = b""
    names = b"XCLIENT NAME=far.example ADDR=198.51.100.9 HELO=i+20am PROTO=ESMTP"
    talk = server.talk(lines(b"EHLO x", names, *BEGIN, b"RCPT TO:<x@else.example>", b"DATA", b"x", b"."))
    assert b"250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in talk.replies
    assert GREETING in talk.replies
    assert NOT_HERE in talk.replies
    assert talk.queued[0].content.startswith(b"Received: from far.example (HELO i?am) (198.51.100.9)\n")


@pytest.mark.parametrize("later", [(), (b"EHLO proxy.example",), (b"HELO proxy.example",)])
@pytest.mark.parametrize(("helo", "refused"), [(b"bad.example", True), (b"good.example", False)])
def test_the_name_that_xclient_gives_counts_as_the_clients_helo(
    server: Server, helo: bytes, refused: bool, later: tuple[bytes, ...]
) -> None:
    server.control(smtpxclients="192.0.2.7\n", badhelo="bad.example\nproxy.example\n")
    names = b"XCLIENT ADDR=198.51.100.9 HELO=" + helo
    talk = server.talk(lines(b"EHLO proxy.example", names, *later, *BEGIN, b"DATA", b"x", b"."))
    assert (BAD_HELO in talk.replies) is refused
    assert any(b"(HELO good.example)" in one.content for one in talk.queued) is not refused


@pytest.mark.parametrize("helo", [b"HELO=[UNAVAILABLE]", b""])
def test_without_a_name_from_xclient_the_next_helo_counts(server: Server, helo: bytes) -> None:
    server.control(smtpxclients="192.0.2.7\n", badhelo="bad.example\n")
    names = b"XCLIENT ADDR=198.51.100.9 " + helo
    talk = server.talk(lines(b"XCLIENT HELO=bad.example", names, b"HELO good.example", *BEGIN))
    assert BAD_HELO not in talk.replies
    talk = server.talk(lines(names, b"HELO bad.example", *BEGIN))
    assert BAD_HELO in talk.replies


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        (b"", 501),
        (b"FOO=x", 501),
        (b"ADDR=nonsense", 501),
        (b"ADDR=1.2.3.4+00", 501),
        (b"PORT=1x", 501),
        (b"NAME=[UNAVAILABLE] ADDR=IPv6:2001:db8::1 PORT=5", 220),
    ],
)
def test_xclients_attributes_are_checked(server: Server, argument: bytes, code: int) -> None:
    server.control(smtpxclients="192.0.2.7\n")
    assert server.talk(lines(b"XCLIENT " + argument)).codes == [code]


def test_xclient_is_for_those_who_are_listed(server: Server) -> None:
    server.control(smtpxclients="192.0.2.8\n")
    talk = server.talk(lines(b"EHLO x", b"XCLIENT ADDR=198.51.100.9"))
    assert talk.replies[-1] == b"550 XCLIENT is not for you (#5.7.0)"
    assert not any(b"XCLIENT N" in reply for reply in talk.replies)


def test_who_speaks_before_the_greeting_is_turned_away(server: Server) -> None:
    server.control(smtpdelay="5\n")
    talk = server.talk(lines(b"HELO x"), lines(*BEGIN))
    assert (talk.code, talk.said[:3]) == (1, b"554")
    assert server.talk(SILENCE, lines(b"HELO x")).said == GREETED + b"250 mx.example.org\r\n"


# other protocols


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nMAIL FROM:<a@b.example>\r\n",
        b"CONNECT h:25 HTTP/1.1\r\n",
        b"put /x HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01\x02\0\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_another_protocol_gets_one_no_and_a_closed_connection(server: Server, said: bytes) -> None:
    talk = server.talk(said, lines(b"NOOP"))
    assert (talk.code, talk.codes) == (1, [502])
    talk = server.talk(lines(b"HELO x"), said)
    assert talk.code == 1
    assert not talk.queued


# limits


def test_a_line_may_have_so_many_bytes_and_no_more(server: Server) -> None:
    assert server.talk(lines(b"NOOP " + b"x" * (12288 - 5), b"NOOP")).codes == [250, 250]
    talk = server.talk(lines(b"NOOP " + b"x" * (12288 - 4), b"NOOP"))
    assert talk.replies == [b"500 line too long (#5.5.2)", b"250 ok"]
    script = [b"MAIL FROM:<", *[b"x" * 65536] * 100, b">\r\n", b"NOOP\r\n"]
    assert server.talk(*script).codes == [500, 250]


def test_a_nul_in_a_command_is_refused(server: Server) -> None:
    talk = server.talk(lines(b"MAIL FROM:<a@b.example>", b"RCPT TO:<joe\0@relay.example>", b"NO\0OP", b"\0"))
    assert talk.codes == [250, 500, 500, 500]


def test_recipients_are_counted(server: Server) -> None:
    server.control(smtprecipients="3\n")
    script = lines(b"MAIL FROM:<>", *[b"RCPT TO:<joe>"] * 5, b"DATA", b"x", b".")
    talk = server.talk(script)
    assert talk.codes[:6] == [250] * 4 + [452] * 2
    assert len(talk.queued[0].recipients) == 3


@pytest.mark.slow
def test_a_million_recipients_cost_bounded_memory(server: Server) -> None:
    piece = lines(*[b"RCPT TO:<someone.with.a.name@mx.example.org>"] * 1000)
    talk = server.talk(lines(b"MAIL FROM:<>"), *[piece] * 1000)
    codes = talk.codes
    assert codes.count(250) == 1 + 200_000
    assert codes.count(452) == 800_000


def test_a_client_that_talks_nonsense_is_sent_away(server: Server) -> None:
    talk = server.talk(lines(*[b"FOO"] * 1000))
    assert talk.codes == [502] * 100 + [421]
    server.control(smtperrors="0\n")
    assert server.talk(lines(*[b"FOO"] * 1000)).codes == [502] * 1000


@pytest.mark.parametrize("command", [b"NOOP", b"RSET", b"VRFY x", b"HELO x"])
def test_a_client_that_brings_nothing_is_sent_away(server: Server, command: bytes) -> None:
    codes = server.talk(lines(*[command] * 5000)).codes
    assert len(codes) == 1001
    assert codes[-1] == 421


def test_a_client_that_brings_mail_may_say_noop_in_between(server: Server) -> None:
    one = lines(*[b"NOOP"] * 500, *BEGIN, b"DATA", b"x", b".")
    assert len(server.talk(one * 10).queued) == 10


@pytest.mark.parametrize("begin", [(), (*BEGIN, b"DATA")])
def test_a_byte_now_and_then_is_not_enough(server: Server, begin: tuple[bytes, ...]) -> None:
    server.pause = 60.0
    talk = server.talk(*([lines(*begin)] if begin else []), *[b"x"] * 1000)
    assert talk.replies[-1] == b"451 timeout (#4.4.2)"
    assert (talk.code, talk.queued) == (1, [])


def test_a_large_message_has_time_by_its_size(server: Server) -> None:
    server.pause = 60.0
    script = [b"x" * 6100 + b"\r\n"] * 100
    assert len(server.talk(lines(*BEGIN, b"DATA"), *script, b".\r\n").queued) == 1
    server.control(smtprate="200\n")
    assert not server.talk(lines(*BEGIN, b"DATA"), *script, b".\r\n").queued


def test_without_a_rate_a_message_may_take_for_ever(server: Server) -> None:
    server.control(smtprate="0\n")
    server.pause = 1199.0
    assert len(server.talk(lines(*BEGIN, b"DATA"), *[b"x"] * 100, b"\r\n.\r\n").queued) == 1


WHOLE = lines(b"EHLO x", *BEGIN, b"DATA", b"Subject: x", b"", b"..", b".", b"QUIT")


def test_a_session_cut_at_every_byte_leaves_nothing_or_one_whole_message(server: Server) -> None:
    end = WHOLE.index(b"\r\n.\r\n") + 5
    for cut in range(len(WHOLE) + 1):
        talk = server.talk(*([WHOLE[:cut]] if cut else []))
        assert len(talk.queued) == (cut >= end)
        assert all(message.body == b"Subject: x\n\n.\n" for message in talk.queued)
        assert all(message.is_queued or message.failed for message in talk.messages)


def test_a_chunked_session_cut_at_every_byte_leaves_nothing_or_one_whole_message(server: Server) -> None:
    whole = lines(*BEGIN) + bdat(b"Subject: x\r\n") + bdat(b"\r\ntext", b" LAST")
    for cut in range(len(whole) + 1):
        talk = server.talk(*([whole[:cut]] if cut else []))
        assert [message.body for message in talk.queued] == [b"Subject: x\n\ntext\n"] * (cut == len(whole))


def test_the_queue_has_room_where_there_is_room(server: Server) -> None:
    assert os.path.isdir(f"{server.path}/queue")
    assert server.talk(lines(b"MAIL FROM:<> SIZE=1000")).codes == [250]
    assert server.talk(lines(b"MAIL FROM:<> SIZE=%d" % (1 << 60))).replies == [FULL]


def test_no_string_makes_a_second_message(server: Server) -> None:
    """Whatever stands in a message, what follows it is no message of its own, unless the first has really ended."""
    second = lines(*BEGIN, b"DATA", b"smuggled", b".", b"QUIT")
    for length in range(5):
        for letters in itertools.product((b"\r", b"\n", b".", b"\0", b"x"), repeat=length):
            talk = server.talk(lines(*BEGIN, b"DATA"), b"x" + b"".join(letters) + second)
            assert not any(message.body == b"smuggled\n" for message in talk.queued)
    talk = server.talk(lines(*BEGIN, b"DATA"), b"x\r\n.\r\n" + second)
    assert [message.body for message in talk.queued] == [b"x\n", b"smuggled\n"]
