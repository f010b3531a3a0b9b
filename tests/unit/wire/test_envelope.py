"""Envelopes, todo files and results: both directions, whole and byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import envelope
from qmailpy.wire.envelope import Envelope, EnvelopeError, Reader
from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters

addresses = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b""))
envelopes = st.builds(Envelope, addresses, st.lists(addresses, max_size=6))


def read(content: bytes, pieces: list[int] | None = None) -> Reader:
    reader = Reader()
    at = 0
    for size in pieces or []:
        reader.feed(content[at : at + size])
        at += size
    reader.feed(content[at:])
    return reader


@given(envelopes, st.lists(st.integers(min_value=0, max_value=9), max_size=12))
def test_what_is_written_is_read_however_it_is_cut(sent: Envelope, pieces: list[int]) -> None:
    assert read(sent.encode(), pieces).result() == sent


@given(envelopes)
def test_byte_by_byte_is_the_same_as_whole(sent: Envelope) -> None:
    assert read(sent.encode(), [1] * 500).result() == sent


@given(envelopes)
def test_every_shorter_one_is_cut_off(sent: Envelope) -> None:
    content = sent.encode()
    for length in range(len(content)):
        with pytest.raises(EnvelopeError) as caught:
            read(content[:length]).result()
        assert caught.value.code == 54


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_the_same_whole_or_byte_by_byte(content: bytes) -> None:
    outcomes = []
    for pieces in ([], [1] * 60):
        try:
            outcomes.append(("read", read(content, pieces).records()))
        except EnvelopeError as error:
            outcomes.append(("refused", error.code))  # type: ignore[arg-type]
    assert outcomes[0] == outcomes[1]


@given(envelopes, st.binary(max_size=30))
def test_what_follows_the_last_nul_is_ignored(sent: Envelope, more: bytes) -> None:
    reader = read(sent.encode() + more)
    reader.feed(more)
    assert reader.result() == sent


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"X", 91),
        (b"\0", 91),
        (b"T", 91),
        (b"Fa\0F", 91),
        (b"Fa\0Tb\0x", 91),
        (b"F" + b"a" * 1003, 11),
        (b"F" + b"a" * 1003 + b"\0", 11),
        (b"Fa\0T" + b"b" * 1003, 11),
    ],
)
def test_what_is_no_envelope_is_refused_as_soon_as_it_is_certain(content: bytes, code: int) -> None:
    with pytest.raises(EnvelopeError) as caught:
        read(content)
    assert caught.value.code == code
    assert caught.value.text


def test_an_address_of_1002_bytes_is_the_longest() -> None:
    sent = Envelope(b"a" * 1002, [b"b" * 1002])
    assert read(sent.encode()).result() == sent


def test_no_recipients_and_no_sender_are_legal() -> None:
    assert read(b"F\0\0").result() == Envelope(b"", [])
    assert read(b"F\0T\0\0").result() == Envelope(b"", [b""])


def test_many_short_recipients_take_no_more_memory_than_their_bytes() -> None:
    reader = Reader()
    reader.feed(b"Fa\0")
    for _ in range(100):
        reader.feed(b"Tb\0" * 1000)
    assert reader.size == 3 + 300_000
    reader.feed(b"\0")
    assert len(reader.records()) == reader.size


def test_an_envelope_is_given_away_and_not_copied() -> None:
    reader = read(Envelope(b"a@b", [b"c@d"]).encode())
    wanted = reader.records()
    assert reader.give() == wanted
    assert reader.size == 0
    with pytest.raises(EnvelopeError):
        Reader().give()


def test_a_nul_in_an_address_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Envelope(b"a\0b", []).encode()
    with pytest.raises(ValueError, match="NUL"):
        Envelope(b"", [b"a\0Tb"]).encode()


@given(envelopes, st.integers(0, 2**32), st.integers(0, 2**40))
def test_a_todo_file_says_who_and_what(sent: Envelope, uid: int, pid: int) -> None:
    todo = envelope.decode_todo(envelope.encode_todo(uid, pid, read(sent.encode()).records()))
    assert todo is not None
    assert (todo.uid, todo.pid, todo.sender, todo.recipients) == (uid, pid, sent.sender, sent.recipients)


def test_a_todo_file_is_byte_exact() -> None:
    records = read(Envelope(b"sender@x.y", [b"b@remote.example", b"joe@mail.example.com"]).encode()).records()
    assert (
        envelope.encode_todo(0, 23644, records)
        == b"u0\0p23644\0Fsender@x.y\0Tb@remote.example\0Tjoe@mail.example.com\0"
    )


@pytest.mark.parametrize("content", [b"", b"u0\0p1\0", b"u0\0p1\0Fa", b"u0\0p1\0Fa\0Xb\0", b"u0\0Tb\0Fa\0", b"\0"])
def test_a_todo_file_that_is_cut_off_or_strange_is_refused(content: bytes) -> None:
    assert envelope.decode_todo(content) is None


@given(st.binary(max_size=80))
def test_no_todo_file_breaks_its_reader(content: bytes) -> None:
    envelope.decode_todo(content)


# parameters

never = RecipientParameters.parse(b"NOTIFY=NEVER")
some = RecipientParameters.parse(b"NOTIFY=SUCCESS ORCPT=rfc822;joe@x")
wishes = st.builds(
    Parameters,
    st.sampled_from((None, MessageParameters.parse(b"RET=HDRS ENVID=a+20b BODY=8BITMIME SMTPUTF8"))),
    st.lists(st.sampled_from((None, never, some)), max_size=7),
)


@given(envelopes, wishes, st.lists(st.integers(min_value=0, max_value=9), max_size=12))
def test_an_envelope_with_parameters_is_read_however_it_is_cut(
    sent: Envelope, wished: Parameters, pieces: list[int]
) -> None:
    content = wished.envelope(sent.sender, sent.recipients)
    reader = read(content, pieces)
    assert reader.result() == sent, "the addresses are what they would be without"
    assert reader.records() + b"\0" == content
    for length in range(len(content)):
        assert not read(content[:length]).done


@given(envelopes, wishes, st.integers(0, 2**32), st.integers(0, 2**40))
def test_a_todo_file_keeps_the_parameters(sent: Envelope, wished: Parameters, uid: int, pid: int) -> None:
    content = envelope.encode_todo(uid, pid, read(wished.envelope(sent.sender, sent.recipients)).records())
    todo = envelope.decode_todo(content)
    assert todo is not None
    assert (todo.uid, todo.pid, todo.sender, todo.recipients) == (uid, pid, sent.sender, sent.recipients)
    of_each = {at: each for at, each in enumerate(wished.recipients) if each and at < len(sent.recipients)}
    if todo.parameters is None:
        assert wished.message.encode() == b""
        assert of_each == {}
    else:
        assert todo.parameters.message == wished.message.encode()
        assert todo.parameters.recipients == {at: each.encode() for at, each in of_each.items()}
    assert read_as_c(content) == (uid, pid, sent.sender, sent.recipients)


def read_as_c(content: bytes) -> tuple[int, int, bytes, list[bytes]]:
    """What C's qmail-send makes of todo/N (spec/02 6): its numbers when it logs F, the sender, the recipients."""
    uid = pid = 0
    said: tuple[int, int, bytes] | None = None
    recipients: list[bytes] = []
    *records, rest = content.split(b"\0")
    assert rest == b"", "every record ends with NUL"
    for record in records:
        letter, value = record[:1], record[1:]
        assert letter in (b"u", b"p", b"F", b"T"), "another letter would wedge it"
        digits = value[: len(value) - len(value.lstrip(b"0123456789"))]
        if letter == b"u":
            uid = int(digits or b"0")
        elif letter == b"p":
            pid = int(digits or b"0")
        elif letter == b"F":
            assert said is None
            said = uid, pid, value
        else:
            recipients.append(value)
    assert said is not None
    return *said, recipients


