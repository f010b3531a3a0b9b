"""qmail-explain for mail that leaves: holds, limits, routes, logins; nothing secret, and nothing is guessed."""

import json
from pathlib import Path

import pytest

from qmailpy.remote import explained_way
from qmailpy.send.controls import CONCURRENCY
from qmailpy.send.controls import LIFETIME as QUEUELIFETIME
from tests.explain_support import Explained
from tests.support import DOMAIN


@pytest.fixture
def explained(tmp_path: Path) -> Explained:
    return Explained(str(tmp_path))


TOGETHER = "limit: 20 deliveries at a time to all hosts together (control/concurrencyremote)"
LIFETIME = "limit: tried for 7 days (control/queuelifetime), then it bounces"
QUEUE = [TOGETHER, LIFETIME]
CALL = [
    f"helo: we say that we are {DOMAIN} (control/me)",
    "limit: 60 seconds to be let in (control/timeoutconnect), 20 minutes for each answer (control/timeoutremote)",
]
BAD_ROUTE = (
    "waits: Sorry, I can't use the route for there.example in control/smtproutes:"
    " options need a port before them, as in relay:25 tls=may. (#4.3.5)"
)
OFFLINE = "note: the DNS is not asked"
PLAIN = ["route: by MX, port 25, by TLS if it is offered, whoever the server is", *CALL, OFFLINE]
LOGIN = (
    "login: isp, which control/smtpauth has; by the strongest that is offered of SCRAM-SHA-256, CRAM-MD5, PLAIN, LOGIN"
)
HELD = ": mail for this domain is kept until the line is gone and qmail-send has had a HUP"
ROUTED: list[tuple[dict[str, str], list[str], int]] = [
    # control files, what is said for x@there.example from joe@isp.example, exit code
    ({}, [*QUEUE, *PLAIN], 0),
    (
        {"smtproutes": "other.example:no\n:r.example:587 tls=verify auth=isp\n", "smtpauth": "isp:joe:secret word\n"},
        [
            *QUEUE,
            "route: control/smtproutes line 2: :r.example:587 tls=verify auth=isp",
            "route: by the relay r.example, port 587, by TLS, to a server that has proven its name, with the login isp",
            *CALL,
            LOGIN,
            OFFLINE,
        ],
        0,
    ),
    (
        {"smtproutes": ":[127.0.0.9]:587 auth=isp tls=none sasl=xoauth2\n", "smtpauth": "isp:joe:/no/such/program\n"},
        [
            *QUEUE,
            "route: control/smtproutes line 1: :[127.0.0.9]:587 auth=isp tls=none sasl=xoauth2",
            "route: by the relay [127.0.0.9], port 587, in clear, with the login isp",
            *CALL,
            LOGIN.partition(" by ")[0] + " by XOAUTH2, with a token that a program prints, which is not run now",
            "host: 127.0.0.9",
            "address: 127.0.0.9 port 587, from 127.0.0.1",
        ],
        0,
    ),
    (
        {"smtproutes": ":r.example:587 auth=isp\n", "smtpauth": "other:joe:secret word\n"},
        [
            *QUEUE,
            "route: control/smtproutes line 1: :r.example:587 auth=isp",
            "route: by the relay r.example, port 587, by TLS, to a server that has proven its name, with the login isp",
            *CALL,
            "waits: Sorry, I can't use the login isp in control/smtpauth: there is no line for this name. (#4.3.5)",
            OFFLINE,
        ],
        111,
    ),
    (
        {
            "smtproutes": ":relay.example\n",
            "senderroutes": "# mine\nJoe@isp.example:[::1]:465 tls=implicit verify=no helo=x.org\n",
        },
        [
            *QUEUE,
            "route: control/senderroutes line 2: Joe@isp.example:[::1]:465 tls=implicit verify=no helo=x.org",
            "route: by the relay [::1], port 465, by TLS from the first byte, whoever the server is",
            "helo: we say that we are x.org (helo= in the route)",
            CALL[1],
            "host: ::1",
            "address: ::1 port 465, from ::1, TLS without a name",
        ],
        0,
    ),
    (
        {"smtproutes": ".example:\n:relay.example\n"},
        [*QUEUE, "route: control/smtproutes line 1: .example:", *PLAIN],
        0,
    ),
    (
        {"smtproutes": "there.example:error:gone in 2020\n"},
        [*QUEUE, "route: control/smtproutes line 1: there.example:error:gone in 2020", "bounces: gone in 2020"],
        100,
    ),
    (
        {"smtproutes": "there.example:relay tls=verify\n"},
        [
            *QUEUE,
            "route: control/smtproutes line 1: there.example:relay tls=verify",
            BAD_ROUTE,
        ],
        111,
    ),
    (
        {"concurrencydomain": ".example:3\n", "concurrencyremote": "7\n", "queuelifetime": "90\n"},
        [
            "limit: 3 at a time to this domain (control/concurrencydomain), " + TOGETHER[7:].replace("20", "7"),
            "limit: tried for 90 seconds (control/queuelifetime), then it bounces",
            *PLAIN,
        ],
        0,
    ),
    ({"holddomains": "There.example\n"}, ["waits: control/holddomains holds it" + HELD, *QUEUE, *PLAIN], 111),
    (
        {"concurrencydomain": "there.example:0\n"},
        ["waits: control/concurrencydomain gives it no deliveries" + HELD, *QUEUE, *PLAIN],
        111,
    ),
    (
        {"concurrencyremote": "0\n"},
        ["waits: control/concurrencyremote is 0: nothing leaves this machine", *PLAIN],
        111,
    ),
    (
        {"helohost": "mail.example\n", "timeoutconnect": "1\n", "timeoutremote": "300\n", "classicgreeting": "1\n"},
        [
            *QUEUE,
            PLAIN[0],
            "helo: we say that we are mail.example (control/helohost)",
            "limit: 1 second to be let in (control/timeoutconnect), 5 minutes for each answer (control/timeoutremote)",
            "note: who lets us in and then turns us away is the last one asked (control/classicgreeting)",
            OFFLINE,
        ],
        0,
    ),
    (
        {"helohost": "a b\n"},
        [*QUEUE, "waits: The name in control/helohost (or me) has bytes that no name has. (#4.3.5)"],
        111,
    ),
]


