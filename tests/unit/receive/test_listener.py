"""The parts of qmail-listen that need no socket: its command line, its lines, the rules' cache, its counters."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.disk import cdb
from qmailpy.disk.home import Home
from qmailpy.receive.listener import crowds, lines, options, services
from qmailpy.receive.listener.connection import network_of
from qmailpy.receive.listener.counting import MOST_WORKERS, Counters
from qmailpy.receive.listener.judging import Dropped, Rules, Ruling
from qmailpy.rules.options import UsageError
from tests.support import has_program, write

LINES = [
    (b"0 25 true", {"host": b"0", "port": b"25", "program": [b"true"], "limit": 40, "backlog": 40, "patience": 26}),
    (b"-c5 -b 7 -t9 h p x -c y", {"limit": 5, "backlog": 7, "patience": 9, "program": [b"x", b"-c", b"y"]}),
    (b"-qQv h p x", {"verbosity": options.EVERYTHING}),
    (b"-vq h p x", {"verbosity": options.QUIET}),
    (b"-HRpD1Xo h p x", {"asks_name": False, "asks_owner": False, "paranoid": True, "delays": False}),
    (b"-1Xo h p x", {"prints_port": True, "allows_without_rules": True, "keeps_ip_options": True}),
    (b"-hrPdO h p x", {"asks_name": True, "asks_owner": True, "paranoid": False, "delays": True}),
    (b"-l0 -xr.cdb -Bhi -Ieth0 h p x", {"local_name": b"0", "rules": b"r.cdb", "banner": b"hi", "interface": b"eth0"}),
    (b"-u7 -g8 h p x", {"uid": 7, "gid": 8}),
    (b"-u0 h p x", {"uid": None, "gid": None}),
    (b"-U h p x", {"uid": 11, "gid": 12}),
    (b"-6 h p x", {"family": options.IPV6}),
    (b"-64 h p x", {"family": options.IPV4}),
    (b"-c0 h p x", {"limit": 1}),
    (b"-- h p -x", {"program": [b"-x"]}),
]
WRONG = [b"", b"h", b"h p", b"-z h p x", b"-c", b"-cx h p x", b"-c -1 h p x", b"-t9999999999 h p x", b"-u 1x h p x"]
NETWORKS = [
    (b"192.0.2.7", b"192.0.2"),
    (b"2001:db8:1:2:3:4:5:6", b"2001:db8:1:2"),
    (b"2001:db8::1", b"2001:db8:0:0"),
    (b"::1", b"0:0:0:0"),
    (b"fe80::1:2:3:4", b"fe80:0:0:0"),
    (b"1:2:3::", b"1:2:3:0"),
]


@pytest.mark.parametrize(("text", "wanted"), LINES)
def test_a_command_line_is_read_as_tcpserver_reads_it(text: bytes, wanted: dict[str, object]) -> None:
    read = options.read(text.split(), {b"UID": b"11", b"GID": b"12"})
    assert {name: getattr(read, name) for name in wanted} == wanted


@pytest.mark.parametrize("text", WRONG)
def test_a_command_line_that_makes_no_sense(text: bytes) -> None:
    with pytest.raises(UsageError):
        options.read(text.split(), {})


@given(st.lists(st.binary(max_size=6), max_size=8))
def test_any_command_line_is_read_or_refused(words: list[bytes]) -> None:
    try:
        read = options.read(words, {})
    except UsageError:
        return
    assert read.program


@given(st.binary(max_size=300))
def test_a_name_from_outside_can_end_neither_field_nor_line(name: bytes) -> None:
    environment = {b"TCPREMOTEHOST": name, b"TCPREMOTEINFO": name, b"TCPREMOTEIP": b"192.0.2.7"}
    line = lines.judged(b"1.2", environment, denied=False)
    assert line.count(b":") == 6
    assert line.count(b" ") == 4
    assert len(line) < 300
    assert all(33 <= byte <= 126 or byte == 32 for byte in line)


@pytest.mark.parametrize(("ip", "network"), NETWORKS)
def test_the_network_of_an_address(ip: bytes, network: bytes) -> None:
    assert network_of(ip) == network


def test_our_programs_have_services_and_others_do_not() -> None:
    assert services.maker(b"qmail-smtpd") is not None
    assert services.maker(b"qmail-queue") is None
    assert services.maker(b"cat") is None


# --- rules ---


@pytest.mark.parametrize(
    ("record", "denied", "variables"),
    [
        (None, False, {}),
        (b"", False, {}),
        (b"D\0", True, {}),
        (b"+A=b\0+C=\0", False, {b"A": b"b", b"C": b""}),
        (b"D\0+A=b=c\0", True, {b"A": b"b=c"}),
    ],
)
def test_what_a_rule_says(record: bytes | None, denied: bool, variables: dict[bytes, bytes]) -> None:
    ruling = Ruling(record)
    assert (ruling.denied, ruling.variables) == (denied, variables)


@given(st.binary(max_size=60))
def test_any_record_is_read(record: bytes) -> None:
    assert b"" not in Ruling(record).variables


def test_the_rules_are_the_files_as_it_is_now(tmp_path: Path) -> None:
    path, draft = str(tmp_path / "rules").encode(), str(tmp_path / "draft").encode()
    rules = Rules(path, may_be_missing=False)
    with pytest.raises(Dropped) as caught:
        rules.judge(b"192.0.2.7", None, None)
    assert caught.value.reason.endswith(b"file does not exist")
    cdb.write(draft, path, [(b"192.0.2.", b"D\0"), (b"", b"+A=b\0")])
    for _ in range(2):
        assert rules.judge(b"192.0.2.7", None, None).denied
        assert rules.judge(b"192.0.3.7", None, None).variables == {b"A": b"b"}
    cdb.write(draft, path, [(b"=x.example.org", b"D\0")])
    assert not rules.judge(b"192.0.2.7", None, None).denied
    assert rules.judge(b"192.0.2.7", b"x.example.org", None).denied
    write(path.decode(), "no database")
    with pytest.raises(Dropped):
        rules.judge(b"192.0.2.7", None, None)
    os.unlink(path)
    assert not Rules(path, may_be_missing=True).judge(b"192.0.2.7", None, None).denied
    assert not Rules(None, may_be_missing=False).judge(b"192.0.2.7", None, None).denied


@pytest.mark.skipif(not has_program("tcprules"), reason="needs tcprules (Debian: ucspi-tcp)")
def test_a_table_of_the_real_tcprules_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "rules")
    subprocess.run(["tcprules", path, path + ".tmp"], input=b'192.0.2.1-3:deny\n:allow,A="b"\n', check=True)
    rules = Rules(path.encode(), may_be_missing=False)
    assert [rules.judge(b"192.0.2.%d" % end, None, None).denied for end in range(1, 5)] == [True, True, True, False]


# --- counting ---


def test_the_control_files_of_the_limits(tmp_path: Path) -> None:
    home = Home(str(tmp_path).encode())
    assert crowds.limits(home) == (crowds.PER_ADDRESS, crowds.PER_NETWORK)
    write(f"{tmp_path}/control/connectionsaddress", "3\n")
    write(f"{tmp_path}/control/connectionsnetwork", "0\n")
    assert crowds.limits(home) == (3, 0)


ROOM = (0, 1000)


def test_limits_of_an_address_and_a_network() -> None:
    inside = crowds.Crowds(2, 3)
    for ip, wanted in (
        (b"192.0.2.1", None),
        (b"192.0.2.1", None),
        (b"192.0.2.1", b"192.0.2.1 has 2 connections already"),
    ):
        inside.enter(ip)
        assert inside.refusal(ip, {}, ROOM) == wanted
    inside.leave(b"192.0.2.1")
    inside.enter(b"192.0.2.2")
    assert inside.refusal(b"192.0.2.2", {}, ROOM) is None
    inside.enter(b"192.0.2.3")
    assert inside.refusal(b"192.0.2.3", {}, ROOM) == b"the network of 192.0.2.3 has 3 connections already"
    assert inside.refusal(b"192.0.2.3", {b"MAXCONNC": b"4"}, ROOM) is None
    assert inside.refusal(b"192.0.2.3", {b"MAXCONNC": b"0"}, ROOM) is None
    assert inside.refusal(b"192.0.2.3", {b"MAXCONNC": b"x"}, ROOM) is not None
    assert inside.refusal(b"192.0.2.1", {b"MAXCONNIP": b"1", b"MAXCONNC": b"0"}, ROOM) is not None


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("networks", [1, 2, 3, 5, 9, 16])
def test_a_few_networks_never_take_everything(networks: int, at_once: bool) -> None:
    """at_once: they come in turn; else one after the other takes all it can."""
    places, taken = 1000, 0
    inside = crowds.Crowds(0, 100_000)
    waiting = [b"10.0.%d.1" % number for number in range(networks)]
    while waiting:
        ip = waiting.pop(0)
        inside.enter(ip)
        if inside.refusal(ip, {}, (taken + 1, places)) is not None:
            inside.leave(ip)
            continue
        taken += 1
        waiting.insert(len(waiting) if at_once else 0, ip)
    assert taken >= places * 3 // 4
    assert places - taken >= 250 * 0.8 ** (networks - 1) - networks
    assert places - taken > 3
    for _ in range(2):
        inside.enter(b"192.0.2.7")
        taken += 1
        assert inside.refusal(b"192.0.2.7", {}, (taken, places)) is None


def test_the_reserve_is_not_kept_where_rules_say_how_many_or_places_are_few() -> None:
    inside = crowds.Crowds(0, 200)
    for _ in range(31):
        inside.enter(b"192.0.2.1")
    assert inside.refusal(b"192.0.2.1", {}, (31, 40)) == (
        b"the network of 192.0.2.1 has 30 connections, and few places are left"
    )
    assert inside.refusal(b"192.0.2.1", {b"MAXCONNC": b"200"}, (31, 40)) is None
    assert inside.refusal(b"192.0.2.1", {b"MAXCONNC": b"0"}, (31, 40)) is None
    assert inside.refusal(b"192.0.2.1", {}, (30, 40)) is None
    assert inside.refusal(b"192.0.3.1", {}, (40, 40)) is None
    assert crowds.Crowds(0, 0).refusal(b"192.0.2.1", {}, (40, 40)) is None
    for _ in range(2):
        inside.enter(b"192.0.3.1")
    assert inside.refusal(b"192.0.3.1", {}, (19, 19)) is None


def test_counters_add_up_over_all_workers_and_forget_the_dead() -> None:
    counters = Counters()
    cells = counters.cells(b"192.0.2.7")
    for part, count in ((0, 3), (1, 2), (5, 1)):
        counters.open(part)
        for _ in range(count):
            counters.add(part, 1)
            counters.add_of(part, cells, 1)
    assert (counters.total, counters.of(0), counters.of(5)) == (6, 3, 1)
    assert (of_address(counters, b"192.0.2.7"), of_network(counters, b"192.0.2.9")) == (6, 6)
    assert of_address(counters, b"192.0.2.8") == 0
    counters.empty(0)
    assert (counters.total, of_address(counters, b"192.0.2.7")) == (3, 3)
    counters.add(1, -1)
    counters.add_of(1, cells, -1)
    assert (counters.total, of_address(counters, b"192.0.2.7")) == (2, 2)
    assert counters.refusal((1, 0), b"192.0.2.7", cells, {}, 100) is not None
    counters.open(MOST_WORKERS - 1)
    counters.add(MOST_WORKERS - 1, 1)
    assert counters.total == 3


def of_address(counters: Counters, ip: bytes) -> int:
    return counters.count(*counters.cells(ip)[:2])


def of_network(counters: Counters, ip: bytes) -> int:
    return counters.count(*counters.cells(ip)[2:])


def test_ten_thousand_addresses_are_hardly_ever_counted_together() -> None:
    counters = Counters()
    counters.open(0)
    addresses = [b"10.%d.%d.1" % (number // 250, number % 250) for number in range(10000)]
    for ip in addresses:
        counters.add_of(0, counters.cells(ip), 1)
    assert max(of_address(counters, ip) for ip in addresses) < 8
    for ip in addresses:
        counters.add_of(0, counters.cells(ip), -1)
    assert max(of_address(counters, ip) for ip in addresses) == 0
