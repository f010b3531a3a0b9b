"""Threads for what blocks: outcomes come back in the loop's thread."""

import os
import threading

from qmailpy.system.loop import Loop
from qmailpy.system.pool import Pool


def _nothing() -> None:
    os.stat("/")


def test_outcomes_come_back_in_our_own_thread() -> None:
    loop, pool = Loop(), Pool(2)
    loop.on_read(pool.ready, pool.finished)
    where, ended = [], []

    def job() -> None:
        where.append(threading.get_ident())

    def done(error: BaseException | None) -> None:
        ended.append((threading.get_ident(), error))

    for _ in range(5):
        pool.submit(job, done)
    while len(ended) < 5:
        loop.turn(10)
    assert threading.get_ident() not in where
    assert ended == [(threading.get_ident(), None)] * 5
    pool.stop()
    pool.close()


def test_what_a_job_raises_is_its_outcome_and_the_thread_goes_on() -> None:
    pool = Pool(1)
    outcomes: list[BaseException | None] = []

    def fail() -> None:
        raise SystemExit

    pool.submit(fail, outcomes.append)
    pool.submit(lambda: None, outcomes.append)
    pool.stop()
    pool.finished()
    assert [type(outcome) for outcome in outcomes] == [SystemExit, type(None)]
    pool.close()


def test_stopping_waits_for_what_was_submitted_and_leaves_one_thread() -> None:
    before = threading.active_count()
    pool = Pool(4)
    outcomes: list[BaseException | None] = []
    for _ in range(200):
        pool.submit(_nothing, outcomes.append)
    pool.stop()
    pool.finished()
    assert len(outcomes) == 200
    assert threading.active_count() == before
    pool.close()


def test_a_full_pipe_stops_nobody() -> None:
    pool = Pool(2)
    outcomes: list[BaseException | None] = []
    os.set_blocking(pool._wake, False)
    try:
        while True:
            os.write(pool._wake, bytes(4096))
    except BlockingIOError:
        pass
    for _ in range(10):
        pool.submit(lambda: None, outcomes.append)
    pool.stop()
    pool.finished()
    assert len(outcomes) == 10
    pool.close()
