"""The LMTP dialogue: every step by its table, answers for each recipient, fed whole and byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import lmtp
from qmailpy.wire.lmtp import BODY, DONE, Client, Content

PLAIN = Content(100, eight_bit=False)
GO_ON = [b"220 hi\r\n", b"250-mx\r\n250 PIPELINING\r\n", b"250 ok\r\n"]


def client(*recipients: bytes, sender: bytes = b"a@b", content: Content = PLAIN) -> Client:
    return Client(b"me", sender, list(recipients) or [b"joe"], content)


def talk(one: Client, pieces: list[bytes]) -> bytes:
    """All that the client says, a body included, to a server that says this, and nothing before its time."""
    said = b""
    for piece in pieces:
        if one.step == BODY:
            said += b"BODY "
            one.body_given()
        if one.step != DONE:
            said += one.hear(piece)
    return said


def codes(one: Client) -> list[int | None]:
    return [answer.code if answer is not None else None for answer in one.answers]


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_message_is_handed_over(bytewise: bool) -> None:
    one = client(b"joe", b"ann")
    script = [*GO_ON, b"250 joe\r\n", b"250 ann\r\n", b"354 go\r\n", b"250 for joe\r\n250 for ann\r\n"]
    pieces = [bytes((byte,)) for piece in script for byte in piece] if bytewise else script
    assert talk(one, pieces) == (b"LHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe>\r\nRCPT TO:<ann>\r\nDATA\r\nBODY ")
    assert (one.step, codes(one), one.final, one.nonsense) == (DONE, [250, 250], None, None)


@pytest.mark.parametrize(
    ("offers", "content", "recipient", "expected"),
    [
        (b"250 x\r\n", Content(9, eight_bit=True), b"j\xc3\xb6", b"MAIL FROM:<a@b>\r\n"),
        (b"250-x\r\n250 SIZE\r\n", PLAIN, b"j", b"MAIL FROM:<a@b> SIZE=100\r\n"),
        (b"250-x\r\n250-size 1000\r\n250 8BITMIME\r\n", PLAIN, b"j", b"MAIL FROM:<a@b> SIZE=100\r\n"),
        (b"250-x\r\n250 8BITMIME\r\n", Content(9, eight_bit=True), b"j", b"MAIL FROM:<a@b> BODY=8BITMIME\r\n"),
        (b"250-x\r\n250 SMTPUTF8\r\n", PLAIN, b"j\xc3\xb6", b"MAIL FROM:<a@b> SMTPUTF8\r\n"),
        (b"250-x\r\n250 SMTPUTF8\r\n", PLAIN, b"j", b"MAIL FROM:<a@b>\r\n"),
        (b"250 SIZE\r\n", PLAIN, b"j", b"MAIL FROM:<a@b>\r\n"),  # that is the server's name
    ],
)
def test_only_what_is_offered_and_needed_is_said(
    offers: bytes, content: Content, recipient: bytes, expected: bytes
) -> None:
    one = client(recipient, content=content)
    one.hear(GO_ON[0])
    assert one.hear(offers) == expected


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("code", [b"421", b"502", b"354"])
def test_a_no_before_the_recipients_is_for_all(count: int, code: bytes) -> None:
    one = client(b"joe", b"ann")
    talk(one, [*GO_ON[:count], code + b" no\r\n"])
    assert (one.step, one.failed_at, codes(one)) == (DONE, [lmtp.GREETING, lmtp.LHLO, lmtp.MAIL][count], [None, None])
    assert one.final is not None
    assert one.final.code == int(code)


def test_answers_after_the_message_are_for_those_that_were_accepted() -> None:
    one = client(b"a", b"b", b"c", b"d")
    replies = [b"250 a\r\n", b"550 b\r\n", b"451 c\r\n", b"250 d\r\n", b"354 go\r\n", b"250 a\r\n", b"452 d\r\n"]
    assert talk(one, [*GO_ON, *replies]).endswith(b"RCPT TO:<d>\r\nDATA\r\nBODY ")
    assert codes(one) == [250, 550, 451, 452]


def test_with_no_recipient_accepted_there_is_no_message() -> None:
    one = client(b"a", b"b")
    assert b"DATA" not in talk(one, [*GO_ON, b"550 a\r\n", b"450 b\r\n"])
    assert (one.step, codes(one)) == (DONE, [550, 450])


def test_a_yes_to_data_is_no_invitation() -> None:
    """A server that is one reply behind would otherwise take the message for commands."""
    one = client()
    talk(one, [*GO_ON, b"250 joe\r\n", b"250 ok\r\n"])
    assert (one.step, one.failed_at, codes(one)) == (DONE, lmtp.DATA, [None])


def test_a_yes_that_comes_before_the_message_is_none() -> None:
    one = client()
    talk(one, [*GO_ON, b"250 joe\r\n", b"354 go\r\n250 taken\r\n"])
    one.body_given()
    assert (one.step, one.nonsense, codes(one)) == (DONE, b"250 taken\n", [None])


def test_a_no_that_comes_before_the_message_is_one() -> None:
    one = client()
    talk(one, [*GO_ON, b"250 joe\r\n", b"354 go\r\n552 too large\r\n"])
    one.body_given()
    assert one.final is not None
    assert (one.step, one.final.code, one.nonsense) == (DONE, 552, None)


@pytest.mark.parametrize("words", [b"HTTP/1.1 200\r\n", b"\r\n", b"99\r\n", b"2500 x\r\n", b"x" * 100_000])
def test_what_is_no_reply_ends_it(words: bytes) -> None:
    one = client()
    one.hear(words)
    assert one.step == DONE
    assert one.nonsense is not None
    assert len(one.nonsense) <= 5000


@pytest.mark.hypothesis
@given(st.lists(st.binary(max_size=40) | st.sampled_from([*GO_ON, b"354 go\r\n", b"550 x\r\n", b"250 y\r\n"])))
def test_whatever_comes_only_a_2xx_after_the_message_is_a_yes(pieces: list[bytes]) -> None:
    one = client(b"a", b"b")
    given_body = False
    for piece in pieces:
        if one.step == BODY:
            given_body = True
            one.body_given()
        if one.step != DONE:
            words = one.hear(piece)
            assert words.count(b"\n") <= 1
            assert words == b"" or words.endswith(b"\r\n")
    if not given_body:
        assert not any(answer is not None and answer.code // 100 == 2 for answer in one.answers)


def test_the_table_can_be_shown() -> None:
    assert lmtp.table().splitlines()[1:3] == ["greeting  2xx           LHLO", "LHLO      2xx           MAIL"]