def test_parameters_of_a_todo_file_are_byte_exact() -> None:
    records = read(b"Fa\0pret=hdrs\0Tb\0porcpt=rfc822;x+40y notify=never\0Tc\0\0").records()
    content = b"u7\0p12 RET=HDRS\0Fa\0Tb\0pNOTIFY=NEVER ORCPT=rfc822;x@y\0Tc\0"
    assert envelope.encode_todo(7, 12, records) == content
    pieces = envelope.todo_pieces(7, 12, bytearray(records))
    assert b"".join(pieces) == content


MALFORMED = [
    b"pRET=FULL\0Fa\0\0",
    b"Fa\0pRET=FULL\0pBODY=7BIT\0\0",
    b"Fa\0Tb\0pNOTIFY=NEVER\0pNOTIFY=NEVER\0\0",
    b"Fa\0Tb\0p\0\0",
    b"Fa\0p\0Tb\0\0",
    b"Fa\0pNOTIFY=NEVER\0Tb\0\0",
    b"Fa\0Tb\0pRET=FULL\0\0",
    b"Fa\0Tb\0pNOTIFY=MAYBE\0\0",
    b"Fa\0Tb\0pNOTIFY=NEVER\nend msg 1\0\0",
    b"Fa\0Tb\0p12345\0\0",
]


