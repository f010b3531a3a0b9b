"""The worker of qmail-rspawn: requests with descriptors in, reports out, over a real socket."""

import array
import contextlib
import os
import resource
import socket
import threading
from collections.abc import Iterator

import pytest

from qmailpy.remote import worker
from qmailpy.rules import trace
from qmailpy.rules.report import reduce
from tests.remote_support import GOOD, ON_THE_WIRE, Line, Peer, Place, replies
from tests.support import PATIENCE, free_port

REFUSED = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"
TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"


class Rspawn:
    """The other end."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        descriptor = theirs.detach()
        self.codes: list[int] = []
        self.thread = threading.Thread(target=lambda: self.codes.append(worker.serve(place.home, descriptor)))
        self.thread.start()

    def ask(self, number: int, recipient: bytes = b"to@there.example", *, end: bytes = b"") -> None:
        packet = number.to_bytes(4, "little") + b"there.example\0from@here.example\0" + recipient + end
        with open(self.place.message, "rb") as file:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))]
            self.socket.sendmsg([packet], rights)

    def hear(self) -> tuple[int, bytes]:
        answer = self.socket.recv(1 << 17)
        return int.from_bytes(answer[:4], "little"), answer[4:]

    def close(self) -> None:
        self.socket.close()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert self.codes == [0]


@pytest.fixture(autouse=True)
def _limit_as_it_was() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def rspawn(tmp_path: object) -> Iterator[Rspawn]:
    with contextlib.closing(Rspawn(Place(str(tmp_path)))) as found:
        yield found


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_request_is_delivered_and_answered(rspawn: Rspawn, end: bytes) -> None:
    with Peer(replies()) as peer:
        rspawn.place.route_to(peer)
        rspawn.ask(7, end=end)
        assert rspawn.hear() == (7, TAKEN)
    assert ON_THE_WIRE in peer.heard[0]


def test_answers_come_in_the_order_of_completion(rspawn: Rspawn) -> None:
    called, go_on = threading.Event(), threading.Event()

    def slow(line: Line) -> None:
        called.set()
        go_on.wait(PATIENCE)
        line.say(b"421 later\r\n")
        line.hear_all()

    with Peer(slow) as first, Peer(replies()) as second:
        rspawn.place.route_to(first)
        rspawn.ask(1)
        assert called.wait(PATIENCE)
        rspawn.place.route_to(second)
        rspawn.ask(0xFFFFFFFF)
        assert rspawn.hear() == (0xFFFFFFFF, TAKEN)
        go_on.set()
        assert rspawn.hear()[0] == 1


def test_many_conversations_go_on_at_once_and_leave_no_descriptor(rspawn: Rspawn) -> None:
    count = 100
    with Peer(replies()) as peer:
        rspawn.place.route_to(peer)
        rspawn.ask(0)
        rspawn.hear()
        before = descriptors()
        for number in range(count):
            rspawn.ask(number, b"to%d@there.example" % number)
        answers = dict(rspawn.hear() for _ in range(count))
    assert answers == dict.fromkeys(range(count), TAKEN)
    assert len(descriptors()) <= len(before)


def test_a_request_without_a_descriptor_is_a_reason_to_wait(rspawn: Rspawn) -> None:
    rspawn.socket.send((5).to_bytes(4, "little") + b"h\0a@b\0c@d")
    number, report = rspawn.hear()
    assert (number, report) == (5, b"ZSystem resources temporarily unavailable. (#4.3.0)\n\0")


def test_it_says_that_it_is_there_while_conversations_go_on(rspawn: Rspawn) -> None:
    called, go_on = threading.Event(), threading.Event()

    def slow(line: Line) -> None:
        called.set()
        go_on.wait(PATIENCE)
        line.hear_all()

    with Peer(slow) as peer:
        rspawn.place.route_to(peer)
        rspawn.ask(1)
        assert called.wait(PATIENCE)
        rspawn.socket.send(bytes(4))
        assert rspawn.hear() == (0, b"")
        go_on.set()
        rspawn.socket.shutdown(socket.SHUT_RDWR)


def test_a_bug_in_one_delivery_is_a_crash_of_that_delivery_only(
    rspawn: Rspawn, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object, **_named: object) -> bytes:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(worker, "deliver", fail)
        rspawn.ask(1)
        assert rspawn.hear() == (1, b"Zqmail-remote crashed.\n\0")
    assert reduce(b"Zqmail-remote crashed.\n\0", 0, 0) == (b"Z", b"qmail-remote crashed.\n")
    rspawn.place.control("smtproutes", f":127.0.0.1:{(port := free_port())}")
    rspawn.ask(2)
    assert rspawn.hear() == (2, REFUSED[:-1] + b"Mail waits for the relay 127.0.0.1 port %d.\n\0" % port)
    assert "RuntimeError" in capfd.readouterr().err


def test_when_the_other_end_closes_nothing_is_finished(tmp_path: object) -> None:
    called = threading.Event()

    def silent(line: Line) -> None:
        line.say(GOOD["greeting"])
        called.set()
        line.hear_all()

    rspawn = Rspawn(Place(str(tmp_path)))
    with Peer(silent) as peer:
        rspawn.place.route_to(peer)
        rspawn.ask(1)
        assert called.wait(PATIENCE)
        rspawn.close()
    assert b"MAIL" not in peer.heard[0]


def test_a_report_fits_a_packet(rspawn: Rspawn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(*_: object, **_named: object) -> bytes:
        return b"Z" + b"x" * 100_000 + b"\0"

    monkeypatch.setattr(worker, "deliver", talk)
    rspawn.ask(1)
    number, report = rspawn.hear()
    assert (number, len(report), report[-2:]) == (1, 60000, b"x\0")


def test_answers_that_nobody_reads_yet_wait_their_turn(rspawn: Rspawn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(*_: object, **_named: object) -> bytes:
        return b"Z" + b"x" * 50_000 + b"\0"

    monkeypatch.setattr(worker, "deliver", talk)
    for number in range(50):
        rspawn.ask(number)
    assert sorted(rspawn.hear()[0] for _ in range(50)) == list(range(50))


def test_half_a_request_is_no_address(rspawn: Rspawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "REQUEST_SIZE", 48)  # the recipient would end behind its @
    rspawn.ask(9)
    assert rspawn.hear() == (9, b"ZSystem resources temporarily unavailable. (#4.3.0)\n\0")


def test_wishes_come_behind_the_word_about_the_story(rspawn: Rspawn) -> None:
    def script(line: Line) -> None:
        line.say(GOOD["greeting"])
        line.hear()
        line.say(b"250-peer\r\n250 DSN\r\n")
        line.hear()
        line.say(b"550 no\r\n")
        line.hear_all()

    with Peer(script) as peer:
        rspawn.place.route_to(peer)
        for number, end in enumerate((b"\0-\0RET=HDRS", b"\0\0RET=HDRS", b"\0-\0RET=SOMETHING")):
            rspawn.ask(number, end=end)
            assert rspawn.hear()[0] == number
    said = [b"RET=HDRS" in heard for heard in peer.heard]
    assert said == [True, True, False]


@pytest.mark.parametrize(("end", "shown"), [(b"\0", True), (b"\0-\0SMTPUTF8", False)])
def test_a_dialogue_is_shown_where_it_is_wanted_and_can_be_heard(rspawn: Rspawn, end: bytes, shown: bool) -> None:
    rspawn.place.control("transcript", ".example")
    told = []
    with Peer(replies()) as peer:
        rspawn.place.route_to(peer)
        rspawn.ask(7, end=end)
        number, answer = rspawn.hear()
        while answer[:1] == b"T":
            told.append(trace.decode(answer[1:]))
            number, answer = rspawn.hear()
    assert (number, answer) == (7, TAKEN)
    lines = [
        (what, each[what])
        for each in told
        if each and each["event"] == b"dialogue"
        for what in ("said", "heard")
        if what in each
    ]
    expected = [("heard", b"220 peer"), ("said", b"EHLO client.example.org"), ("heard", b"250 peer")]
    assert lines[:3] == (expected if shown else [])
    assert (("said", b"(%d bytes of message)" % len(ON_THE_WIRE)) in lines) is shown
    assert all(b"hello" not in line for _, line in lines)
    assert not lines or lines[-1] == ("heard", b"250 taken")
