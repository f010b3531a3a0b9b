"""Names of .qmail files: spec/05-local.md 4 and 6, with its examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.dotqmail import (
    candidates,
    may_have_owner,
    owner_default_file,
    owner_file,
    owner_sender,
    safe_extension,
)


def names(dash: bytes, ext: bytes) -> list[bytes]:
    return [candidate.name for candidate in candidates(dash, ext)]


@pytest.mark.parametrize(
    ("dash", "ext", "expected"),
    [
        (b"-", b"a-b-c", [b".qmail-a-b-c", b".qmail-a-b-default", b".qmail-a-default", b".qmail-default"]),
        (b"-", b"a-", [b".qmail-a-", b".qmail-a-default", b".qmail-default"]),
        (b"-", b"a", [b".qmail-a", b".qmail-default"]),
        (b"-", b"", [b".qmail-", b".qmail-default"]),
        (b"", b"", [b".qmail", b".qmaildefault"]),
        (b"-/", b"a-B", [b".qmail-/a-b", b".qmail-/a-default", b".qmail-/default"]),
    ],
)
def test_names_are_tried_from_the_most_special_on(dash: bytes, ext: bytes, expected: list[bytes]) -> None:
    assert names(dash, ext) == expected


def test_dots_become_colons_and_letters_small() -> None:
    assert safe_extension(b"../../ETC/Passwd") == b"::/::/etc/passwd"
    assert names(b"-", b"A-b.C") == [b".qmail-a-b:c", b".qmail-a-default", b".qmail-default"]


@given(st.binary(max_size=60))
def test_no_extension_leads_upwards(ext: bytes) -> None:
    assert all(b".." not in name and name.startswith(b".qmail-") for name in names(b"-", ext))


@pytest.mark.parametrize(
    ("ext", "name", "default"),
    [
        (b"A-b.C", b".qmail-a-default", b"b.C"),
        (b"A-b.C", b".qmail-default", b"A-b.C"),
        (b"A-b.C", b".qmail-a-b:c", None),
        (b"x-Default", b".qmail-x-default", b"Default"),  # the file of this very extension
        (b"x-DefAult-y", b".qmail-x-default", b"DefAult-y"),
    ],
)
def test_default_is_what_the_default_file_stands_for(ext: bytes, name: bytes, default: bytes | None) -> None:
    found = next(candidate for candidate in candidates(b"-", ext) if candidate.name == name)
    assert found.default == default


def test_the_owner_files_have_the_whole_extension() -> None:
    assert owner_file(b"-", b"List.X") == b".qmail-list:x-owner"
    assert owner_default_file(b"-", b"List.X") == b".qmail-list:x-owner-default"


def test_a_bounce_keeps_its_sender() -> None:
    assert [may_have_owner(sender) for sender in (b"", b"#@[]", b"a@b")] == [False, False, True]


def test_the_owner_becomes_the_sender_with_the_address_as_it_was_written() -> None:
    assert owner_sender(b"list-FOO", b"mail.example.com", verp=True) == b"list-FOO-owner-@mail.example.com-@[]"
    assert owner_sender(b"list-FOO", b"mail.example.com", verp=False) == b"list-FOO-owner@mail.example.com"