@pytest.mark.parametrize("content", MALFORMED)
def test_parameters_that_cannot_be_are_refused(content: bytes) -> None:
    for pieces in ([], [1] * len(content)):
        with pytest.raises(EnvelopeError) as caught:
            read(content, pieces)
        assert caught.value.code == 91
        assert b"MAYBE" not in caught.value.text


def test_parameters_without_end_are_refused_before_they_fill_the_memory() -> None:
    for end in (b"", b"\0"):
        with pytest.raises(EnvelopeError) as caught:
            read(b"Fa\0Tb\0pORCPT=rfc822;" + b"+41" * 400 + end)
        assert caught.value.code == 91
        assert b"1002" in caught.value.text


@pytest.mark.parametrize(
    "content",
    [b"u7\0p12 \0Fa\0Tb\0", b"u7\0p12x\0Fa\0Tb\0", b"u7\0p12\0Fa\0pBODY=7BIT\0Tb\0", b"p12\0u7\0Fa\0Tb\0"],
)
def test_what_other_programs_write_behind_p_is_no_parameter(content: bytes) -> None:
    todo = envelope.decode_todo(content)
    assert todo is not None
    assert (todo.uid, todo.pid, todo.recipients, todo.parameters) == (7, 12, [b"b"], None)


@pytest.mark.parametrize(
    ("code", "custom", "text"),
    [
        (0, b"", b""),
        (11, b"", b"Denvelope address too long for qq (#5.1.3)"),
        (31, b"", b"Dmail server permanently rejected message (#5.3.0)"),
        (35, b"", b"Dqq permanent problem (#5.3.0)"),
        (40, b"", b"Dqq permanent problem (#5.3.0)"),
        (41, b"", b"Zqq temporary problem (#4.3.0)"),
        (54, b"", b"Zqq read error (#4.3.0)"),
        (71, b"", b"Zmail server temporarily rejected message (#4.3.0)"),
        (82, b"Dno (#5.7.1)", b"Dno (#5.7.1)"),
        (82, b"Xno", b"Zqq temporary problem (#4.3.0)"),
        (82, b"D", b"Zqq temporary problem (#4.3.0)"),
        (115, b"", b"Denvelope address too long for qq (#5.1.3)"),
        (1, b"", b"Zqq temporary problem (#4.3.0)"),
        (111, b"", b"Zqq temporary problem (#4.3.0)"),
        (120, b"", b"Zunable to exec qq (#4.3.0)"),
        (255, b"", b"Zqq temporary problem (#4.3.0)"),
    ],
)
def test_an_exit_code_has_its_sentence(code: int, custom: bytes, text: bytes) -> None:
    assert envelope.result_text(code, custom) == text
