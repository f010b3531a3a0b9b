"""Any peer at all: whatever it says at each step, the report is true, and the message goes out once and whole."""

import asyncio
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmailpy.rules.report import reduce
from tests.hostile_support import CRLF, DEAF_NOW, END, GO, LAST, Face, Script, hear, in_turn, say, take
from tests.remote_support import GOOD, Place
from tests.support import write

REPORT = re.compile(rb"(?:r\0|[hs][^\0]+\0)*[KZD][^\0]*\0")
YES, QUESTION, LATER, NEVER = b"250 yes\r\n", b"354 go\r\n", b"451 later\r\n", b"554 never\r\n"
OFFERS = [
    GOOD["EHLO"],
    b"250-peer\r\n250 PIPELINING\r\n",
    b"250-peer\r\n250 CHUNKING\r\n",
    b"250-peer\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 1\r\n",
]
ODD = [
    *(YES, QUESTION, LATER, NEVER, b"421 bye\r\n", b"220 hi\r\n", b"", b"\r\n", b"250-more\r\n", b"2", b"250", b"5"),
    *(
        QUESTION + b"2",
        b"50 yes\r\n",
        YES + YES,
        YES + NEVER,
        QUESTION + YES,
        b"250-a\r\n354 b\r\n",
        b"550-a\r\n250 b\r\n",
        b"250 \0\xff\r\n",
    ),
    *(
        b"200\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"2500 x\r\n",
        "٢٥٠ x\r\n".encode(),
        b"25O x\r\n",
        b"354\r\n",
        b"503 eh\r\n",
    ),
]
GONE, DEAF = "gone", "deaf"
USUAL = {"greeting": GOOD["greeting"], "DATA": QUESTION}
STEPS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "dot")
ODDITIES: st.SearchStrategy[bytes | str] = st.one_of(
    st.sampled_from([*ODD, GONE, DEAF]), st.binary(max_size=12).map(lambda word: word + CRLF)
)


@st.composite
def plans(draw: st.DrawFn) -> list[dict[str, bytes | str]]:
    """For each message on a connection what is said at each step: what leads on, but for one or two of them."""
    offers = draw(st.sampled_from(OFFERS))
    plan: list[dict[str, bytes | str]] = [
        {step: offers if step == "EHLO" else USUAL.get(step, YES) for step in STEPS}
        for _ in range(draw(st.integers(1, 3)))
    ]
    for _ in range(draw(st.integers(0, 2))):
        plan[draw(st.integers(0, len(plan) - 1))][draw(st.sampled_from(STEPS))] = draw(ODDITIES)
    return plan


class Told:
    """What really happened there."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.after: list[bytes] = []  # what it has said from each end of a message on
        self.said = b""


def peer(plan: list[dict[str, bytes | str]], told: Told) -> Script:
    """plan: for each message on this connection what is said at each step; its last one for the rest."""
    number, step, chunks = 0, "greeting", b""
    while True:
        row = plan[min(number, len(plan) - 1)]
        words = row.get(step, b"250 ok\r\n")
        if step == "dot":
            number += 1
        if isinstance(words, str):
            yield GO if words == GONE else DEAF_NOW
            yield hear(b"never")
        assert isinstance(words, bytes)
        told.said += words
        if told.after:
            told.after[-1] += words
        yield say(words)
        if step == "DATA" and words.startswith(b"3"):
            body = yield hear(END)
            told.bodies.append(body)
            told.after.append(b"")
            step = "dot"
            continue
        line = yield hear()
        step = line.split()[0].decode("latin-1") if line.split() else ""
        if step == "BDAT":
            chunks += yield take(int(line.split()[1]))
            if line.endswith(LAST):
                told.bodies.append(chunks)
                told.after.append(b"")
                step, chunks = "dot", b""


def on_the_wire(message: bytes) -> bytes:
    """What a message is there, without the dots; said in another way than wire/dots does."""
    lines = re.split(rb"\r*\n", message)
    if lines[-1] == b"":
        lines.pop()
    elif re.search(rb"\r\Z", message):
        lines[-1] = re.sub(rb"\r+\Z", b"", lines[-1])
    return b"".join(re.sub(rb"\r+", b" ", line) + CRLF for line in lines)


def without_dots(body: bytes) -> bytes:
    lines = body.removesuffix(b".\r\n").split(CRLF)
    return CRLF.join(line[1:] if line.startswith(b".") else line for line in lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    found = Place(str(tmp_path_factory.mktemp("place")))
    found.control("timeoutremote", "20")
    found.control("smtproutes", ":127.0.0.1:2525 tls=none")
    return found


messages = st.lists(st.sampled_from([b"\r", b"\n", b".", b"x", b"\0", b"\xff", b"MAIL FROM:<a@b>\r\n"]), min_size=1)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plans(), messages.map(b"".join), st.booleans(), st.booleans(), st.integers(1, 2), st.sampled_from([1, 7, 1 << 16])
)
def test_whatever_a_peer_says_the_report_is_true(
    place: Place,
    plan: list[dict[str, bytes | str]],
    message: bytes,
    noticed: bool,
    warm: bool,
    recipients: int,
    piece: int,
) -> None:
    write(place.message, message)
    told: list[Told] = []

    def face() -> Face:
        told.append(Told())
        return Face(peer(plan, told[-1]), noticed=noticed, piece=piece, impatient=True)

    to = (b"1@there.example", b"2@there.example")[:recipients]
    deaf = any(DEAF in row.values() for row in plan)
    reports, met = asyncio.run(in_turn(place, len(plan) if warm else 1, *[face] * 8, warm=warm, to=to))
    for report in reports:
        assert REPORT.fullmatch(report), report
        items = report.removesuffix(b"\0").split(b"\0")
        assert len(items) <= 1 + len(to)
        if items[-1].startswith(b"K"):
            assert b"r" in items
        if reduce(report, 0, 0)[0] == b"D":
            assert any(re.search(rb"(?m)^5\d\d", each.said) for each in told)
    bodies = [body for each in told for body in each.bodies]
    kept = [said for each in told for said in each.after if not re.match(rb"50[0-4]", said)]
    assert len(kept) <= len(reports)  # who does not know BDAT gets it once more after DATA
    for body in bodies:
        assert on_the_wire(message) in (without_dots(body), body)
    thanks = [each for peer_ in told for each in peer_.after if re.match(rb"2\d\d", each)]
    delivered = sum(report.rpartition(b"\0K")[1] != b"" for report in reports)
    assert delivered <= len(thanks)
    assert sum(b"Possible duplicate!" in report for report in reports) <= len(bodies) or not noticed or deaf
    assert all(face_.closing for face_ in met)
