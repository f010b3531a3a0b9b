"""A peer that breaks the dialogue at each of its steps, in each way: the report is exact, and so is what was sent.

The peers are tests/hostile_support's, without a network: the moment at which each goes is exact. The same by real
connections, with and without TLS: test_hostile_network.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qmailpy.remote import pace, session
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.pace import Pace
from qmailpy.rules.report import PASSED_ON, is_passed_on, reduce, waiting_for
from tests.hostile_support import (
    BY_STEP,
    CRLF,
    DEAF,
    DIED,
    DIED_AFTER_DOT,
    DRIPS,
    END,
    HALF,
    LAST,
    PIPELINING,
    SILENT,
    STEPS,
    TAKEN,
    UNANSWERED,
    UNREAD,
    Face,
    Script,
    by_table,
    hear,
    in_turn,
    met_by,
    one,
    say,
)
from tests.remote_support import GOOD, ON_THE_WIRE, Place
from tests.support import write

SAID_AHEAD = b"MAIL FROM:<from@here.example>\r\nRCPT TO:<to@there.example>\r\nDATA\r\n"
Outcome = Coroutine[Any, Any, tuple[list[bytes], list[Face]]]
NO_SENSE = b"ZConnected to 127.0.0.1 but its reply makes no sense. (#4.4.2)\nRemote host said: "
WAYS = [
    pytest.param(step, offers, id=f"{step} {way}")
    for way, offers in BY_STEP.items()
    for step in STEPS
    if step != "DATA" or "chunks" not in way
]
WARM = [way for way in WAYS if way.values[0] not in STEPS[:2]]


@pytest.fixture
def place(tmp_path: object) -> Place:
    found = Place(str(tmp_path))
    found.control("timeoutremote", "20")
    found.control("smtproutes", ":127.0.0.1:2525")
    return found


def died(step: str, what: str, *, noticed: bool = True) -> bytes:
    """What is to be said of it: a duplicate is possible only where the end of the message may have been heard."""
    items = b"r\0" if step in ("DATA", "dot") else b""
    heard = step == "dot" and not (what == UNREAD and noticed)
    return items + (DIED_AFTER_DOT if heard else DIED)


def ends(face: Face) -> int:
    """How many messages came to an end there."""
    return face.heard.count(END) + face.heard.count(LAST)


@pytest.mark.parametrize(("step", "offers"), WAYS)
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
@pytest.mark.parametrize("what", [UNREAD, UNANSWERED, HALF])
def test_who_goes_is_tried_again_and_a_duplicate_is_named_only_where_there_may_be_one(
    place: Place, step: str, what: str, *, noticed: bool, offers: bytes
) -> None:
    report, [face] = one(place, lambda: Face(by_table({"EHLO": offers}, (step, what)), noticed=noticed))
    assert report == died(step, what, noticed=noticed)
    assert ends(face) == (step == "dot" and what != UNREAD)


@pytest.mark.parametrize(("step", "offers"), WARM)
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
@pytest.mark.parametrize("what", [UNREAD, UNANSWERED, HALF])
def test_a_warm_connection_that_ends_is_replaced_before_the_message_and_reported_after_it(
    place: Place, step: str, what: str, *, noticed: bool, offers: bytes
) -> None:
    def first() -> Face:
        return Face(by_table({"EHLO": offers}, (step, what), 2), noticed=noticed)

    reports, met = asyncio.run(in_turn(place, 2, first, lambda: Face(by_table()), warm=True))
    if step == "MAIL":
        assert reports == [TAKEN, TAKEN]
        assert met[1].heard == b"EHLO client.example.org\r\n" + SAID_AHEAD + ON_THE_WIRE
        assert ends(met[0]) == 1
    else:
        assert reports == [TAKEN, died(step, what, noticed=noticed)]
        assert len(met) == 1


@pytest.mark.parametrize("offers", [GOOD["EHLO"], PIPELINING], ids=["one by one", "pipelining"])
@pytest.mark.parametrize(
    ("step", "reply", "report"),
    [
        ("MAIL", b"421 enough\r\n", TAKEN),
        ("MAIL", b"452 too many\r\n", TAKEN),
        ("MAIL", b"550 no more\r\n", TAKEN),
        ("MAIL", b"what?\r\n", TAKEN),
        (
            "RCPT",
            b"421 bye\r\n",
            b"s127.0.0.1 does not like recipient.\nRemote host said: 421 bye\n\0DGiving up on 127.0.0.1.\n\0",
        ),
        (
            "RCPT",
            b"550 no\r\n",
            b"h127.0.0.1 does not like recipient.\nRemote host said: 550 no\n\0DGiving up on 127.0.0.1.\n\0",
        ),
        ("RCPT", b"what?\r\n", NO_SENSE + b"what?\n\0"),
        ("DATA", b"421 bye\r\n", b"r\0Z127.0.0.1 failed on DATA command.\nRemote host said: 421 bye\n\0"),
        ("DATA", b"250 ok\r\n", b"r\0Z127.0.0.1 failed on DATA command.\nRemote host said: 250 ok\n\0"),
        ("DATA", b"\xff\0\r\n", b"r\0" + NO_SENSE + b"\xff?\n\0"),
        ("dot", b"421 bye\r\n", b"r\0Z127.0.0.1 failed after I sent the message.\nRemote host said: 421 bye\n\0"),
        ("dot", b"554 no\r\n", b"r\0D127.0.0.1 failed after I sent the message.\nRemote host said: 554 no\n\0"),
        (
            "dot",
            b"2xx\r\n",
            b"r\0" + NO_SENSE.replace(b"sense. ", b"sense. Possible duplicate! ") + b"2xx\n\0",
        ),
    ],
)
def test_what_is_said_on_a_warm_connection_counts_from_the_recipient_on(
    place: Place, step: str, reply: bytes, report: bytes, offers: bytes
) -> None:
    table: dict[str, bytes | list[bytes]] = {"EHLO": offers, step: [GOOD[step], reply]}
    reports, met = asyncio.run(in_turn(place, 2, lambda: Face(by_table(table)), lambda: Face(by_table()), warm=True))
    assert reports == [TAKEN, report]
    assert len(met) == 1 + (step == "MAIL")
    assert all(face.ended for face in met)


# lies about what was said and what is offered


def lying(*acts: tuple[str, bytes]) -> Callable[[], Face]:
    """A peer that says these things whatever it hears."""

    def script() -> Script:
        heard = b""
        for act in (*acts, hear(b"never")):
            heard += yield act

    return lambda: Face(script())


OK, DATA = GOOD["MAIL"], GOOD["DATA"]
HELLO = (say(GOOD["greeting"]), hear(), say(GOOD["EHLO"]), hear())
AHEAD = (say(GOOD["greeting"]), hear(), say(PIPELINING), hear(b"DATA\r\n"))
TOO_MANY = b"r\0Z127.0.0.1 failed on DATA command.\nRemote host said: 250 ok\n\0"
GIVEN_UP = b"h127.0.0.1 does not like recipient.\nRemote host said: 550 no\n\0DGiving up on 127.0.0.1.\n\0"


@pytest.mark.parametrize(
    ("acts", "report"),
    [
        pytest.param((*HELLO, say(OK + OK), hear(), hear(), say(OK), hear()), TOO_MANY, id="one too many to MAIL"),
        pytest.param((*AHEAD, say(OK + OK + OK + DATA), hear(END), say(OK)), TOO_MANY, id="the same, pipelined"),
        pytest.param(
            (*HELLO, say(OK), hear(), say(OK + DATA), hear(), say(DATA), hear(END), say(GOOD["dot"])),
            b"r\0" + NO_SENSE + b"354 go\n\0",
            id="two invitations",
        ),
        pytest.param(
            (*AHEAD, say(OK + OK + DATA + GOOD["dot"]), hear(END)),
            b"r\0" + NO_SENSE + b"250 taken\n\0",
            id="thanks before the message",
        ),
        pytest.param(
            (*AHEAD, say(OK + OK + DATA + b"250 tak"), hear(END), say(b"en\r\n")),
            b"r\0" + NO_SENSE.removesuffix(b"Remote host said: ") + b"\0",
            id="half a thanks before the message",
        ),
        pytest.param(
            (*AHEAD, say(OK + OK + DATA + b"552 too big\r\n"), hear(END)),
            b"r\0D127.0.0.1 failed after I sent the message.\nRemote host said: 552 too big\n\0",
            id="no before the message",
        ),
        pytest.param((*AHEAD, say(OK + b"550 no\r\n" + DATA), hear(END), say(OK)), GIVEN_UP, id="invited for nobody"),
        pytest.param(
            (*AHEAD, say(b"550 no\r\n" + OK + DATA), hear(END), say(OK)),
            b"DConnected to 127.0.0.1 but sender was rejected.\nRemote host said: 550 no\n\0",
            id="refused, and invited",
        ),
        pytest.param((*AHEAD, say(OK + OK + OK), hear(END), say(OK)), TOO_MANY, id="250 for 354"),
        pytest.param(
            (*AHEAD, say(OK + b"250-ok\r\n354 go\r\n"), hear(END), say(OK)),
            NO_SENSE + b"250-ok\n354 go\n\0",
            id="two replies in one",
        ),
        pytest.param(
            (say(GOOD["greeting"] + PIPELINING + OK + OK + b"550 no\r\n"), hear(END)),
            b"r\0D127.0.0.1 failed on DATA command.\nRemote host said: 550 no\n\0",
            id="everything before it is asked",
        ),
    ],
)
def test_a_server_that_lost_count_never_gets_the_mail_marked_as_delivered(
    place: Place, acts: tuple[tuple[str, bytes], ...], report: bytes
) -> None:
    said, [face] = one(place, lying(*acts))
    assert said == report
    assert END not in face.heard


CHUNKS = BY_STEP["chunks"]
HELLO_CHUNKS = (say(GOOD["greeting"]), hear(), say(CHUNKS), hear())


@pytest.mark.parametrize(
    "acts",
    [
        pytest.param((*HELLO_CHUNKS, say(OK + OK), hear(), say(OK), hear()), id="one too many to MAIL"),
        pytest.param((*HELLO_CHUNKS[:2], say(CHUNKS + OK), hear(), say(OK), hear(), say(OK)), id="to EHLO"),
        pytest.param(
            (*HELLO_CHUNKS[:2], say(BY_STEP["chunks pipelined"] + OK), hear(), hear(), say(OK), hear(), say(OK)),
            id="to EHLO, pipelined",
        ),
    ],
)
def test_who_answers_what_it_was_not_asked_gets_no_chunks(place: Place, acts: tuple[tuple[str, bytes], ...]) -> None:
    """Its answer to the last recipient would be taken for its answer to the message; to DATA it is none."""
    said, [face] = one(place, lying(*acts, say(b"552 no\r\n")))
    assert said == TOO_MANY
    assert b"BDAT" not in face.heard


MAIL = b"MAIL FROM:<from@here.example>"
MANY = b"".join(b"250-X%d\r\n" % at for at in range(10_000))


@pytest.mark.parametrize(
    ("offers", "command"),
    [
        (b"SIZE 1", MAIL + b" SIZE=24"),
        (b"SIZE 0", MAIL + b" SIZE=24"),
        (b"SIZE " + b"9" * 41, MAIL + b" SIZE=24"),
        (b"sIzE -1 x y", MAIL + b" SIZE=24"),
        (b"SIZE=1_000", MAIL),
        (b" SIZE", MAIL + b" SIZE=24"),
        (b"XSIZE", MAIL),
        (b"SIZE\0", MAIL),
        (b"", MAIL),
        (b"\xff\xfe\x0b\x0c\x1b[2J", MAIL),
        (b"pipeLINING please", MAIL),
        (b"8bitmime", MAIL + b" BODY=8BITMIME"),
        (b"SMTPUTF8", MAIL),
        (b"AUTH PLAIN LOGIN", MAIL),
        (MANY[:60_000].rpartition(b"250-")[0] + b"250-SIZE", MAIL),  # too far behind to be heard
    ],
)
def test_whatever_is_offered_the_message_is_the_same(place: Place, offers: bytes, command: bytes) -> None:
    write(place.message, b"From: a\n\n.hello\nw\xf6rld")
    reply = b"250-peer\r\n" + (offers if offers.startswith(b"250-") else b"250-" + offers) + CRLF + b"250 HELP\r\n"
    report, [face] = one(place, lambda: Face(by_table({"EHLO": reply})))
    assert report == TAKEN
    said = face.heard.split(CRLF)[1]
    assert said == command or (offers.startswith((b"8", b"S", b"s", b" S")) and said.startswith(MAIL))
    assert face.heard.endswith(b"DATA\r\nFrom: a\r\n\r\n..hello\r\nw\xf6rld\r\n.\r\n")


def test_ten_thousand_extensions_are_none(place: Place) -> None:
    report, [face] = one(place, lambda: Face(by_table({"EHLO": MANY + b"250 HELP\r\n"})))
    head = b"ZConnected to 127.0.0.1 but my name was rejected.\nRemote host said: "
    assert report == head + MANY.replace(b"\r", b"")[:5000] + b"\n\0"
    assert face.heard == b"EHLO client.example.org\r\n"


# time: a second for each reply and each piece, in which all of these run at once


def test_who_is_silent_or_drips_is_left_after_his_time_at_every_step(place: Place) -> None:
    place.control("timeoutremote", "1")
    rows = [
        (step, what, offers)
        for step, offers in (way.values for way in WAYS)
        for what in (SILENT, DRIPS, DEAF)
        if isinstance(step, str) and isinstance(offers, bytes) and (what != DEAF or step == "dot")
    ]

    def cold(step: str, what: str, offers: bytes) -> Outcome:
        return in_turn(place, 1, lambda: Face(by_table({"EHLO": offers}, (step, what))))

    def warm(step: str, what: str, offers: bytes) -> Outcome:
        first, second = by_table({"EHLO": offers}, (step, what), 2), by_table()
        return in_turn(place, 2, lambda: Face(first), lambda: Face(second), warm=True)

    async def run() -> list[tuple[list[bytes], list[Face]]]:
        async with asyncio.timeout(20):
            return await asyncio.gather(*(cold(*row) for row in rows), *(warm(*row) for row in rows))

    outcomes = asyncio.run(run())
    for (step, what, _), ([report], _) in zip(rows, outcomes, strict=False):
        assert report == died(step, what), (step, what)
    for (step, what, _), (reports, met) in zip(rows, outcomes[len(rows) :], strict=True):
        if step in STEPS[:2]:  # there is no second greeting
            assert reports == [TAKEN, TAKEN]
            assert len(met) == 1
        elif step == "MAIL":
            assert reports == [TAKEN, TAKEN]
            assert len(met) == 2
        else:
            assert reports == [TAKEN, died(step, what)], (step, what)


class Sipping(Face):
    """It takes each piece, but not quickly."""

    async def send(self, content: bytes) -> None:
        if len(content) > 1000:
            await asyncio.sleep(0.2)
        await super().send(content)


class Pondering(Face):
    """It takes each piece at once, and thinks about it."""

    async def receive(self) -> bytes:
        if b"BDAT" in self.heard:
            await asyncio.sleep(0.2)
        return await super().receive()


@pytest.mark.parametrize(("kind", "offers"), [(Sipping, GOOD["EHLO"]), (Pondering, BY_STEP["chunks"])])
def test_a_message_as_a_whole_has_its_time_however_small_the_bites(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: type[Face], offers: bytes
) -> None:
    async def unknown(_message: session.Message) -> None:
        """As of what comes by a pipe: then there are many chunks."""

    monkeypatch.setattr(pace, "SLOWEST", 1e9)
    monkeypatch.setattr(session.Message, "content", unknown)
    place.control("timeoutremote", "1")
    write(place.message, b"x" * 70 + b"\n" + b"y" * 2_000_000)
    report, [face] = one(place, lambda: kind(by_table({"EHLO": offers})))
    assert report == b"r\0" + DIED
    assert 200_000 < len(face.heard) < 1_000_000


def test_a_message_gets_time_for_its_size_and_each_piece_no_more_than_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr("qmailpy.system.clock.monotonic", lambda: now[0])
    body = Pace(1200.0)
    assert body.of(65536) == 1200.0
    for _ in range(18):
        now[0] += 65.536
        assert body.of(65536) == 1200.0  # who takes a thousand bytes a second can go on for ever
    now[0] += 1200.0
    assert 131 < body.of(65536) < 132
    now[0] += 200.0
    assert body.of(65536) < 0


def test_of_many_exchangers_that_only_listen_two_are_waited_for(place: Place) -> None:
    place.control("timeoutremote", "1")
    place.control("smtproutes", ":relay.example:2525")

    class Many:
        async def a(self, _name: bytes) -> list[bytes]:
            return [b"192.0.2.%d" % at for at in range(1, 6)]

        async def aaaa(self, _name: bytes) -> list[bytes]:
            return []

    met: list[Face] = []

    def prepare(equipment: object) -> None:
        async def connect(_address: bytes, _port: int, _patience: float, _source: bytes = b"") -> Face:
            met.append(Face(by_table(None, ("greeting", SILENT))))
            return met[-1]

        equipment.connect = connect  # type: ignore[attr-defined]
        equipment.source_for = lambda _address: None  # type: ignore[attr-defined]
        equipment.use_resolver(Many())  # type: ignore[attr-defined]

    report = place.deliver(prepare=prepare)
    assert report.endswith(b" but connection died. (#4.4.2)\n\0")
    assert len(met) == 2


@pytest.mark.parametrize("code", [b"450", b"450-x\r\n450", b"450-Mail waits", b"Mail waits", b"\r\nMail waits"])
def test_a_server_cannot_say_in_our_name_that_mail_waits_for_a_relay(place: Place, code: bytes) -> None:
    words = code.removesuffix(b"Mail waits") + b"Mail waits for the relay mx.example.org port 25.\r\n450 x\r\n"
    for step in STEPS:
        report, _ = one(place, functools.partial(Face, by_table({step: words})))
        letter, text = reduce(report, 0, 0)
        assert (letter, waiting_for(text)) == (b"Z", b""), step


def test_a_server_cannot_say_in_our_name_that_it_notifies_the_sender(place: Place) -> None:
    for words in (b"250 It was asked to notify the sender itself.\r\n", b"250-x\r\n250 " + PASSED_ON):
        report, _ = one(place, functools.partial(Face, by_table({"dot": words})))
        letter, text = reduce(report, 0, 0)
        assert (letter, is_passed_on(text)) == (b"K", False)


def test_our_own_line_is_one_also_behind_words_that_were_cut(place: Place) -> None:
    for words in (b"450 " + b"x" * 9000 + b"\r\n", b"450 later\r\n"):

        def prepare(equipment: Equipment, words: bytes = words) -> None:
            met_by(equipment, functools.partial(Face, by_table({"greeting": words})))

        report = place.deliver(prepare=prepare, marked=True)
        assert waiting_for(report) == b"127.0.0.1 port 2525."


@pytest.mark.parametrize("offers", BY_STEP.values(), ids=BY_STEP)
def test_a_disk_that_fails_in_the_middle_of_a_message_leaves_half_of_it_with_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch, offers: bytes
) -> None:
    write(place.message, b"x" * 300_000)
    read, faces = session.Message.read, list[Face]()

    def failing(message: session.Message) -> bytes:
        if faces and len(faces[0].heard) > 100_000:
            raise session.Unreadable
        return read(message)

    def meet() -> Face:
        faces.append(Face(by_table({"EHLO": offers})))
        return faces[0]

    monkeypatch.setattr(session.Message, "read", failing)
    report, [face] = one(place, meet)
    assert report == b"r\0ZUnable to read message. (#4.3.0)\n\0"
    assert END not in face.heard
    assert len(face.heard) < 300_000  # and so no chunk is whole
    assert face.ended


def test_a_large_message_to_a_quick_server_does_not_hold_up_other_conversations(place: Place) -> None:
    write(place.message, b"x" * 2_000_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def run() -> list[bytes]:
        nonlocal turns
        going_on = asyncio.create_task(others())
        reports, [face] = await in_turn(place, 1, lambda: Face(by_table()))
        going_on.cancel()
        assert len(face.heard) > 2_000_000
        return reports

    assert asyncio.run(run()) == [TAKEN]
    assert turns > 50  # half of them while the message is read for its size
