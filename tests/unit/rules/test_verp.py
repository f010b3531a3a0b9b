import pytest

from qmailpy.rules.verp import base, expand


@pytest.mark.parametrize(
    ("sender", "recipient", "told"),
    [
        (b"list-owner-@host-@[]", b"a@remote.example", b"list-owner-a=remote.example@host"),
        (b"list-owner-@host-@[]", b"list-v2-x@virt.com", b"list-owner-list-v2-x=virt.com@host"),
        (b"l-@h-@[]", b"a@b@c", b"l-a@b=c@h"),
        (b"l@m-@h-@[]", b"a@b", b"l@m-a=b@h"),
        (b"list@host", b"a@b", b"list@host"),
        (b"", b"a@b", b""),
        (b"#@[]", b"a@b", b"#@[]"),
        (b"nohost-@[]", b"a@b", b"nohost-@[]"),
        (b"-@[]", b"a@b", b"-@[]"),
        (b"l-@h-@[]", b"nohost", b"l-@h-@[]"),
    ],
)
def test_the_sender_carries_the_recipient(sender: bytes, recipient: bytes, told: bytes) -> None:
    assert expand(sender, recipient) == told


@pytest.mark.parametrize(
    ("sender", "whole"), [(b"s@x-@[]", b"s@x"), (b"s@x", b"s@x"), (b"#@[]", b"#@[]"), (b"-@[]", b"")]
)
def test_a_bounce_of_the_whole_goes_to_the_sender_without_the_mark(sender: bytes, whole: bytes) -> None:
    assert base(sender) == whole
