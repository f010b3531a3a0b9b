"""rcpthosts, row by row of spec/06 5."""

import pytest

from qmailpy.rules import relay

HOSTS = frozenset((b"here.example", b".sub.example", b"x.deep.sub.other"))


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        (b"joe", True),
        (b"", True),
        (b"joe@here.example", True),
        (b"joe@HERE.Example", True),
        (b"joe@x.here.example", False),
        (b"joe@here.example.", False),
        (b"joe@a.sub.example", True),
        (b"joe@b.a.sub.example", True),
        (b"joe@sub.example", False),
        (b"joe@.sub.example", True),
        (b"joe@xsub.example", False),
        (b"joe@", False),
        (b"joe@x@here.example", True),
        (b"joe@here.example@x", False),
        (b"@here.example", True),
        (b"joe@elsewhere", False),
        (b"joe%elsewhere@here.example", True),
    ],
)
def test_who_may_be_written_to(address: bytes, is_allowed: bool) -> None:
    assert relay.is_allowed(address, HOSTS) == is_allowed


def test_without_the_file_everybody_may_be_written_to() -> None:
    assert relay.is_allowed(b"joe@elsewhere", None)


def test_with_an_empty_file_nobody_with_a_host() -> None:
    assert not relay.is_allowed(b"joe@here.example", frozenset())
    assert relay.is_allowed(b"joe", frozenset())


def test_the_keys_of_a_domain_are_itself_and_its_endings() -> None:
    assert list(relay.keys(b"a.b.c")) == [b"a.b.c", b".b.c", b".c"]
    assert list(relay.keys(b".c")) == [b".c"]
    assert list(relay.keys(b"a.")) == [b"a.", b"."]
    assert list(relay.keys(b"")) == []
