"""Messages on their way to another queue: no more at once than so many, and none is forgotten or cannot come back."""

from collections.abc import Callable
from typing import Any

from qmailpy.send.moving import Moving


class Children:
    """Of send/bounces: begun when there are processes."""

    def __init__(self, *, can_fork: bool) -> None:
        self.can_fork, self.refusal = can_fork, b""
        self.begun: list[Callable[[int | None], None]] = []

    def start(self, _number: int, _submit: object, ended: Callable[[int | None], None]) -> None:
        if not self.can_fork:
            raise BlockingIOError
        self.begun.append(ended)


def moving(children: Children) -> Moving:
    nobody: Any = None
    bounces: Any = children
    return Moving(nobody, nobody, nobody, bounces)


def test_any_number_may_wait_when_no_child_can_be_had_any_more() -> None:
    children, told = Children(can_fork=True), dict[int, bytes]()
    going = moving(children)
    for number in range(1, 3001):
        going.move(number, b"/elsewhere", lambda text, number=number: told.update({number: text}))  # type: ignore[misc]
    assert len(children.begun) == 3
    children.can_fork = False
    for ended in children.begun:
        ended(7)
    assert sorted(told) == list(range(1, 3001))
    assert [number for number, text in told.items() if not text] == [1, 2, 3]
    assert not any(number in going for number in told)


def test_what_has_not_begun_can_be_taken_back() -> None:
    children, told = Children(can_fork=True), list[int]()
    going = moving(children)
    for number in (1, 2, 3, 4, 5):
        going.move(number, b"/elsewhere", lambda _, number=number: told.append(number))  # type: ignore[misc]
    assert [going.withdraw(number) for number in (1, 4, 9)] == [False, True, True]
    while children.begun:
        children.begun.pop()(7)
    assert sorted(told) == [1, 2, 3, 5]
