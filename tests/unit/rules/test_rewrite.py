import pytest

from qmailpy.rules.rewrite import Domains, domain_value, route, virtual_value
from qmailpy.wire.delivery import LOCAL, REMOTE

VIRTUAL = {
    b"virt.com": b"list-v2",
    b".sub.com": b"list-s",
    b"user@full.com": b"list-u",
    b"full.com": b"",
    b"ex.virt.com": b"",
    b"": b"list-catch",
}
ALL = Domains(b"envnoat.example", [b"Here.Example", b"virt-and.local"], [b"perc.com", b"PERC2.com"], VIRTUAL)
PLAIN = Domains(b"envnoat.example", [b"here.example"], [], {b"here.example": b"never", b"virt.com": b"v"})

# recipient, channel, as stored (spec/04 3, the rows marked live there, and its rules one by one)
ROUTES = [
    (b"x@virt.com", LOCAL, b"list-v2-x@virt.com"),
    (b"x@a.sub.com", LOCAL, b"list-s-x@a.sub.com"),
    (b"x@b.a.sub.com", LOCAL, b"list-s-x@b.a.sub.com"),
    (b"x@sub.com", LOCAL, b"list-catch-x@sub.com"),
    (b"USER@FULL.com", LOCAL, b"list-u-USER@FULL.com"),
    (b"other@full.com", REMOTE, b"other@full.com"),
    (b"y@ex.virt.com", REMOTE, b"y@ex.virt.com"),
    (b"z@other.virt.com", LOCAL, b"list-catch-z@other.virt.com"),
    (b"a%b%virt.com@perc.com", LOCAL, b"list-v2-a%b@virt.com"),
    (b"", LOCAL, b"list-catch-@envnoat.example"),
    (b"x", LOCAL, b"list-catch-x@envnoat.example"),
    (b"X@hErE.example", LOCAL, b"X@hErE.example"),
    (b"x%here.example@perc.com", LOCAL, b"x@here.example"),
    (b"x%here.example%perc2.COM@PERC.com", LOCAL, b"x@here.example"),
    (b"x@perc.com", LOCAL, b"list-catch-x@perc.com"),
    (b"a@b%here.example@perc.com", LOCAL, b"a@b@here.example"),
    (b"a@b@here.example", LOCAL, b"a@b@here.example"),
    (b"x@", LOCAL, b"list-catch-x@"),
    (b"x@.sub.com", LOCAL, b"list-s-x@.sub.com"),
    (b"x\n@virt.com", LOCAL, b"list-v2-x\n@virt.com"),
]


@pytest.mark.parametrize(("recipient", "channel", "stored"), ROUTES)
def test_a_recipient_goes_where_the_table_says(recipient: bytes, channel: int, stored: bytes) -> None:
    assert route(recipient, ALL) == (channel, stored)


@pytest.mark.parametrize(
    ("recipient", "channel", "stored"),
    [
        (b"x@here.example", LOCAL, b"x@here.example"),  # locals beats virtualdomains
        (b"x@sub.here.example", REMOTE, b"x@sub.here.example"),  # locals has no wildcards
        (b"x%here.example@perc.com", REMOTE, b"x%here.example@perc.com"),  # nobody hacks
        (b"x", REMOTE, b"x@envnoat.example"),
        (b"x@\xc3\x84.example", REMOTE, b"x@\xc3\x84.example"),
    ],
)
def test_without_catch_all_and_percenthack_strangers_are_remote(recipient: bytes, channel: int, stored: bytes) -> None:
    assert route(recipient, PLAIN) == (channel, stored)


def test_the_first_key_that_fits_decides_even_if_it_is_empty() -> None:
    assert virtual_value(b"other@full.com", VIRTUAL) == b""
    assert virtual_value(b"user@full.com", VIRTUAL) == b"list-u"
    assert virtual_value(b"x@nowhere", {b"somewhere": b"v"}) is None


@pytest.mark.parametrize(
    ("domain", "tried"), [(b"a.b.c", [b"a.b.c", b".b.c", b".c", b""]), (b".a", [b".a", b""]), (b"", [b""])]
)
def test_suffixes_are_looked_up_from_the_longest(domain: bytes, tried: list[bytes]) -> None:
    class Asked(dict[bytes, bytes]):
        def get(self, key: bytes, _: object = None) -> None:  # type: ignore[override]
            asked.append(key)

    asked: list[bytes] = []
    domain_value(domain, Asked())
    assert asked == tried
