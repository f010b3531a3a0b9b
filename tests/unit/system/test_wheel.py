"""Time-outs of many: none too early, none forgotten, however often they change."""

from qmailpy.system import clock
from qmailpy.system.loop import Loop
from qmailpy.system.wheel import LOOK, TICK, Wheel


class Thing:
    def __init__(self) -> None:
        self.deadline, self.slot = 0.0, 0


def turning(loop: Loop, seconds: float) -> None:
    end = clock.monotonic() + seconds
    while (left := end - clock.monotonic()) > 0:
        loop.turn(left)


def test_each_expires_after_its_deadline_and_soon() -> None:
    loop = Loop()
    expired: list[tuple[object, float]] = []
    wheel = Wheel(loop, lambda thing: expired.append((thing, clock.monotonic())))
    now = clock.monotonic()
    things = [Thing() for _ in range(20)]
    for number, thing in enumerate(things):
        thing.deadline = now + number * 0.03
        wheel.put(thing, now)
    turning(loop, 20 * 0.03 + 2 * TICK)
    assert {thing for thing, _ in expired} == set(things)
    for one, when in expired:
        assert isinstance(one, Thing)
        assert one.deadline <= when < one.deadline + 2 * TICK
        assert one.slot == 0


def test_what_is_prolonged_or_taken_out_does_not_expire() -> None:
    loop = Loop()
    expired: list[object] = []
    wheel = Wheel(loop, expired.append)
    now = clock.monotonic()
    prolonged, gone, shortened, other = Thing(), Thing(), Thing(), Thing()
    for thing in (prolonged, gone, shortened, other):
        thing.deadline = now + 0.2
        wheel.put(thing, now)
    prolonged.deadline = now + 2 * LOOK
    wheel.put(prolonged, now)
    wheel.take_out(gone)
    shortened.deadline = now - 1
    wheel.put(shortened, now)
    turning(loop, 0.2 + 2 * TICK)
    assert expired == [shortened, other]
    assert prolonged.slot


def test_one_that_expires_may_change_the_others() -> None:
    loop = Loop()
    first, second, third = Thing(), Thing(), Thing()
    expired: list[object] = []

    def expire(thing: object) -> None:
        expired.append(thing)
        for other in (first, second):
            if other is not thing:
                wheel.take_out(other)
        if third.slot == 0 and third not in expired:
            third.deadline = clock.monotonic()
            wheel.put(third, clock.monotonic())

    wheel = Wheel(loop, expire)
    now = clock.monotonic()
    for thing in (first, second):
        thing.deadline = now
        wheel.put(thing, now)
    turning(loop, 4 * TICK)
    assert len(expired) == 2
    assert third in expired
