"""Lines of control/recipients, and the keys that an address is looked up by."""

import pytest

from qmailpy.rules import existing


@pytest.mark.parametrize(
    ("entry", "record"),
    [
        (b"Ann@Shop.Example", (b"ann@shop.example", existing.YES)),
        (b"@shop.example", (b"@shop.example", existing.YES)),
        (b"!ann@shop.example", (b"ann@shop.example", existing.NO)),
        (b"ann-*@shop.example", (b"ann-*@shop.example", existing.YES)),
        (b"ann+*@shop.example", (b"ann+*@shop.example", existing.YES)),
        (b"a@b@shop.example", (b"a@b@shop.example", existing.YES)),
    ],
)
def test_a_line_is_a_record(entry: bytes, record: tuple[bytes, bytes]) -> None:
    assert existing.record(entry) == record


@pytest.mark.parametrize(
    "entry", [b"ann", b"ann@", b"", b"@", b"*@shop.example", b"a*@x", b"*a@x", b"ann@*.example", b"!@shop.example"]
)
def test_a_line_that_is_none(entry: bytes) -> None:
    with pytest.raises(existing.BadEntry):
        existing.record(entry)


def test_the_most_special_key_comes_first() -> None:
    assert list(existing.keys(b"Ann-a+B@X")) == [b"ann-a+b@x", b"ann-a+*@x", b"ann-*@x", b"@x"]
    assert list(existing.keys(b"-a@x")) == [b"-a@x", b"@x"]
    assert len(list(existing.keys(b"a-" * 450 + b"@x"))) == 22
