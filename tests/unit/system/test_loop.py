"""The loop: readiness, timers and signals, each delivered once and in order."""

import os

from qmailpy.system import signals
from qmailpy.system.loop import Loop


def test_a_readable_descriptor_calls_back_until_forgotten() -> None:
    loop = Loop()
    read_end, write_end = os.pipe()
    heard: list[bytes] = []
    loop.on_read(read_end, lambda: heard.append(os.read(read_end, 1)))
    os.write(write_end, b"ab")
    loop.turn()
    loop.turn()
    loop.forget(read_end)
    os.write(write_end, b"c")
    loop.turn(0.0)
    assert heard == [b"a", b"b"]
    os.close(read_end)
    os.close(write_end)


def test_timers_fire_in_order_and_not_when_cancelled() -> None:
    loop = Loop()
    fired: list[str] = []
    loop.after(0.02, lambda: fired.append("late"))
    loop.after(0.0, lambda: fired.append("soon"))
    loop.after(0.01, lambda: fired.append("never")).cancel()
    while len(fired) < 2:
        loop.turn()
    assert fired == ["soon", "late"]


def test_a_signal_ends_the_wait_and_is_handled_outside_of_it() -> None:
    loop = Loop()
    got: list[int] = []
    loop.on_signal(signals.SIGUSR1, lambda: got.append(signals.SIGUSR1))
    os.kill(os.getpid(), signals.SIGUSR1)
    loop.turn()
    assert got == [signals.SIGUSR1]
    signals.default(signals.SIGUSR1)
    loop.close()


def test_a_callback_may_forget_another_that_is_ready() -> None:
    loop = Loop()
    first, second = os.pipe(), os.pipe()
    heard: list[str] = []

    def one() -> None:
        heard.append("one")
        loop.forget(second[0])
        loop.forget(first[0])

    def two() -> None:
        heard.append("two")
        loop.forget(first[0])
        loop.forget(second[0])

    loop.on_read(first[0], one)
    loop.on_read(second[0], two)
    os.write(first[1], b"x")
    os.write(second[1], b"x")
    loop.turn()
    assert len(heard) == 1
    for end in (*first, *second):
        os.close(end)
