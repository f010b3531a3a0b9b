"""What is said of hosts that are many, silent, dead, or not to be reached as the administrator wants it."""

import pytest

from qmailpy.remote import explaining
from qmailpy.remote.explaining import Leaving
from qmailpy.rules import exchangers
from qmailpy.skeletons.explanation import Step
from qmailpy.system import clock, process
from tests import dns_liar as liar
from tests.dns_liar import Liar, Question, Script
from tests.remote_support import Place
from tests.support import write

PIN = "fingerprint=" + "ab" * 32


@pytest.fixture
def place(tmp_path: object) -> Place:
    place = Place(str(tmp_path))
    place.control("smtproutes", "x.example::2525")
    return place


def explained(place: Place, monkeypatch: pytest.MonkeyPatch, script: Script) -> list[Step]:
    with Liar(script) as server:
        monkeypatch.setattr(process, "environment", lambda: {b"DNSCACHEIP": b"127.0.0.1:%d" % server.port})
        return Leaving(place.home, asks_dns=True)(b"x.example", b"a@b.example")


def records(*exchangers: tuple[int, bytes], addresses: int = 1) -> Script:
    """These exchangers, each with addresses of IPv4."""

    def script(question: Question) -> bytes:
        if question.kind == liar.MX:
            return question.answer(*(liar.mx(preference, name) for preference, name in exchangers))
        if question.kind == liar.A:
            return question.answer(*(liar.ipv4(b"127.0.0.%d" % at) for at in range(1, addresses + 1)))
        return question.answer()

    return script


def texts(steps: list[Step], kind: bytes) -> list[bytes]:
    return [step.text for step in steps if step.kind == kind]


def test_a_silent_dns_has_its_time_and_no_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "PATIENCE", 0.2)
    steps = explained(place, monkeypatch, lambda _: None)
    assert (steps[-1].kind, steps[-1].text) == (b"unknown", b"the DNS has had 0 seconds, and there is more to ask")


def test_thousands_of_exchangers_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [liar.record(liar.ASKED, liar.MX, liar.number(at) + b"\1m\xc0\x0c") for at in range(3000)]

    def script(question: Question) -> bytes:
        if question.kind == liar.MX:
            return question.answer(*many) if question.tcp else question.answer(flags=liar.USUAL | liar.TRUNCATED)
        return question.answer(liar.ipv4(b"127.0.0.1")) if question.kind == liar.A else question.answer()

    steps = explained(place, monkeypatch, script)
    assert len(texts(steps, b"mx")) == exchangers.LIMIT
    assert b"there are %d more MX records, which are not looked at" % (3000 - exchangers.LIMIT) in texts(steps, b"note")
    assert texts(steps, b"address")[1:] == [b"127.0.0.1, as above"] * (exchangers.LIMIT - 1)


def test_of_many_addresses_some_are_tried(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    said = texts(explained(place, monkeypatch, records((10, b"m.example"), addresses=20)), b"address")
    most = exchangers.MOST_OF_ONE
    assert [b" is not tried: there are enough before it" in text for text in said] == [False] * most + [True] * (
        20 - most
    )


def test_an_address_of_ours_that_is_not_ours_keeps_the_mail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.control("outgoingip", "192.0.2.99")
    steps = explained(place, monkeypatch, records((10, b"m.example")))
    assert b"127.0.0.1 port 2525, from 192.0.2.99 (control/outgoingip), TLS to the name m.example" in texts(
        steps, b"address"
    )
    text = (
        b"Sorry, mail shall leave from 192.0.2.99 (control/outgoingip, source=), which is no address of this machine."
        b" (#4.3.5)"
    )
    assert (steps[-1].kind, steps[-1].text) == (b"waits", text)


def test_an_address_of_a_family_that_is_not_called(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.control("outgoingfamily", "6")
    steps = explained(place, monkeypatch, records((10, b"m.example")))
    assert texts(steps, b"address") == [b"127.0.0.1 is not tried: control/outgoingfamily is 6"]
    text = b"Sorry, that host has no IPv6 address, and control/outgoingfamily allows no other. (#4.4.1)"
    assert (steps[-1].kind, steps[-1].text) == (b"waits", text)


def test_where_all_have_timed_out_mail_waits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def timed_out(ago: int) -> None:
        record = bytes((127, 0, 0, 1, 2, 0, 0, 0)) + (clock.now() - ago).to_bytes(4, "little") + bytes(4)
        write(place.tcpto, record.ljust(1024, b"\0"))

    timed_out(130)
    steps = explained(place, monkeypatch, records((10, b"m.example")))
    (address,) = [step for step in steps if step.kind == b"address"]
    assert b", timed out 2 times, 2 minutes ago: left alone for " in address.text
    assert b"try" not in address.facts
    text = b"Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)"
    assert (steps[-1].kind, steps[-1].text) == (b"waits", text)
    timed_out(4000)
    steps = explained(place, monkeypatch, records((10, b"m.example")))
    (address,) = [step for step in steps if step.kind == b"address"]
    assert b", timed out 2 times, 66 minutes ago: perhaps left alone, for at most 30 minutes more" in address.text
    assert address.facts[b"try"] == b"1"


@pytest.mark.parametrize(
    ("options", "route", "address"),
    [
        ("tls=none", b"in clear", b""),
        ("tls=may", b"by TLS if it is offered, whoever the server is", b", TLS to the name m.example"),
        ("tls=encrypt", b"by TLS, whoever the server is", b", TLS to the name m.example"),
        (
            "tls=verify",
            b"by TLS, to a server that has proven its name",
            b", TLS to the name m.example, which its certificate must have",
        ),
        (PIN, b"by TLS, to the server with that certificate only", b", TLS to the name m.example"),
        (
            "tls=implicit verify=no",
            b"by TLS from the first byte, whoever the server is",
            b", TLS to the name m.example",
        ),
    ],
)
def test_what_tls_proves_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: str, route: bytes, address: bytes
) -> None:
    place.control("smtproutes", f"x.example::2525 {options}")
    steps = explained(place, monkeypatch, records((10, b"m.example")))
    assert b"by MX, port 2525, " + route in texts(steps, b"route")
    assert texts(steps, b"address") == [b"127.0.0.1 port 2525, from 127.0.0.1" + address]


def test_names_that_are_addresses_have_no_name_in_tls(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.control("smtproutes", "x.example::2525 tls=verify")
    steps = explained(place, monkeypatch, records((10, b"127.0.0.7")))
    assert texts(steps, b"mx") == [b"10 127.0.0.7"]
    words = b"TLS without a name, its address must stand in its certificate"
    assert texts(steps, b"address") == [b"127.0.0.7 port 2525, from 127.0.0.1, " + words]


def test_control_files_that_cannot_be_read_are_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.control("queuelifetime/x", "")
    steps = explained(place, monkeypatch, records())
    assert steps[-1].kind == b"unknown"
    assert b"control/queuelifetime" in steps[-1].text