@pytest.mark.parametrize(("files", "said", "code"), ROUTED)
def test_it_says_how_mail_leaves_and_which_lines_make_it_so(
    explained: Explained, files: dict[str, str], said: list[str], code: int
) -> None:
    for name, text in files.items():
        explained.put(f"control/{name}", text, 0o400 if name == "smtpauth" else 0o644)
    lines = explained.text("--from", "joe@isp.example", "x@there.example", code=code)
    assert lines[1] == "  remote: there.example"
    note = "note: which hosts timed out lately cannot be read: lock/tcpto, by root and qmailr"
    assert [line.removeprefix("    ").strip() for line in lines[2:] if note not in line] == said
    assert "secret" not in "".join(lines)


def test_a_host_to_which_nothing_leaves_is_no_end(explained: Explained) -> None:
    explained.put("control/smtproutes", "a.example:error:no mail there\n")
    done = explained.run(f"{explained.home}/bin/qmail-explain", "-jn", "x@a.example", "x@b.example")
    ends = [json.loads(line)["ends"] for line in done.stdout.splitlines()]
    assert ends == [[{"kind": "bounces", "text": "no mail there"}], [{"kind": "remote", "text": "b.example"}]]


def test_what_is_forwarded_leaves_by_the_route_of_its_new_sender(explained: Explained) -> None:
    explained.put("home/.qmail-list", "&ann@there.example\n")
    explained.put("home/.qmail-list-owner", "./Mailbox\n")
    explained.put("control/senderroutes", f"{explained.user}-list-owner@{DOMAIN}:error:of the owner\na@b:error:of a\n")
    lines = explained.text("-f", "a@b", f"{explained.user}-list", "x@there.example", code=100)
    assert [line.strip() for line in lines if "bounces:" in line] == ["bounces: of the owner", "bounces: of a"]


def test_a_dot_at_the_end_leads_around_nothing(explained: Explained) -> None:
    explained.put("control/holddomains", "held.example\n")
    explained.put("control/smtproutes", "refused.example:error:not there\n")
    lines = explained.text("x@Held.example.", "x@refused.example.", code=111)
    assert "    waits: control/holddomains holds it" + HELD in lines
    assert lines[-1] == "    bounces: not there"


def test_the_defaults_that_are_told_are_those_of_qmail_send() -> None:
    assert dict(CONCURRENCY)["concurrencyremote"] == explained_way.CONCURRENCY
    assert explained_way.LIFETIME == QUEUELIFETIME


def test_where_there_is_no_queue_it_says_so(explained: Explained) -> None:
    explained.put("control/direct", "")
    lines = explained.text("x@there.example")
    told = "note: control/direct is there: mail leaves at once by qmail-direct, or fails; there is no queue"
    assert [line.strip() for line in lines[1:]] == [told, "remote: there.example", *PLAIN]
    lines = explained.text(explained.user, code=100)
    assert lines[-1].strip() == "bounces: nothing is delivered on this machine (control/direct)"
