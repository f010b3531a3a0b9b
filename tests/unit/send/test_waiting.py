from hypothesis import given
from hypothesis import strategies as st

from qmailpy.send.waiting import Waiting


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1000))))
def test_everyone_comes_out_once_at_his_last_time(added: list[tuple[int, int]]) -> None:
    waiting = Waiting()
    for number, due in added:
        waiting.add(number, due)
    expected = dict(added)
    assert dict(waiting.items()) == expected
    assert len(waiting) == len(expected)
    came: list[tuple[int | None, int]] = []
    while (next_due := waiting.next_due()) is not None:
        assert waiting.pop(next_due - 1) is None
        came.append((waiting.pop(next_due), next_due))
    assert {number: due for number, due in came if number is not None} == expected
    assert [due for _, due in came] == sorted(expected.values())


def test_nobody_waits_longer_than_now() -> None:
    waiting = Waiting()
    for number, due in ((1, 500), (2, 50), (3, 5000)):
        waiting.add(number, due)
    waiting.all_now(100)
    assert sorted(waiting.items()) == [(1, 100), (2, 50), (3, 100)]
    assert waiting.pop(100) == 2


def test_one_that_came_out_may_come_again_at_the_same_time() -> None:
    waiting = Waiting()
    waiting.add(1, 5)
    waiting.add(1, 5)
    assert waiting.pop(5) == 1
    assert waiting.pop(5) is None
    waiting.add(1, 5)
    assert 1 in waiting
    assert waiting.pop(5) == 1
    assert waiting.next_due() is None


def test_one_of_them_need_not_wait() -> None:
    waiting = Waiting()
    waiting.add(1, 500)
    waiting.add(2, 400)
    assert waiting.need_not_wait(1, 100)
    assert not waiting.need_not_wait(3, 100)
    assert sorted(waiting.items()) == [(1, 100), (2, 400)]
    waiting.add(2, 50)
    assert waiting.need_not_wait(2, 100)
    assert waiting.pop(100) == 2  # it was due before


def test_who_asks_again_and_again_fills_no_memory() -> None:
    waiting = Waiting()
    for at in range(20_000):
        waiting.add(at % 100, 1_000_000 + at)
        waiting.need_not_wait(at % 100, 10)
    assert len(waiting._heap) < 2000
    assert len([waiting.pop(10) for _ in range(100)]) == 100
    assert waiting.next_due() is None


def test_everybody_is_due_earlier() -> None:
    waiting = Waiting()
    for number, due in ((1, 500), (2, 50), (1, 400)):
        waiting.add(number, due)
    waiting.all_earlier(100)
    assert sorted(waiting.items()) == [(1, 300), (2, -50)]
    assert (waiting.pop(0), waiting.pop(0), waiting.next_due()) == (2, None, 300)
