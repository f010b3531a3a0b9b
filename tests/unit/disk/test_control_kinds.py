"""Control files that do not mean what they seem to mean, and the samples, which mean what they say."""

import os

import pytest

from qmailpy.disk import control
from qmailpy.disk.control_kinds import KINDS, LINE, LIST, MAP, NUMBER, claimed_twice, doubts
from qmailpy.disk.home import Home
from tests.support import CHECKOUT, read

SAMPLES = f"{CHECKOUT}/control/samples"
NO_CONTROL_FILE = {"README", "direct", "embedded", "smtpauth"}

# what each sample says when it is copied as it is
PROMISED: dict[str, bytes | int | list[bytes]] = {
    "aliasfile": [b"/etc/aliases"],
    "badhelo": [b"localhost", b"*.dynamic.example", b"!mail.dynamic.example"],
    "badmailfrom": [b"offers@annoying.example", b"@bulk.example"],
    "badrcptto": [b"everybody@example.org", b"former-*@example.org"],
    "bouncebudget": 500,
    "bouncecontent": b"headers",
    "bounceformat": b"dsn",
    "bouncefrom": b"MAILER-DAEMON",
    "bouncehost": b"example.org",
    "callout": 1,
    "concurrencydomain": [b"slow.example:5", b".freemail.example:10", b"*:40"],
    "concurrencylocal": 20,
    "concurrencyremote": 120,
    "databytes": 50000000,
    "defaultdomain": b"example.org",
    "defaulthost": b"example.org",
    "delaywarning": 7200,
    "dnsbl": [
        b"!list.good.example",
        b"bl.bad.example",
        b"dialup.bad.example=127.0.0.10-11 451 use your provider's server, or come back later: %",
    ],
    "doublebouncehost": b"mx.example.org",
    "doublebounceto": b"postmaster",
    "envnoathost": b"mx.example.org",
    "generic": [b"root:it@example.com", b"@mx.example.org:@example.com"],
    "helohost": b"mx.example.org",
    "holddomains": [b"broken.example", b"*.moving.example", b"!mx.moving.example"],
    "idhost": b"mx1.example.org",
    "localiphost": b"mx.example.org",
    "locals": [b"localhost", b"localhost.example.org", b"mx.example.org", b"example.org"],
    "localtime": 1,
    "mailspool": b"/var/mail",
    "masquerade": [b"example.com"],
    "me": b"mx.example.org",
    "morercpthosts": [b"customer1.example", b"customer2.example"],
    "percenthack": [b"gateway.example.org"],
    "plusdomain": b"example.org",
    "qmqpservers": [b"192.0.2.10", b"192.0.2.11"],
    "queuebytes": 52428800,
    "queuereserve": 8388608,
    "queuereservefiles": 100,
    "queuelifetime": 432000,
    "rcpthosts": [b"localhost", b"mx.example.org", b"example.org", b".example.org"],
    "recipientcheck": 550,
    "recipients": [
        *(b"ann@shop.example", b"ann-*@shop.example", b"sales@shop.example"),
        *(b"@other.example", b"!old@other.example"),
    ],
    "senderroutes": [
        b"joe@isp.example:smtp.isp.example:587 auth=isp",
        b"@work.example:mail.work.example:465 tls=implicit auth=work",
    ],
    "smtpgreeting": b"mx.example.org no unsolicited bulk mail here",
    "smtpplugins": [
        *(b"[connection]", b"[helo]", b"[mail]", b"[rcpt]"),
        b""":case "$SMTPRCPTTO" in spamtrap@*) echo 'R553 good bye';; esac""",
        *(b"[data]", b"[auth]"),
    ],
    "smtproutes": [b":relay.example.net"],
    "timeoutconnect": 60,
    "timeoutremote": 1200,
    "timeoutsmtpd": 300,
    "trace": 1,
    "transcript": [b"slow.example"],
    "userconcurrency": 4,
    "usermemory": 1073741824,
    "userprocesses": 500,
    "userseconds": 900,
    "virtualdomains": [b"shop.example:joe"],
    "authplain": 0,
    "authprogram": b"/bin/checkpassword /bin/true",
    "classicgreeting": 1,
    "connectionsaddress": 50,
    "connectionsnetwork": 200,
    "listenworkers": 0,
    "outgoingfamily": 4,
    "outgoingip": [b"192.0.2.25", b"2001:db8::25"],
    "smtpchunking": 1,
    "smtpdelay": 5,
    "smtpdsn": 1,
    "smtperrors": 100,
    "smtpproxies": [b"192.0.2.10", b"2001:db8:5::/64"],
    "smtprate": 100,
    "smtprecipients": 1000,
    "smtpstatus": 0,
    "smtputf8": 1,
    "smtpxclients": [b"192.0.2.11"],
    "submissionsenders": [
        b"joe:joe@example.org @joes.example",
        b"ann:ann@example.org, ann.smith@example.org",
        b"*:@example.org",
    ],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose control files are the samples."""
    path = tmp_path_factory.mktemp("samples")
    os.symlink(SAMPLES, path / "control")
    return Home(os.fsencode(path))


def test_every_kind_of_control_file_has_a_sample_and_every_sample_a_kind() -> None:
    assert set(os.listdir(SAMPLES)) - NO_CONTROL_FILE == {name.decode() for name in KINDS}
    assert set(PROMISED) == {name.decode() for name in KINDS}


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_sample_that_is_copied_as_it_is_gives_what_it_promises(home: Home, name: str) -> None:
    kind = KINDS[name.encode()]
    found: bytes | int | list[bytes] | None
    if kind == LINE:
        found = control.line(home, name)
    elif kind == NUMBER:
        found = control.integer(home, name, -1)
    else:
        found = control.listing(home, name)
    assert found == PROMISED[name]
    assert list(doubts(kind, read(f"{SAMPLES}/{name}"))) == []


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_sample_says_more_than_its_value(name: str) -> None:
    assert len(read(f"{SAMPLES}/{name}").split(b"\n")) > 2


DOUBTFUL = [
    (LINE, b"# my name\nmx.example.org\n", [b"line 1 begins with #"]),
    (LINE, b"\nmx.example.org\n", [b"only line 1 counts, and it is empty"]),
    (LINE, b" mx.example.org\n", [b"line 1 begins with a blank"]),
    (LINE, b"mx.example.org\r\n", [b"line 1 ends with CR"]),
    (NUMBER, b"# seconds\n60\n", [b"line 1 does not begin with a digit"]),
    (NUMBER, b"sixty\n", [b"line 1 does not begin with a digit"]),
    (NUMBER, b" 60\n", [b"line 1 does not begin with a digit"]),
    (NUMBER, b"-1\n", [b"line 1 does not begin with a digit"]),
    (NUMBER, b"", [b"line 1 does not begin with a digit"]),
    (NUMBER, b"50M\n", [b"only the digits at the beginning of line 1 count: 50"]),
    (NUMBER, b"60\r\n", [b"only the digits at the beginning of line 1 count: 60"]),
    (LIST, b"a\n # b\n # c\n", [b"line 2 begins with a blank"]),
    (LIST, b"# a\r\nb\r\nc\r\n", [b"line 2 ends with CR"]),
    (MAP, b"# no colon in here\na:b\nc\nd\n", [b"line 3 has no colon and is ignored"]),
    (MAP, b" c\r\n", [b"line 1 begins with a blank", b"line 1 ends with CR", b"line 1 has no colon"]),
]


@pytest.mark.parametrize(("kind", "text", "beginnings"), DOUBTFUL)
def test_what_is_not_read_as_it_was_meant_is_said(kind: int, text: bytes, beginnings: list[bytes]) -> None:
    found = list(doubts(kind, text))
    assert len(found) == len(beginnings), found
    assert all(line.startswith(start) for line, start in zip(found, beginnings, strict=True)), found


CLEAR = [
    (LINE, b""),
    (LINE, b"mx.example.org"),
    (LINE, b"mx.example.org \t\n\n# where it stands nobody reads it\n"),
    (NUMBER, b"0\n"),
    (NUMBER, b"007 \nsecond line\n"),
    (LIST, b""),
    (LIST, b"# a\n\nb:c d\ne"),
    (MAP, b"# a\n\n:b\nc:\n"),
]


@pytest.mark.parametrize(("kind", "text"), CLEAR)
def test_a_good_file_raises_no_doubt(kind: int, text: bytes) -> None:
    assert list(doubts(kind, text)) == []


def test_a_domain_in_locals_and_virtualdomains_is_found_in_any_letter_case() -> None:
    assert claimed_twice([b"A.example", b"b"], [b"a.EXAMPLE:joe", b"B@c:joe", b".b:x", b"b"]) == [b"a.example"]
