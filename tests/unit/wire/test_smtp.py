"""The client's dialogue as a table: what is said after which reply, without any network."""

import pytest

from qmailpy.wire import smtp
from qmailpy.wire.smtp import Client


def client(*recipients: bytes) -> Client:
    return Client(b"me.example.org", b"a@b", list(recipients) or [b"c@d"])


def speak(speaker: Client, *replies: bytes) -> list[bytes]:
    """What the client says to each reply; the body is given as soon as it is wanted."""
    said = []
    for reply in replies:
        said.append(speaker.hear(reply))
        if speaker.step == smtp.BODY:
            speaker.body_given()
    return said


GREETED = (b"220 hi\r\n", b"250 hello\r\n")
TO_DATA = (*GREETED, b"250 ok\r\n", b"250 ok\r\n")
TO_DOT = (*TO_DATA, b"354 go\r\n")


def test_a_message_is_accepted() -> None:
    speaker = client()
    assert speak(speaker, *TO_DOT, b"250 ok\r\n") == [
        b"HELO me.example.org\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"DATA\r\n",
        b"",
        b"QUIT\r\n",
    ]
    assert (speaker.step, speaker.failed_at) == (smtp.DONE, "")
    assert speaker.final is not None
    assert speaker.final.text == b"250 ok\n"


def test_every_recipient_is_asked_and_one_yes_is_enough() -> None:
    speaker = client(b"1@d", b"2@d", b"3@d")
    said = speak(speaker, *GREETED, b"250 ok\r\n", b"550 no\r\n", b"250 yes\r\n", b"450 later\r\n")
    assert said[2:] == [b"RCPT TO:<1@d>\r\n", b"RCPT TO:<2@d>\r\n", b"RCPT TO:<3@d>\r\n", b"DATA\r\n"]
    assert [answer.code for answer in speaker.answers] == [550, 250, 450]


def test_without_a_recipient_there_is_no_data() -> None:
    speaker = client(b"1@d", b"2@d")
    assert speak(speaker, *GREETED, b"250 ok\r\n", b"550 no\r\n", b"354 eh\r\n")[-1] == b"QUIT\r\n"
    assert (speaker.step, speaker.failed_at, speaker.final) == (smtp.DONE, smtp.RCPT, None)


@pytest.mark.parametrize(
    ("before", "step", "bad"),
    [
        ((), smtp.GREETING, [b"221 x", b"250 x", b"421 x", b"554 x", b"354 x"]),
        (GREETED[:1], smtp.HELO, [b"220 x", b"251 x", b"421 x", b"554 x", b"354 x"]),
        (GREETED, smtp.MAIL, [b"354 x", b"451 x", b"552 x"]),
        (TO_DATA, smtp.DATA, [b"250 x", b"220 x", b"451 x", b"554 x"]),
        (TO_DOT, smtp.DOT, [b"354 x", b"451 x", b"554 x"]),
    ],
)
def test_every_other_reply_ends_the_dialogue_at_its_step(
    before: tuple[bytes, ...], step: str, bad: list[bytes]
) -> None:
    for reply in bad:
        speaker = client()
        assert speak(speaker, *before, reply + b"\r\n")[-1] == b"QUIT\r\n"
        assert (speaker.step, speaker.failed_at) == (smtp.DONE, step)
        assert speaker.final is not None
        assert speaker.final.text == reply + b"\n"


def test_replies_may_come_together_or_byte_by_byte() -> None:
    together = client()
    assert together.hear(b"".join(TO_DOT)) == b"HELO me.example.org\r\n"
    assert [together.hear(b"") for _ in range(4)] == [b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b""]
    assert together.step == smtp.BODY
    split = client()
    words = b"".join(split.hear(bytes((byte,))) for byte in b"".join(TO_DOT))
    assert words.endswith(b"DATA\r\n")
    assert split.step == smtp.BODY


@pytest.mark.parametrize("before", [(), GREETED[:1], GREETED, TO_DATA[:3], TO_DATA, TO_DOT])
def test_nonsense_ends_the_dialogue_without_a_word(before: tuple[bytes, ...]) -> None:
    speaker = client()
    speak(speaker, *before)
    at = speaker.step
    assert speaker.hear(b"SSH-2.0-OpenSSH\r\n") == b""
    assert (speaker.step, speaker.failed_at, speaker.nonsense) == (smtp.DONE, at, b"SSH-2.0-OpenSSH\n")
    assert speaker.dot_sent == (at == smtp.DOT)


def in_body() -> Client:
    speaker = client()
    for reply in TO_DOT:
        speaker.hear(reply)
    assert speaker.step == smtp.BODY
    return speaker


def test_a_yes_before_the_end_of_the_body_is_no_yes() -> None:
    speaker = in_body()
    speaker.hear_during_body(b"250 got it\r\n")
    speaker.body_given()
    assert (speaker.step, speaker.failed_at, speaker.nonsense) == (smtp.DONE, smtp.BODY, b"250 got it\n")
    assert not speaker.dot_sent


def test_a_no_before_the_end_of_the_body_is_believed() -> None:
    speaker = in_body()
    speaker.hear_during_body(b"552 too big\r\n")
    speaker.body_given()
    assert (speaker.step, speaker.failed_at) == (smtp.DONE, smtp.DOT)
    assert speaker.final is not None
    assert speaker.final.code == 552


def test_a_connection_cut_in_the_body_may_have_said_no_before() -> None:
    speaker = in_body()
    assert not speaker.cut_off()
    speaker.hear_during_body(b"552 too b")
    assert not speaker.cut_off()
    speaker.hear_during_body(b"ig\r\n")
    assert speaker.cut_off()


@pytest.mark.parametrize("evil", [b"x\r\nRCPT TO:<y>", b"x\ny", b"x\ry", b"x\0y"])
def test_no_word_can_hold_a_line_end(evil: bytes) -> None:
    for words in ((evil, b"a", [b"b"]), (b"me", evil, [b"b"]), (b"me", b"a", [b"b", evil])):
        with pytest.raises(AssertionError):
            Client(*words)


def test_the_table_prints_itself() -> None:
    assert "DATA      300..399      body" in smtp.table()
