"""Whatever a host is called: it has a name in the DNS, or it has none; nothing else happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.system import dns

pytestmark = pytest.mark.hypothesis


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
def test_any_bytes_have_a_name_or_none(host: bytes) -> None:
    spelled = dns.spelled(host)
    assert len(spelled) <= 253
    if spelled and host.isascii():
        assert spelled == host.removesuffix(b".") or host == b"."
    if spelled:
        assert dns.spelled(spelled) == spelled


@given(st.lists(st.text("aäß\u03c3\u03c2Ж日本\u200c\u200dİK.xn-", max_size=20), max_size=5).map(".".join))
def test_names_of_other_scripts_are_spelled_once_for_all(host: str) -> None:
    spelled = dns.spelled(host.encode())
    assert spelled.isascii()
    assert dns.spelled(spelled) == spelled


@given(st.text(max_size=40))
def test_any_server_is_an_address_and_a_port_or_refused(server: str) -> None:
    try:
        address, port = dns._address_and_port(server.encode())
    except ValueError:
        return
    assert "]" not in address or server.startswith("[")
    assert 0 < port < 65536
