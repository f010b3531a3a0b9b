"""A message in chunks (RFC 3030), to a peer that misbehaves at every step: what is said, and the report's words."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from qmailpy.wire import smtp_body
from tests.remote_support import GOOD, MESSAGE, Gone, Line, Peer, Place
from tests.support import PATIENCE, write

EHLO = b"250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
SLOW_EHLO = b"250-peer\r\n250 CHUNKING\r\n"  # one that is not to be hurried
BODY = b"From: a\r\n\r\n.hello\r\nworld\r\n"
TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"
DIED = b"r\0ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"
DIED_AFTER_ALL = b"r\0ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\0"
Chunk = tuple[bytes, bytes]  # its command, its bytes


@pytest.fixture
def place(tmp_path: object) -> Place:
    found = Place(str(tmp_path))
    found.control("timeoutremote", "5")
    write(found.message, MESSAGE)
    return found


def to_recipient(line: Line, ehlo: bytes = EHLO, after: bytes = b"") -> None:
    """As far as the answer to RCPT, and these words with it."""
    line.say(GOOD["greeting"])
    line.hear()
    line.say(ehlo)
    line.hear()
    line.say(GOOD["MAIL"])
    line.hear()
    line.say(GOOD["RCPT"] + after)


def hear_bytes(line: Line, count: int) -> bytes:
    while len(line.rest) < count:
        piece = line.connection.recv(65536)
        if not piece:
            raise Gone
        line.rest += piece
        line.heard += piece
    found, line.rest = line.rest[:count], line.rest[count:]
    return found


def hear_chunk(line: Line) -> Chunk:
    command = line.hear()
    assert command.startswith(b"BDAT "), command
    return command, hear_bytes(line, int(command.split()[1]))


def outcome(
    place: Place, script: Callable[[Line], None], *recipients: bytes, whole: bool = False
) -> tuple[bytes, bytes]:
    """The report, and what the peer heard on its connections."""
    with Peer(script) as peer:
        place.route_to(peer)
        report = place.deliver(*recipients, whole=whole)
    return report, b"|".join(peer.heard)


@contextlib.contextmanager
def small_chunks(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtp_body, "CHUNK_SIZE", size)
        yield


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO])
def test_a_message_is_one_chunk_and_nothing_of_it_goes_before_a_recipient_is_taken(place: Place, ehlo: bytes) -> None:
    def script(line: Line) -> None:
        to_recipient(line, ehlo)
        assert hear_chunk(line) == (b"BDAT 26 LAST\r\n", BODY)
        line.say(GOOD["dot"])
        line.hear_all()

    report, heard = outcome(place, script)
    assert report == TAKEN
    assert heard.endswith(b"RCPT TO:<to@there.example>\r\nBDAT 26 LAST\r\n" + BODY + b"QUIT\r\n")


def test_an_empty_message_is_an_empty_chunk(place: Place) -> None:
    write(place.message, b"")

    def script(line: Line) -> None:
        to_recipient(line)
        assert hear_chunk(line) == (b"BDAT 0 LAST\r\n", b"")
        line.say(GOOD["dot"])
        line.hear_all()

    assert outcome(place, script)[0] == TAKEN


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO])
@pytest.mark.parametrize("whole", [False, True])
def test_where_nobody_is_taken_no_chunk_is_sent(place: Place, ehlo: bytes, whole: bool) -> None:
    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(ehlo)
        line.hear()
        line.say(GOOD["MAIL"])
        line.hear()
        line.say(GOOD["RCPT"] if whole else b"550 no\r\n")
        line.hear()
        line.say(b"550 no\r\n")
        line.hear_all()

    report, heard = outcome(place, script, b"1@there.example", b"2@there.example", whole=whole)
    assert report.endswith(b"DGiving up on 127.0.0.1.\n\0")
    assert b"BDAT" not in heard
    assert b"From: a" not in heard


@pytest.mark.parametrize(
    ("reply", "report"),
    [
        (b"554 no", b"r\0D127.0.0.1 failed after I sent the message.\nRemote host said: 554 no\n\0"),
        (b"451 no", b"r\0Z127.0.0.1 failed after I sent the message.\nRemote host said: 451 no\n\0"),
        (b"354 eh", b"r\0Z127.0.0.1 failed after I sent the message.\nRemote host said: 354 eh\n\0"),
        (
            b"what?",
            (
                b"r\0ZConnected to 127.0.0.1 but its reply makes no sense. Possible duplicate! (#4.4.2)\n"
                b"Remote host said: what?\n\0"
            ),
        ),
        (None, DIED_AFTER_ALL),
    ],
)
def test_a_late_no_to_the_last_chunk_is_the_answer_to_the_message(
    place: Place, reply: bytes | None, report: bytes
) -> None:
    def script(line: Line) -> None:
        to_recipient(line)
        hear_chunk(line)
        if reply is not None:
            line.say(reply + b"\r\n")
            line.hear_all()

    assert outcome(place, script)[0] == report


@pytest.mark.parametrize("code", [b"500", b"501", b"502", b"503", b"504"])
def test_a_peer_that_does_not_know_what_it_offers_gets_the_message_after_data(place: Place, code: bytes) -> None:
    calls: list[int] = []

    def script(line: Line) -> None:
        calls.append(1)
        to_recipient(line)
        if len(calls) == 1:
            line.hear()
            line.say(code + b" what?\r\n" + b"500 what?\r\n" * 4)  # it takes each line for a command
            line.hear_all()
            return
        line.hear(b"DATA\r\n")
        line.say(GOOD["DATA"])
        line.hear_body()
        line.say(GOOD["dot"])
        line.hear_all()

    report, heard = outcome(place, script)
    assert report == TAKEN
    assert heard.count(b"BDAT") == 1
    assert heard.count(b"\r\nDATA\r\n") == 1
    assert b"\r\n..hello\r\n" in heard


def test_several_chunks_go_without_waiting_and_each_has_its_answer(place: Place) -> None:
    write(place.message, b"12345678\n" * 10)
    chunks: list[Chunk] = []

    def script(line: Line) -> None:
        to_recipient(line)
        chunks.extend(hear_chunk(line) for _ in range(4))
        line.say(b"250 one\r\n250 two\r\n250 three\r\n250 taken\r\n")
        line.hear_all()

    with small_chunks(30):
        report, _ = outcome(place, script)
    assert report == TAKEN
    assert [command for command, _ in chunks] == [b"BDAT 30\r\n"] * 3 + [b"BDAT 10 LAST\r\n"]
    assert b"".join(content for _, content in chunks) == b"12345678\r\n" * 10


@pytest.mark.parametrize("refused", [0, 1, 2])
@pytest.mark.parametrize(("no", "letter"), [(b"552 too big", b"D"), (b"452 no room", b"Z")])
def test_a_no_to_one_of_several_chunks_is_a_no_to_all(place: Place, refused: int, no: bytes, letter: bytes) -> None:
    write(place.message, b"12345678\n" * 10)

    def script(line: Line) -> None:
        to_recipient(line)
        for _ in range(4):
            hear_chunk(line)
        line.say(b"250 ok\r\n" * refused + no + b"\r\n" + b"503 what\r\n" * (3 - refused))
        line.hear_all()

    with small_chunks(30):
        report, _ = outcome(place, script)
    assert report == b"r\0" + letter + b"127.0.0.1 failed on BDAT command.\nRemote host said: " + no + b"\n\0"


def test_an_early_no_ends_a_large_message_at_its_next_piece(place: Place) -> None:
    write(place.message, b"x" * 70 + b"\n" + b"y" * 30_000_000)

    def script(line: Line) -> None:
        to_recipient(line)
        line.hear(b"x" * 70)
        line.say(b"552 too big\r\n")
        line.hear_all()

    report, heard = outcome(place, script)
    assert report == b"r\0D127.0.0.1 failed on BDAT command.\nRemote host said: 552 too big\n\0"
    assert len(heard) < 25_000_000


@pytest.mark.parametrize("yes", [b"250 taken\r\n", b"250 one\r\n250 two\r\n250 three\r\n250 four\r\n"])
def test_a_yes_to_a_chunk_that_was_not_sent_yet_is_not_believed(place: Place, yes: bytes) -> None:
    def script(line: Line) -> None:
        to_recipient(line, after=yes)
        line.hear_all()

    with small_chunks(10):
        report, heard = outcome(place, script)
    assert report.startswith(b"r\0ZConnected to 127.0.0.1 but its reply makes no sense. (#4.4.2)\n")
    assert b"BDAT" not in heard


def test_a_peer_that_closes_before_the_last_byte_has_nothing(place: Place) -> None:
    write(place.message, b"y" * 30_000_000)

    def script(line: Line) -> None:
        to_recipient(line)
        line.hear(b"y" * 70)

    assert outcome(place, script)[0] == DIED


def test_a_peer_that_does_not_read_a_chunk_is_left_after_the_timeout(place: Place) -> None:
    place.control("timeoutremote", "1")
    write(place.message, b"y" * 30_000_000)

    def script(line: Line) -> None:
        to_recipient(line)
        delivered.wait(PATIENCE)

    delivered = threading.Event()
    with Peer(script) as peer:
        place.route_to(peer)
        assert place.deliver() == DIED
        delivered.set()


@pytest.mark.parametrize("change", [b"", b"more\n" * 20])
def test_a_message_that_changes_while_it_is_sent_never_arrives(place: Place, change: bytes) -> None:
    write(place.message, MESSAGE + b"x" * 100_000)

    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        with open(place.message, "r+b" if change else "wb") as file:  # it was counted before anybody was called
            file.seek(0, os.SEEK_END)
            file.write(change)
        line.say(EHLO)
        line.hear()
        line.say(GOOD["MAIL"] + GOOD["RCPT"])
        line.hear_all()

    report, heard = outcome(place, script)
    assert report == b"r\0ZUnable to read message. (#4.3.0)\n\0"
    assert len(heard) < 100_000 + 200


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO])
def test_a_message_that_can_be_read_only_once_goes_piece_by_piece(place: Place, ehlo: bytes) -> None:
    content = b"abc\r\n\r" * 50_000 + b"end"
    chunks: list[Chunk] = []

    def script(line: Line) -> None:
        to_recipient(line, ehlo)
        while not chunks or not chunks[-1][0].endswith(b" LAST\r\n"):
            chunks.append(hear_chunk(line))
            if ehlo is SLOW_EHLO:
                line.connection.setblocking(False)
                with pytest.raises(BlockingIOError):  # the next one waits for the answer to this one
                    line.connection.recv(1)
                line.connection.settimeout(PATIENCE)
            line.say(GOOD["dot"])
        line.hear_all()

    reading, writing = os.pipe()
    writer = threading.Thread(target=write_all, args=(writing, content))
    writer.start()
    with Peer(script) as peer, pytest.MonkeyPatch.context() as patch:
        place.route_to(peer)
        patch.setattr(os, "open", lambda *_: reading)
        report = place.deliver()
    writer.join(PATIENCE)
    assert report == TAKEN
    assert len(chunks) > 2
    assert all(content for _, content in chunks[:-1])
    assert b"".join(content for _, content in chunks) == b"abc\r\n" + b" abc\r\n" * 49_999 + b" end\r\n"


def test_a_message_that_can_be_read_only_once_is_not_to_blame_for_a_server_without_bdat(place: Place) -> None:
    def script(line: Line) -> None:
        to_recipient(line)
        hear_chunk(line)
        line.say(b"500 what?\r\n")
        line.hear_all()

    reading, writing = os.pipe()
    os.write(writing, b"Subject: x\n\nx\n")
    os.close(writing)
    with Peer(script) as peer, pytest.MonkeyPatch.context() as patch:
        place.route_to(peer)
        patch.setattr(os, "open", lambda *_: reading)
        report = place.deliver()
    assert report == b"r\0Z127.0.0.1 failed after I sent the message.\nRemote host said: 500 what?\n\0"


def write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
    os.close(descriptor)


def test_a_route_may_forbid_chunks(place: Place) -> None:
    def script(line: Line) -> None:
        to_recipient(line)
        line.hear(b"DATA\r\n")
        line.say(GOOD["DATA"])
        line.hear_body()
        line.say(GOOD["dot"])
        line.hear_all()

    with Peer(script) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} chunking=no")
        assert place.deliver() == TAKEN
    assert b"BDAT" not in peer.heard[0]
