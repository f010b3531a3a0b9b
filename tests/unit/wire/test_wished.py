"""The wishes of one delivery on their way to qmail-remote: by the wide wire, and by nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import wished
from qmailpy.wire.delivery import NARROW, WIDE, Command, CommandReader
from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters

ALL = b"RET=HDRS ENVID=a+2Bb BODY=8BITMIME SMTPUTF8 NOTIFY=SUCCESS,DELAY ORCPT=rfc822;joe@x"


@pytest.mark.parametrize("text", [ALL, b"NOTIFY=NEVER", b"RET=FULL", b"SMTPUTF8"])
def test_wishes_come_out_as_they_went_in(text: bytes) -> None:
    found = wished.decode(text, 2)
    assert found is not None
    assert wished.encode(found) == text
    assert len(found.recipients) == 2


@pytest.mark.parametrize(
    "text", [b"", b"NOTIFY=PERHAPS", b"RET=HDRS RET=HDRS", b"X=Y", b"  ", b"SMTPUTF8" + b" " * 3000]
)
def test_what_makes_no_sense_is_no_wish(text: bytes) -> None:
    assert wished.decode(text) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_wishes_or_none(text: bytes) -> None:
    found = wished.decode(text)
    assert found is None or not set(wished.encode(found)) & set(b"\0\r\n")


def test_either_may_be_missing() -> None:
    message, recipient = MessageParameters.parse(b"RET=HDRS"), RecipientParameters.parse(b"NOTIFY=NEVER")
    assert wished.encode(Parameters(message)) == b"RET=HDRS"
    assert wished.encode(Parameters(None, [recipient])) == b"NOTIFY=NEVER"
    assert wished.encode(Parameters(None, [None])) == b""


no_nul = st.binary(max_size=20).map(lambda text: text.replace(b"\0", b""))


@given(
    st.lists(st.tuples(st.integers(0, 65535), no_nul, no_nul, no_nul, no_nul, st.booleans())),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_commands_with_wishes_in_pieces_of_any_size(
    sent: list[tuple[int, bytes, bytes, bytes, bytes, bool]], sizes: list[int]
) -> None:
    commands = [
        Command(slot, b"1/" + path, sender, to, traced=traced, wished=wishes)
        for slot, path, sender, to, wishes, traced in sent
    ]
    stream = b"".join(command.encode(WIDE) for command in commands)
    reader = CommandReader(WIDE, traces=True)
    heard: list[Command] = []
    at = 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        heard += reader.feed(stream[at : at + size])
        at += size
    assert not reader.partial
    told = [(each.slot, each.message, each.sender, each.recipient, each.wished, each.traced) for each in heard]
    assert told == [(slot, b"1/" + path, *rest) for slot, path, *rest in sent]


def test_between_a_wish_and_its_command_nothing_is_complete() -> None:
    stream = Command(5, b"9/457", b"a@b", b"c@d", wished=b"NOTIFY=NEVER").encode(WIDE)
    reader = CommandReader(WIDE)
    end = stream.index(b"@\0") + 2
    assert reader.feed(stream[:end]) == []
    assert reader.partial
    [command] = reader.feed(stream[end:])
    assert (command.slot, command.wished) == (5, b"NOTIFY=NEVER")
    assert not reader.partial


def test_who_does_not_know_wishes_sees_a_command_for_a_slot_that_nobody_has() -> None:
    stream = Command(5, b"9/457", b"a@b", b"c@d", wished=b"NOTIFY=NEVER").encode(WIDE)
    first, second = stream[:4], stream[stream.index(b"@\0") + 2 :]
    assert int.from_bytes(first, "little") > WIDE.limit
    assert second == Command(5, b"9/457", b"a@b", b"c@d").encode(WIDE)


def test_the_classic_wire_has_no_place_for_wishes() -> None:
    assert Command(5, b"9/457", b"a@b", b"c@d", wished=b"NOTIFY=NEVER").encode(NARROW) == b"\x059/457\0a@b\0c@d\0"
