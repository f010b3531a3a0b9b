"""qmailpy/rules/masquerade.py: the table of before and after that the manual shows, and what keeps mail from going."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.complete import Domains
from qmailpy.rules.masquerade import Masquerade, MasqueradeError

DOMAINS = Domains(b"mx.example.org", b"example.org", b"example.org")
GENERIC = [b"joe:joe.doe@example.com", b"@old.lan:@example.com", b"@dead.lan : postmaster"]
HERE, THERE = b"ann@mx.example.org", b"ann@example.net"


def made(generic: list[bytes], forms: list[bytes]) -> Masquerade:
    return Masquerade(generic, forms, DOMAINS)


# control/generic, control/masquerade, an address; as envelope sender, in From, in To
TABLE = [
    # the manual's
    (GENERIC, [b"example.com"], b"joe@mx.example.org", *[b"joe.doe@example.com"] * 3),
    (GENERIC, [b"example.com"], HERE, b"ann@example.com", b"ann@example.com", HERE),
    (GENERIC, [b"example.com"], THERE, b"ann@example.com", THERE, THERE),
    # generic: letter case, whole hosts, completion of both sides
    (GENERIC, [], b"JOE@MX.Example.org", *[b"joe.doe@example.com"] * 3),
    (GENERIC, [], b"A B@OLD.lan", *[b"A B@example.com"] * 3),
    (GENERIC, [], b"x@dead.lan", *[b"postmaster@mx.example.org"] * 3),
    (GENERIC, [], HERE, HERE, HERE, HERE),
    (GENERIC, [], b"joe@x.old.lan", *[b"joe@x.old.lan"] * 3),
    ([b"@a.lan:@b.x", b"joe@a.lan:me@c.x"], [], b"joe@a.lan", *[b"me@c.x"] * 3),  # an address before its host
    # one side only
    ([b"envelope joe:me@e.x"], [], b"joe@mx.example.org", b"me@e.x", *[b"joe@mx.example.org"] * 2),
    ([b"HEADER  joe : me@e.x"], [], b"joe@mx.example.org", b"joe@mx.example.org", *[b"me@e.x"] * 2),
    ([], [b"envelope e.x"], HERE, b"ann@e.x", HERE, HERE),
    ([], [b"header e.x"], HERE, HERE, b"ann@e.x", HERE),
    ([], [b"e.x", b"envelope me@e.y"], HERE, b"me@e.y", b"ann@e.x", HERE),
    # the forms of dma's MASQUERADE
    ([], [b"e.x"], b"a@b@c", b"a@b@e.x", b"a@b@c", b"a@b@c"),
    ([], [b"@e.x"], HERE, b"ann@e.x", b"ann@e.x", HERE),
    ([], [b"me@"], HERE, b"me@mx.example.org", b"me@mx.example.org", HERE),
    ([], [b"me@e.x"], HERE, b"me@e.x", b"me@e.x", HERE),
    ([], [b"me@e.x"], THERE, b"me@e.x", THERE, THERE),
    # hosts below the public one lose their name
    ([], [b"e.x"], b"a@pc.lab.E.X", b"a@e.x", b"a@e.x", b"a@pc.lab.E.X"),
    ([], [b"e.x"], b"a@the.x", b"a@e.x", b"a@the.x", b"a@the.x"),
    # what is nobody's, or a mailing list's
    (GENERIC, [b"me@e.x"], b"", b"", b"", b""),
    (GENERIC, [b"me@e.x"], b"#@[]", b"#@[]", b"#@[]", b"#@[]"),
    (GENERIC, [b"me@e.x"], b"x-@h.x-@[]", *[b"x-@h.x-@[]"] * 3),
    ([], [], HERE, HERE, HERE, HERE),
]


@pytest.mark.parametrize(("generic", "forms", "address", "envelope", "from_", "to"), TABLE)
def test_others_see_another_address(
    generic: list[bytes], forms: list[bytes], address: bytes, envelope: bytes, from_: bytes, to: bytes
) -> None:
    masquerade = made(generic, forms)
    assert masquerade.envelope(address) == envelope
    assert masquerade.header(address, of_sender=True) == from_
    assert masquerade.header(address, of_sender=False) == to


BROKEN = [
    b"joe",
    b"joe:",
    b":me@e.x",
    b"@:me@e.x",
    b"joe:@",
    b"joe:me now@e.x",
    b"a b@h.x:c@e.x",
    b"x:a@b(c",
    b"@a@b:@c",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_line_of_generic_that_cannot_be_followed_is_an_error(line: bytes) -> None:
    with pytest.raises(MasqueradeError) as caught:
        made([b"x:y@z.a", line], [])
    assert caught.value.text.endswith(b": " + line)


@pytest.mark.parametrize("line", [b"@", b"two words", b"a@b c", b"e.x:25", b"<me@e.x>", b"header @", b"a\0"])
def test_a_form_that_cannot_be_followed_is_an_error(line: bytes) -> None:
    with pytest.raises(MasqueradeError):
        made([], [line])


@given(st.lists(st.binary(max_size=20)), st.lists(st.binary(max_size=20)), st.binary())
def test_any_bytes_are_rules_or_an_error(generic: list[bytes], forms: list[bytes], address: bytes) -> None:
    try:
        masquerade = made(generic, forms)
    except MasqueradeError:
        return
    assert isinstance(masquerade.envelope(address), bytes)
    assert isinstance(masquerade.header(address, of_sender=True), bytes)
