"""control/dnsbl against a real name server, Knot: who is listed, who is not, and what happens when nobody says."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.skeletons import dnsbl
from tests.policy_support import OK, Meeting, control, small_home
from tests.remote_support import name_server

HERE = "joe@here.example"
ZONES = {
    "bl.example": 'ip4.127.192 A 127.0.0.1\n7.2.0.192 A 127.0.0.2\n7.2.0.192 TXT "see http://bl.example" "/?7"\n'
    "8.2.0.192 A 127.0.0.4\n9.2.0.192 A 127.255.255.254\n10.2.0.192 A 203.0.113.9\n"
    "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2 A 127.0.0.2\n"
    '11.2.0.192 A 127.0.0.2\n11.2.0.192 TXT "\\013\\010250 ok\\255"\n12.2.0.192 CNAME 7.2.0.192\n',
    "other.example": "8.2.0.192 A 127.0.0.9\n",
    "good.example": "7.2.0.192 A 127.0.0.1\n",
    "broken": "",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with name_server(str(tmp_path_factory.mktemp("knot") / "server"), ZONES) as address:
        yield address


def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, ip: str, lines: str, **more: str) -> bytes:
    monkeypatch.setenv("DNSCACHEIP", server)
    home = control(small_home(f"{tmp_path}/home"), rcpthosts="here.example\n", recipientcheck="0", dnsbl=lines)
    meeting = Meeting(home, TCPREMOTEIP=ip, **more)
    meeting.helo()
    meeting.mail()
    said = meeting.rcpt(HERE)
    assert meeting.rcpt(HERE) == said
    assert meeting.dialog.asked.count(b"dnsbl") <= 1  # once a session
    return said


@pytest.mark.parametrize(
    ("ip", "lines", "said"),
    [
        ("192.0.2.7", "bl.example\n", b"553 see http://bl.example/?7 (#5.7.1)"),
        ("::ffff:192.0.2.7", "bl.example\n", b"553 see http://bl.example/?7 (#5.7.1)"),
        ("192.0.2.12", "bl.example\n", b"553 see http://bl.example/?7 (#5.7.1)"),
        ("2001:db8::7", "bl.example\n", b"553 sorry, 2001:db8::7 is listed in bl.example (#5.7.1)"),
        ("192.0.2.11", "bl.example\n", b"553 ??250 ok? (#5.7.1)"),
        ("192.0.2.6", "bl.example\n", OK),
        ("2001:db8::8", "bl.example\n", OK),
        ("192.0.2.9", "bl.example\n", OK),
        ("192.0.2.10", "bl.example\n", OK),
        ("192.0.2.7", "other.example\nbl.example no: %\n", b"553 no: 192.0.2.7 (#5.7.1)"),
        ("192.0.2.8", "other.example 451 later\nbl.example no\n", b"451 later (#4.7.1)"),
        ("192.0.2.8", "other.example=127.0.0.2 451 later\nbl.example no\n", b"553 no (#5.7.1)"),
        ("192.0.2.7", "!good.example\nbl.example\n", OK),
        ("192.0.2.8", "!good.example\nbl.example no\n", b"553 no (#5.7.1)"),
        ("192.0.2.7", "bl.example no\n!good.example\n", b"553 no (#5.7.1)"),
        ("192.0.2.7", "x.broken\nelsewhere.invalid\nbl.example no\n", b"553 no (#5.7.1)"),
        ("192.0.2.7", "x.broken\nelsewhere.invalid\n=\n", OK),
        ("not an address", "bl.example\n", OK),
    ],
)
def test_who_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, ip: str, lines: str, said: bytes
) -> None:
    assert answer(tmp_path, monkeypatch, server, ip, lines) == said


def test_who_may_relay_and_whom_rules_welcome_is_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    for number, more in enumerate(({"RELAYCLIENT": ""}, {"RBLSMTPD": ""})):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert answer(folder, monkeypatch, server, "192.0.2.7", "bl.example\n", **more) == OK


def test_a_server_that_does_not_answer_lists_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnsbl, "LONGEST", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        assert answer(tmp_path, monkeypatch, server, "192.0.2.7", "bl.example\nother.example\n") == OK


def test_a_refusal_names_the_zone_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("DNSCACHEIP", server)
    home = control(
        small_home(f"{tmp_path}/home"), rcpthosts="here.example\n", recipientcheck="0", dnsbl="bl.example no"
    )
    meeting = Meeting(home)
    meeting.rcpt(HERE)
    assert b" refused 192.0.2.7 rule=dnsbl:bl.example " in meeting.dialog.notes[0]
