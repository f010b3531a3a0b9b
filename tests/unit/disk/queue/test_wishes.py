"""Parameters in info/N: written by position, read by offset, and of no interest to C."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.disk.home import Home
from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.disk.queue.wishes import Info, Wishes
from tests.queue_support import new_home
from tests.support import read, write

NUMBER = 457
SENDER = b"me@here.example"
addresses = st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\0", b"")), max_size=6)
texts = st.dictionaries(st.integers(0, 7), st.sampled_from((b"NOTIFY=NEVER", b"NOTIFY=SUCCESS ORCPT=rfc822;a+20b")))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(Home(os.fsencode(new_home(tmp_path))))


def prepare(paths: Paths, listed: tuple[list[bytes], list[bytes]], wishes: Wishes | None) -> None:
    claiming = Claiming(paths)
    claiming.half.add(NUMBER)
    claiming.settle([claiming.prepare(NUMBER, 12345, SENDER, listed, wishes)])


def by_address(paths: Paths, channel: int) -> list[tuple[bytes, bytes]]:
    """(address, parameters) of every recipient of a channel, as a job reads them."""
    queue = Queue(paths)
    asked = queue.info(NUMBER).wishes_of(channel)
    recipients = queue.recipients(NUMBER, channel)
    found = []
    while (record := recipients.next()) is not None:
        found.append((record[2], b"" if asked is None else asked.of(record[1])))
    return found


def test_a_message_without_wishes_has_the_file_that_it_always_had(paths: Paths) -> None:
    for wishes in (None, Wishes(b"", ({}, {}))):
        prepare(paths, ([b"joe"], []), wishes)
        assert read(os.fsdecode(paths.info(NUMBER))) == b"Fme@here.example\0"
        info = Info(paths, NUMBER)
        assert (info.sender, info.birth, info.parameters, info.wishes_of(0)) == (SENDER, 12345, b"", None)


def test_the_file_is_byte_exact(paths: Paths) -> None:
    wishes = Wishes(b"RET=HDRS", ({1: b"NOTIFY=NEVER"}, {0: b"ORCPT=rfc822;x"}))
    prepare(paths, ([b"joe", b"ann@mx"], [b"a  b@there"]), wishes)
    assert read(os.fsdecode(paths.info(NUMBER))) == (
        b"Fme@here.example\0pRET=HDRS\0i24\0l5 NOTIFY=NEVER  ann@mx\0r0 ORCPT=rfc822;x  a  b@there\0"
    )
    assert stat.S_IMODE(os.stat(paths.info(NUMBER)).st_mode) & 0o077 == 0
    found = [(wish.channel, wish.offset, wish.text, wish.address) for wish in Info(paths, NUMBER).wishes()]
    assert found == [(0, 5, b"NOTIFY=NEVER", b"ann@mx"), (1, 0, b"ORCPT=rfc822;x", b"a  b@there")]
    assert read_as_c(paths) == SENDER


def read_as_c(paths: Paths) -> bytes:
    """What C's qmail-send and qmail-qread make of info/N: up to the first NUL, without the first byte (spec/02 4)."""
    return read(os.fsdecode(paths.info(NUMBER))).split(b"\0")[0][1:]


@given(addresses, addresses, texts, texts, st.sampled_from((b"", b"RET=HDRS")))
def test_everybody_finds_his_own(
    local: list[bytes], remote: list[bytes], for_local: dict[int, bytes], for_remote: dict[int, bytes], message: bytes
) -> None:
    content = b"F%s\0%s" % (SENDER, Wishes(message, (for_local, for_remote)).encode((local, remote)))
    info = info_of(content)
    assert info.parameters == message
    for channel, listed, wished in ((0, local, for_local), (1, remote, for_remote)):
        asked = info.wishes_of(channel)
        offset = 0
        for at, address in enumerate(listed):
            assert (b"" if asked is None else asked.of(offset)) == wished.get(at, b"")
            offset += len(address) + 2


def info_of(content: bytes) -> Info:
    """Of a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/queue/info/20/{NUMBER}", content)
        return Info(Paths(Home(folder.encode())), NUMBER)


def test_more_wishes_than_are_read_at_once(paths: Paths) -> None:
    listed = [b"%d@there.example" % at for at in range(9000)]
    wished = {at: b"NOTIFY=NEVER ORCPT=rfc822;%d" % at for at in range(0, 9000, 2)}
    prepare(paths, ([b"joe"], listed), Wishes(b"RET=HDRS", ({}, wished)))
    assert os.stat(paths.info(NUMBER)).st_size > 3 * 65536
    assert by_address(paths, 0) == [(b"joe", b"")]
    assert by_address(paths, 1) == [(address, wished.get(at, b"")) for at, address in enumerate(listed)]
    asked = Queue(paths).info(NUMBER).wishes_of(1)
    assert asked is not None
    os.unlink(paths.info(NUMBER))
    with pytest.raises(Trouble):
        asked.of(100_000_000)


@pytest.mark.parametrize("rest", [b"x", b"l\0", b"lx a  b\0", b"q1 a  b\0", b"l-1 a  b\0", b"\0\0", b"l0 a b\0", b""])
def test_records_that_make_no_sense_are_nobodys(paths: Paths, rest: bytes) -> None:
    for start in (b"", b"p", b"pRET=HDRS\0", b"i0\0", b"i999999999999999999\0", b"i9999999999999999999\0", b"ix\0"):
        write(os.fsdecode(paths.info(NUMBER)), b"Fme\0" + start + rest)
        info = Info(paths, NUMBER)
        assert info.sender == b"me"
        assert list(info.wishes()) == []
        for channel in (0, 1):
            asked = info.wishes_of(channel)
            assert asked is None or asked.of(0) == b""


@pytest.mark.parametrize("length", [65535, 65536, 65537, 131072])
def test_the_end_of_a_piece_may_be_anywhere(paths: Paths, length: int) -> None:
    last = b"r7 NOTIFY=NEVER  x\0"
    start = b"Fme\0i65000\0" if length < 70_000 else b"Fme\0i131000\0"
    local = (b"l0 NOTIFY=NEVER  " + b"x" * length)[: length - len(start) - len(last) - 1] + b"\0"
    start = b"Fme\0i%d\0" % len(local)
    write(os.fsdecode(paths.info(NUMBER)), start + local + last)
    assert os.stat(paths.info(NUMBER)).st_size == length
    info = Info(paths, NUMBER)
    assert [wish.offset for wish in info.wishes()] == [0, 7]
    assert [[wish.offset for wish in info.wishes(channel)] for channel in (0, 1)] == [[0], [7]]
