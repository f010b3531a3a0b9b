"""Mail that waits for a relay: who is woken by what, and how often a relay that is down is asked."""

import pytest

from qmailpy.disk.home import Home
from qmailpy.rules import report
from qmailpy.send import relays
from qmailpy.send.log import Log
from qmailpy.send.relays import HOUR, PAUSE, Relays
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from tests.support import write

LATER = 1 << 40


class Scene:
    """Messages that wait, and a clock that goes when it is told to."""

    def __init__(self, folder: str, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.seconds = folder, 1000.0
        patch.setattr(clock, "monotonic", lambda: self.seconds)
        patch.setattr(clock, "now", lambda: int(self.seconds))
        self.loop, self.waiting = Loop(), Waiting()
        self.said: list[bytes] = []
        log = Log(self.loop, -1)
        patch.setattr(log, "say", self.said.append)
        self.relays = Relays(self.loop, log, Home(folder.encode()), self.waiting)

    def deferred(self, number: int, item: bytes, relay: bytes = b"relay.example") -> None:
        text = report.waits_for_relay(item, relay, 25) if relay else item
        self.waiting.add(number, LATER)
        self.relays.heard(number, b"Z", text[1:-1])

    def accepted(self, number: int) -> None:
        self.relays.heard(number, b"K", b"127.0.0.1 accepted message.\n")

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.loop.turn(0)

    def woken(self) -> list[int]:
        """Who need not wait any longer; they are being tried now."""
        found = []
        while (number := self.waiting.pop(int(self.seconds))) is not None:
            found.append(number)
        return sorted(found)


@pytest.fixture
def scene(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(str(tmp_path), monkeypatch)


def test_one_that_gets_through_wakes_all_that_wait_for_the_same_relay(scene: Scene) -> None:
    for number in (1, 2, 3):
        scene.deferred(number, report.NO_CONNECTION)
    scene.deferred(4, report.NO_CONNECTION, b"other.example")
    scene.deferred(5, report.NO_CONNECTION, b"")
    scene.waiting.pop(LATER)
    scene.accepted(1)
    assert scene.woken() == [2, 3]


def test_while_a_relay_cannot_be_reached_one_message_tries_each_minute(scene: Scene) -> None:
    scene.deferred(1, report.NO_CONNECTION)
    scene.deferred(2, report.NO_ANSWER_YET)
    scene.deferred(3, report.no_such_relay(b"other.example"), b"other.example")
    scene.pass_time(PAUSE - 1)
    assert scene.woken() == []
    scene.pass_time(2)
    assert scene.woken() == [1, 3]
    scene.deferred(1, report.NO_CONNECTION)
    scene.accepted(3)
    assert scene.woken() == []
    scene.pass_time(PAUSE + 1)
    assert scene.woken() == [1]
    scene.accepted(1)
    assert scene.woken() == [2]
    scene.accepted(2)
    scene.pass_time(PAUSE + 1)
    assert scene.woken() == []


def test_a_relay_that_answers_no_is_not_asked_each_minute(scene: Scene) -> None:
    scene.deferred(1, b"ZConnected to 192.0.2.1 but my login in control/smtpauth was refused.\n\0")
    scene.pass_time(10 * PAUSE)
    assert scene.woken() == []
    scene.accepted(9)  # something gets out again: perhaps by this relay
    assert scene.woken() == [1]
    scene.deferred(1, b"ZConnected to 192.0.2.1 but greeting failed.\n\0")
    scene.accepted(10)  # but not for every message that gets out elsewhere
    assert scene.woken() == []


def test_a_refused_login_is_warned_of_once_an_hour_and_anew_after_it_was_taken(scene: Scene) -> None:
    item = (
        b"ZConnected to 192.0.2.1 but my login in control/smtpauth was refused; mail waits until one of us mends it.\n"
        b"Remote host said: 535 5.7.8 no\n\0"
    )
    warning = b"warning: the relay relay.example port 25 refuses our login; its mail waits: mend control/smtpauth\n"
    scene.deferred(1, b"Z192.0.2.1 failed on DATA command.\nRemote host said: 451 " + item[1:])
    scene.deferred(2, report.NO_CONNECTION)
    assert scene.said == []
    for number in (1, 2, 3):
        scene.deferred(number, item)
    assert scene.said == [warning]
    scene.deferred(4, item, b"other\n%.example")
    assert scene.said[1:] == [warning.replace(b"relay.example", b"other?_.example")]
    scene.pass_time(HOUR + 1)
    scene.deferred(1, item)
    assert scene.said[2:] == [warning]
    scene.accepted(1)
    scene.deferred(2, item)
    assert scene.said[3:] == [warning]


def test_mail_that_waits_for_another_reason_is_left_alone(scene: Scene) -> None:
    scene.deferred(1, report.NO_CONNECTION)
    scene.deferred(1, b"Z192.0.2.1 does not like recipient.\n\0", b"")
    scene.deferred(2, report.NO_CONNECTION)
    scene.accepted(2)
    assert scene.woken() == []


def test_where_everything_goes_to_a_relay_what_waited_before_our_start_is_woken_too(scene: Scene) -> None:
    scene.waiting.add(7, LATER)
    scene.deferred(1, report.NO_CONNECTION)
    write(f"{scene.folder}/control/smtproutes", "a.example:b\n")
    scene.accepted(1)
    assert scene.woken() == []
    scene.deferred(1, report.NO_CONNECTION)
    write(f"{scene.folder}/control/smtproutes", "a.example:b\n:relay.example:587 auth=isp\n")
    scene.accepted(1)
    assert scene.woken() == [1, 7]


def test_a_relay_is_found_in_the_text_of_a_deferral_only_where_it_stands() -> None:
    item = report.waits_for_relay(report.NO_CONNECTION, b"[2001:db8::1]", 587)
    assert report.waiting_for(item[1:-1]) == b"[2001:db8::1] port 587."
    assert report.waiting_for(report.NO_CONNECTION[1:-1]) == b""
    assert relays.PAUSE == 60
