import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.schedule import attempts, is_expired, next_try
from qmailpy.wire.delivery import LOCAL, REMOTE


@pytest.mark.parametrize(
    ("channel", "offsets"),
    [(LOCAL, [0, 100, 400, 900, 1600, 2500]), (REMOTE, [0, 400, 1600, 3600, 6400, 10000, 14400])],
)
def test_attempts_get_rarer_by_squares(channel: int, offsets: list[int]) -> None:
    assert attempts(channel)[: len(offsets)] == offsets


@pytest.mark.parametrize("channel", [LOCAL, REMOTE])
def test_the_last_attempt_comes_after_the_end_of_the_lifetime(channel: int) -> None:
    *before, last = attempts(channel)
    assert max(before) <= 604800 < last


def test_a_birth_in_the_future_counts_as_now() -> None:
    assert next_try(2000, 1000, LOCAL) == 1100


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.sampled_from((LOCAL, REMOTE)))
def test_the_next_try_is_always_later(birth: int, now: int, channel: int) -> None:
    assert next_try(birth, now, channel) > now


@pytest.mark.parametrize(("now", "expired"), [(1000, False), (1100, False), (1101, True), (900, False)])
def test_a_message_expires_after_its_lifetime_and_not_with_it(now: int, expired: bool) -> None:
    assert is_expired(1000, now, 100) is expired
