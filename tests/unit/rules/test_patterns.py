"""Lists of addresses and names, with stars and exceptions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.patterns import Patterns


@pytest.mark.parametrize(
    ("entries", "address", "is_there"),
    [
        ([], b"a@b", False),
        ([b"a@b"], b"a@b", True),
        ([b"a@b"], b"A@B", True),
        ([b"A@B"], b"a@b", True),
        ([b"a@b"], b"aa@b", False),
        ([b"a@b"], b"a@bb", False),
        ([b"@b"], b"anyone@b", True),
        ([b"@B"], b"x@y@b", True),  # the last @ counts
        ([b"@b"], b"x@b@y", False),
        ([b"@b"], b"b", False),
        ([b"@b"], b"@b", True),
        ([b"b"], b"x@b", False),
        ([b"*@b"], b"x@b", True),
        ([b"*.b"], b"x@a.b", True),
        ([b"*"], b"", True),
        ([b"*@*"], b"", False),
        ([b"x*@b"], b"x@b", True),
        ([b"x*y@b"], b"x@b", False),
        ([b"a*a"], b"a", False),
        ([b"a*b*c"], b"a-b-c", True),
        ([b"a*b*c"], b"a-c-b", False),
        ([b"**"], b"x", True),
        ([b"*@b", b"!good@b"], b"x@b", True),
        ([b"!good@b", b"*@b"], b"GOOD@b", False),
        ([b"@b", b"!good*"], b"good-one@b", False),
        ([b"@b", b"!@b"], b"x@b", False),
        ([b"!x@b"], b"x@b", False),
        ([b"!x@b"], b"y@b", False),
    ],
)
def test_what_a_list_of_addresses_is_about(entries: list[bytes], address: bytes, is_there: bool) -> None:
    assert Patterns(entries).has_address(address) == is_there


@pytest.mark.parametrize(
    ("entries", "name", "is_there"),
    [
        ([b"localhost"], b"LOCALHOST", True),
        ([b"*.dynamic.example", b"!mail.*"], b"x.dynamic.example", True),
        ([b"*.dynamic.example", b"!mail.*"], b"mail.dynamic.example", False),
        ([b"@b"], b"x@b", False),
        ([b"[*]"], b"[192.0.2.1]", True),
        ([b""], b"", True),
    ],
)
def test_what_a_list_of_names_is_about(entries: list[bytes], name: bytes, is_there: bool) -> None:
    assert Patterns(entries).has_name(name) == is_there


def test_stars_cost_one_pass_however_many_there_are() -> None:
    assert not Patterns([b"*a" * 300 + b"*b"]).has_name(b"a" * 100_000)


def test_thousands_of_domains_cost_no_more_than_one() -> None:
    many = Patterns([b"*.%d.example" % at for at in range(50_000)] + [b"*@%d.example" % at for at in range(50_000)])
    assert all(many.has_address(b"x@mx.%d.example" % at) for at in range(20_000))
    assert all(many.has_address(b"x@%d.example" % at) for at in range(20_000))
    assert not any(many.has_address(b"x@x%d.example" % at) for at in range(20_000))
    assert not many.has_name(b"." * 100_000)


@given(st.binary(max_size=20), st.lists(st.sampled_from([b"a", b"b", b"*", b"ab", b".", b"@"]), max_size=6))
def test_a_star_is_what_the_shell_means_by_it(name: bytes, pieces: list[bytes]) -> None:
    import fnmatch

    pattern = b"".join(pieces)
    name = bytes(b"ab.@"[byte % 4] for byte in name)
    assert Patterns([pattern]).has_name(name) == fnmatch.fnmatchcase(name.decode(), pattern.decode())
