"""Envelope parameters: RET, ENVID, BODY, SMTPUTF8, NOTIFY, ORCPT, as SMTP and the queue have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import parameters, xtext
from qmailpy.wire.parameters import MessageParameters, ParameterError, Parameters, RecipientParameters

printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=100).map(str.encode)


@st.composite
def of_messages(draw: st.DrawFn) -> MessageParameters:
    """Any that can be."""
    made = MessageParameters()
    made.ret = draw(st.sampled_from((b"", b"FULL", b"HDRS")))
    made.body = draw(st.sampled_from((b"", b"7BIT", b"8BITMIME")))
    made.smtputf8 = draw(st.booleans())
    made.envid = draw(st.just(b"") | printable)
    return made


@st.composite
def of_recipients(draw: st.DrawFn) -> RecipientParameters:
    """Any that can be."""
    made = RecipientParameters()
    events = draw(st.sets(st.sampled_from((b"SUCCESS", b"FAILURE", b"DELAY"))))
    some = b",".join(event for event in (b"SUCCESS", b"FAILURE", b"DELAY") if event in events)
    made.notify = draw(st.sampled_from((b"", b"NEVER", some)))
    unicode = st.text(st.characters(min_codepoint=160, exclude_categories=["Cs"]), min_size=1, max_size=40)
    plain = st.tuples(st.sampled_from((b"rfc822", b"x400", b"UTF-8")), printable)
    international = st.tuples(st.just(b"utf-8"), unicode.map(str.encode))
    made.orcpt = draw(st.just(b"") | (plain | international).map(b";".join))
    return made


@given(of_messages())
def test_what_is_said_of_a_message_is_read_again(said: MessageParameters) -> None:
    read = MessageParameters.parse(said.encode())
    assert [getattr(read, name) for name in read.__slots__] == [getattr(said, name) for name in said.__slots__]


@given(of_recipients())
def test_what_is_said_of_a_recipient_is_read_again(said: RecipientParameters) -> None:
    read = RecipientParameters.parse(said.encode())
    assert (read.notify, read.orcpt) == (said.notify, said.orcpt)


@given(st.binary(max_size=60))
def test_any_bytes_survive_xtext(value: bytes) -> None:
    assert xtext.decode(xtext.encode(value)) == value
    assert not xtext.encode(value).translate(None, bytes(range(33, 127)))


GOOD_MESSAGE = [
    (b"", b""),
    (b"ret=hdrs", b"RET=HDRS"),
    (b"RET=full BODY=8bitmime", b"RET=FULL BODY=8BITMIME"),
    (b"SMTPUTF8 BODY=7BIT ENVID=+41b+20+3D", b"ENVID=Ab+20+3D BODY=7BIT SMTPUTF8"),
    (b"ENVID=" + b"x" * 100, b"ENVID=" + b"x" * 100),
    (b"ENVID=" + b"+2B" * 100, b"ENVID=" + b"+2B" * 100),
]
BAD_MESSAGE = [
    *(b"RET RET= RET=HALF RET=FULL,HDRS BODY BODY=BINARYMIME BODY= SMTPUTF8= SMTPUTF8=YES ENVID ENVID= SIZE=1").split(),
    *(b"ENVID=a=b ENVID=a+ ENVID=a+4 ENVID=a+4g ENVID=a+4a ENVID=+0A ENVID=+00 ENVID=+7F ENVID=+80 FULL =").split(),
    *(b"NOTIFY=NEVER ENVID=\xff ENVID=a\0b ENVID=x+0Ay").split(),
    b"RET=FULL RET=FULL",
    b"SMTPUTF8 SMTPUTF8",
    b"RET=FULL  BODY=7BIT",
    b" RET=FULL",
    b"RET=FULL ",
    b"RET=FULL\n",
    b"RET=FULL\tBODY=7BIT",
    b"ENVID=" + b"x" * 101,
]
GOOD_RECIPIENT = [
    (b"", b""),
    (b"notify=never", b"NOTIFY=NEVER"),
    (b"NOTIFY=delay,success", b"NOTIFY=SUCCESS,DELAY"),
    (b"NOTIFY=FAILURE,FAILURE", b"NOTIFY=FAILURE"),
    (b"ORCPT=rfc822;joe+40x NOTIFY=FAILURE", b"NOTIFY=FAILURE ORCPT=rfc822;joe@x"),
    (b"ORCPT=rfc822;a+20b@x;y", b"ORCPT=rfc822;a+20b@x;y"),
    (b"ORCPT=utf-8;j\xc3\xb6e@x", b"ORCPT=utf-8;j\xc3\xb6e@x"),
    (b"ORCPT=utf-8;j+C3+B6e@x", b"ORCPT=utf-8;j\xc3\xb6e@x"),
    (b"ORCPT=utf-8;\\x{F6}@x", b"ORCPT=utf-8;\\x{F6}@x"),
    (b"ORCPT=a;" + b"b" * 498, b"ORCPT=a;" + b"b" * 498),
]
BAD_RECIPIENT = [
    *(b"NOTIFY NOTIFY= NOTIFY=SOMETIMES NOTIFY=NEVER,FAILURE NOTIFY=FAILURE, NOTIFY=,DELAY RET=FULL").split(),
    *(
        b"ORCPT ORCPT= ORCPT=rfc822 ORCPT=;x ORCPT=rfc822; ORCPT=rfc822;x+0Ay ORCPT=rfc822;x+00 ORCPT=rfc822;a=b"
    ).split(),
    *(b"ORCPT=rfc822;x+y ORCPT=rfc822;\xff ORCPT=rfc822;+C3+B6 ORCPT=utf-8;\xff ORCPT=utf-8;+FF").split(),
    *(b"ORCPT=utf-8;\xc2\x85 ORCPT=utf-8;+0A ORCPT=r@c;x ORCPT=r\xc3\xb6;x ORCPT=rfc822;a\0b").split(),
    b"NOTIFY=NEVER NOTIFY=NEVER",
    b"NOTIFY=SUCCESS,FAILURE,DELAY,DELAY",
    b"ORCPT=rfc 822;x",
    b"ORCPT=a;" + b"b" * 499,
]


@pytest.mark.parametrize(("text", "written"), GOOD_MESSAGE)
def test_a_message_may_have(text: bytes, written: bytes) -> None:
    assert MessageParameters.parse(text).encode() == written


@pytest.mark.parametrize("text", BAD_MESSAGE)
def test_a_message_may_not_have(text: bytes) -> None:
    with pytest.raises(ParameterError) as caught:
        MessageParameters.parse(text)
    assert caught.value.text.decode("ascii").isprintable()
    assert parameters.of_message(text) is None


@pytest.mark.parametrize(("text", "written"), GOOD_RECIPIENT)
def test_a_recipient_may_have(text: bytes, written: bytes) -> None:
    assert RecipientParameters.parse(text).encode() == written


@pytest.mark.parametrize("text", BAD_RECIPIENT)
def test_a_recipient_may_not_have(text: bytes) -> None:
    with pytest.raises(ParameterError) as caught:
        RecipientParameters.parse(text)
    assert caught.value.text.decode("ascii").isprintable()
    assert parameters.of_recipient(text) is None


@given(st.binary(max_size=40), st.booleans(), st.sampled_from((b"", b"ORCPT=utf-8;", b"ENVID=", b"ORCPT=rfc822;")))
def test_no_bytes_become_a_record_or_a_line(text: bytes, of_message: bool, start: bytes) -> None:
    try:
        written = parameters.canonical(start + text, of_message=of_message)
    except ParameterError:
        return
    assert not set(written) & {*range(32), 127}
    assert b"  " not in written
    assert parameters.canonical(written, of_message=of_message) == written


def test_take_says_what_is_none_of_ours() -> None:
    assert not MessageParameters().take(b"SIZE", b"1000")
    assert not MessageParameters().take(b"AUTH", b"<>")
    assert not RecipientParameters().take(b"RRVS", b"x")
    assert MessageParameters().take(b"Smtputf8", None)


def test_the_envelope_has_each_where_it_belongs() -> None:
    never, some = RecipientParameters.parse(b"NOTIFY=NEVER"), RecipientParameters.parse(b"ORCPT=rfc822;c")
    wished = Parameters(MessageParameters.parse(b"RET=HDRS"), [never, None, some])
    assert wished.envelope(b"me", [b"a", b"b", b"c", b"d"]) == (
        b"Fme\0pRET=HDRS\0Ta\0pNOTIFY=NEVER\0Tb\0Tc\0pORCPT=rfc822;c\0Td\0\0"
    )
    assert Parameters().envelope(b"", [b"a"]) == b"F\0Ta\0\0"
    with pytest.raises(ValueError, match="NUL"):
        wished.envelope(b"me", [b"a\0pNOTIFY=NEVER"])


def test_who_would_notice_that_they_are_dropped() -> None:
    usual = [b"", b"NOTIFY=FAILURE", b"NOTIFY=FAILURE,DELAY", b"ORCPT=rfc822;x"]
    noticed = [b"NOTIFY=NEVER", b"NOTIFY=SUCCESS,FAILURE", b"NOTIFY=DELAY"]
    for text in usual + noticed:
        assert Parameters(None, [None, RecipientParameters.parse(text)]).is_usual == (text in usual)
    for text in (b"RET=FULL", b"BODY=8BITMIME SMTPUTF8", b"RET=HDRS", b"ENVID=x"):
        assert Parameters(MessageParameters.parse(text)).is_usual == (text not in (b"RET=HDRS", b"ENVID=x"))
