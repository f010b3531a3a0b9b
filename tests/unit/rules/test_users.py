"""Which keys of users/cdb and which accounts are asked for an address, and in which order."""

from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.users import account_splits, assigned_keys, entry_fields


def keys(local: bytes, wildcards: bytes) -> list[tuple[bytes, bytes]]:
    return [(key.key, key.rest) for key in assigned_keys(local, wildcards)]


def splits(local: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [(split.account, split.dash, split.ext) for split in account_splits(local)]


def test_the_whole_address_comes_first_and_the_empty_wildcard_last() -> None:
    assert keys(b"joe", b"") == [(b"!joe\0", b""), (b"!", b"joe")]


def test_a_wildcard_ends_with_a_byte_of_the_set_and_the_longest_comes_first() -> None:
    assert keys(b"Joe-a-B", b"-") == [
        (b"!joe-a-b\0", b""),
        (b"!joe-a-", b"B"),
        (b"!joe-", b"a-B"),
        (b"!", b"Joe-a-B"),
    ]


def test_any_byte_can_be_a_wildcards_last() -> None:
    assert keys(b"ab", b"ab") == [(b"!ab\0", b""), (b"!ab", b""), (b"!a", b"b"), (b"!", b"ab")]


def test_what_is_left_over_keeps_its_letter_case() -> None:
    assert (b"!list-", b"FOO.Bar") in keys(b"LIST-FOO.Bar", b"-")


def test_the_rest_follows_the_entrys_own_extension() -> None:
    assert entry_fields(b"joe\x001\x001\0/h\0-\0pre-", b"x") == b"joe\x001\x001\0/h\0-\0pre-x\0"


@given(st.binary(max_size=30))
def test_key_and_rest_are_always_the_whole_address(local: bytes) -> None:
    for key, rest in keys(local, b"-.")[1:]:
        assert key == b"!" + local.lower()[: len(key) - 1]
        assert rest == local[len(key) - 1 :]


def test_the_longest_account_comes_first() -> None:
    assert splits(b"USER1-foo-Bar") == [
        (b"user1-foo-bar", b"", b""),
        (b"user1-foo", b"-", b"Bar"),
        (b"user1", b"-", b"foo-Bar"),
    ]


def test_a_dash_at_the_end_leaves_an_empty_extension() -> None:
    assert splits(b"joe-") == [(b"joe-", b"", b""), (b"joe", b"-", b"")]


def test_nobody_has_an_empty_name() -> None:
    assert splits(b"-joe") == [(b"-joe", b"", b"")]
    assert splits(b"") == []


def test_a_name_has_fewer_than_32_bytes() -> None:
    assert splits(b"a" * 31) == [(b"a" * 31, b"", b"")]
    assert splits(b"a" * 32) == []
    assert splits(b"a" * 31 + b"-x") == [(b"a" * 31, b"-", b"x")]
    assert splits(b"a" * 32 + b"-x") == []


def test_ten_thousand_dashes_are_at_most_32_questions() -> None:
    assert len(splits(b"a-" * 10000)) <= 32
