"""Who may come in, and how much memory he may hold."""

import pytest

from qmailpy.receive.door.admission import CROWDED, MOST_FILES, Admission

ROOT, ROLE, JOE, JIM = 0, 102, 1000, 1001


def admission(files: int = 1024) -> Admission:
    return Admission(files, frozenset((ROOT, ROLE)))


def fill(door: Admission, uid: int) -> int:
    count = 0
    while door.enter(uid):
        count += 1
    return count


def test_one_stranger_leaves_most_places_to_others() -> None:
    door = admission()
    assert fill(door, JOE) == door.each
    assert fill(door, JIM) == door.each
    assert door.each * 4 <= door.strangers


def test_all_strangers_leave_a_reserve_to_root_and_roles() -> None:
    door = admission()
    assert sum(fill(door, uid) for uid in range(2000, 2100)) == door.strangers
    assert fill(door, ROLE) == door.total - door.strangers > 0
    assert fill(door, ROOT) == 0


def test_a_place_that_is_left_is_free_again() -> None:
    door = admission()
    for _ in range(3 * door.total):
        assert door.enter(JOE)
        door.leave(JOE)


def test_every_conversation_has_its_descriptors() -> None:
    for files in (10, 64, 256, 1024, 20000, 1 << 20):
        door = admission(files)
        assert door.total >= 8
        assert files < 128 or 64 + 2 * door.total <= files
        assert 2 <= door.each <= door.strangers < door.total
    assert admission(1 << 20).total == admission(MOST_FILES).total


def test_one_stranger_may_hold_one_largest_envelope_and_not_two() -> None:
    door = admission()
    door.hold(JOE, 64 << 20)
    assert door.may_hold(JOE)
    door.hold(JOE, 64 << 20)
    assert not door.may_hold(JOE)
    assert door.may_hold(JIM)
    door.hold(JOE, -(64 << 20))
    assert door.may_hold(JOE)


def test_strangers_together_leave_memory_to_root() -> None:
    door = admission()
    for uid in range(2000, 2004):
        door.hold(uid, 64 << 20)
    assert not door.may_hold(JOE)
    assert door.may_hold(ROOT)


@pytest.mark.parametrize(("size", "crowded"), [(CROWDED - 1, False), (CROWDED, True)])
def test_messages_go_to_the_disk_at_once_when_much_is_held(size: int, crowded: bool) -> None:
    door = admission()
    door.hold(JOE, size)
    assert door.is_crowded is crowded
    door.clear()
    assert not door.is_crowded


def test_nothing_stays_of_who_has_gone() -> None:
    door = admission()
    for uid in range(5000, 6000):
        assert door.enter(uid)
        door.hold(uid, 10)
        door.hold(uid, -10)
        door.leave(uid)
    assert door._inside_of == door._held_of == {}
