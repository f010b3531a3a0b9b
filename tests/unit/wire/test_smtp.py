"""The client's dialogue as a table: what is said after which reply, without any network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import smtp, smtp_table
from qmailpy.wire.sasl import Credentials
from qmailpy.wire.smtp import Client


def client(*recipients: bytes) -> Client:
    return Client(b"me.example.org", b"a@b", list(recipients) or [b"c@d"])


def speak(speaker: Client, *replies: bytes) -> list[bytes]:
    """What the client says to each reply; the body is given as soon as it is wanted."""
    said = []
    for reply in replies:
        said.append(speaker.hear(reply))
        if speaker.step == smtp.BODY:
            speaker.give(b"", last=True)
    return said


GREETED = (b"220 hi\r\n", b"250 hello\r\n")
TO_DATA = (*GREETED, b"250 ok\r\n", b"250 ok\r\n")
TO_DOT = (*TO_DATA, b"354 go\r\n")


def test_a_message_is_accepted() -> None:
    speaker = client()
    assert speak(speaker, *TO_DOT, b"250 ok\r\n") == [
        b"EHLO me.example.org\r\n",
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
        (GREETED[:1], smtp.EHLO, [b"220 x", b"251 x", b"421 x", b"354 x"]),
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
    assert together.hear(b"".join(TO_DOT)) == b"EHLO me.example.org\r\n"
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
    speaker.give(b"", last=True)
    assert (speaker.step, speaker.failed_at, speaker.nonsense) == (smtp.DONE, smtp.BODY, b"250 got it\n")
    assert not speaker.dot_sent


def test_a_no_before_the_end_of_the_body_is_believed() -> None:
    speaker = in_body()
    speaker.hear_during_body(b"552 too big\r\n")
    speaker.give(b"", last=True)
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
    assert "DATA      300..399      body" in smtp_table.table()


# TLS, logins and what a server offers

OFFERS = b"250-hello\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"
SECRET = Credentials(b"joe", b"geheim-geheim")


def asking(tls: int, *, anyhow: bool = False) -> Client:
    return Client(b"me", b"a@b", [b"c@d"], tls=tls, login=smtp.Login(SECRET, b"nonce", anyhow=anyhow))


def test_a_login_waits_for_tls_and_a_proven_name() -> None:
    speaker = asking(smtp.MUST)
    assert speak(speaker, GREETED[0], OFFERS, b"220 go\r\n") == [b"EHLO me\r\n", b"STARTTLS\r\n", b""]
    assert speaker.step == smtp.TLS
    assert speaker.hear(b"") == b""
    assert speaker.secured(b"TLS", proven=True) == b"EHLO me\r\n"
    [said] = speak(speaker, OFFERS)
    assert said.startswith(b"AUTH PLAIN ")
    assert speak(speaker, b"235 in\r\n") == [b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"]


@pytest.mark.parametrize("tls", [smtp.NEVER, smtp.MAY, smtp.MUST, smtp.AT_ONCE])
@pytest.mark.parametrize("anyhow", [False, True])
def test_to_whoever_answers_a_login_goes_only_if_the_route_says_so(tls: int, anyhow: bool) -> None:
    speaker = asking(tls, anyhow=anyhow)
    said = b""
    for reply in (GREETED[0], OFFERS, b"220 go\r\n", b"", OFFERS):
        if speaker.step == smtp.TLS:
            said += speaker.secured(b"TLS", proven=False)
        said += speaker.hear(reply) if speaker.step != smtp.AUTH else b""
    assert (b"AUTH PLAIN" in said) is anyhow
    assert speaker.failed_at == ("" if anyhow else smtp.AUTH)


@pytest.mark.parametrize("tls", [smtp.NEVER, smtp.MAY, smtp.MUST, smtp.AT_ONCE])
@pytest.mark.parametrize("proven", [False, True])
@given(replies=st.lists(st.sampled_from([*GREETED, OFFERS, b"220 go\r\n", b"235 in\r\n", b"334 \r\n", b"500 no\r\n"])))
def test_whatever_is_said_no_login_goes_to_whom_it_is_not_for(tls: int, proven: bool, replies: list[bytes]) -> None:
    speaker = asking(tls)
    said = b""
    for reply in replies:
        if speaker.step == smtp.TLS:
            said += speaker.secured(b"TLS", proven=proven)
        said += speaker.hear(reply)
        assert b"AUTH" not in said or (proven and speaker.security)
        if tls in (smtp.MUST, smtp.AT_ONCE):
            assert b"MAIL" not in said or speaker.security


@given(pieces=st.lists(st.integers(1, 9)), rest=st.binary(max_size=200))
def test_pieces_of_any_size_lead_to_the_same_words(pieces: list[int], rest: bytes) -> None:
    text = GREETED[0] + b"250-hello\r\n250-PIPELINING\r\n250 SIZE 1000\r\n" + b"250 ok\r\n550 no\r\n" + rest
    whole, split = client(b"1@d", b"2@d"), client(b"1@d", b"2@d")
    said = whole.hear(text)
    while words := whole.hear(b""):
        said += words
    heard, at = b"", 0
    for size in [*pieces, len(text)]:
        heard += split.hear(text[at : at + size])
        at += size
        while words := split.hear(b""):
            heard += words
    assert heard == said
    assert (split.step, split.failed_at, split.nonsense) == (whole.step, whole.failed_at, whole.nonsense)
    assert [answer.code for answer in split.answers] == [answer.code for answer in whole.answers]
