"""What qmail-explain says of another host, as root and as anybody, and where qmail-send's mail then really goes."""

import json
import os
from collections.abc import Iterator

import pytest

from tests.logs import in_order
from tests.neighbours import dns_server, smtp_sink
from tests.places import Place, classic
from tests.support import wait_for

pytestmark = pytest.mark.root

UNKNOWN = 4242
ZONE = """@ IN MX 20 second
@ IN MX 10 first
@ IN MX 30 third
first IN A 198.51.100.1
second IN A 198.51.100.2
third IN A 192.0.2.1
"""


@pytest.fixture
def place() -> Iterator[Place]:
    place = classic({})
    yield place
    place.close()


def explained(place: Place, address: str, uid: int) -> tuple[int, list[dict[str, object]]]:
    done = place.run("qmail-explain", "--json", address, uid=uid)
    assert done.errors == b""
    steps: list[dict[str, object]] = json.loads(done.output)["steps"]
    return done.code, steps


def test_mail_goes_where_it_was_said_to_go(place: Place, tmp_path: object) -> None:
    place.control("outgoingip", "192.0.2.1\n")
    place.start()
    with (
        dns_server(f"{tmp_path}/dns", {"far.example": ZONE}),
        smtp_sink(f"{tmp_path}/sink", "198.51.100.2") as sink,
    ):
        said = [explained(place, "ann@far.example", uid) for uid in (0, UNKNOWN)]
        place.send("ann@far.example")
        place.log.ends(1)
        sink.mail()
    in_order(place.log, r"delivery 1: success: 198\.51\.100\.2_accepted_message\./.*")
    for code, steps in said:
        assert code == 0
        texts = [step["text"] for step in steps if step["kind"] == "address"]
        assert texts == [
            "198.51.100.1 port 25, from 192.0.2.1 (control/outgoingip), TLS to the name first.far.example",
            "198.51.100.2 port 25, from 192.0.2.1 (control/outgoingip), TLS to the name second.far.example",
            "192.0.2.1 is this machine: mail would come back, from here and from all that are no better",
        ]
    wait_for(place.queue_is_empty, "an empty queue")
    place.stop()


def test_who_may_not_read_a_login_or_the_table_of_time_outs_is_told_so(place: Place) -> None:
    place.control("smtproutes", "via.example:[198.51.100.3]:587 auth=isp\n")
    path = f"{place.home}/control/smtpauth"
    place.control("smtpauth", "isp:joe:secret word\n")
    os.chown(path, place.uid_of("qmailr"), -1)
    os.chmod(path, 0o400)
    code, steps = explained(place, "ann@via.example", 0)
    assert code == 0
    (login,) = [step for step in steps if step["kind"] == "login"]
    ways = "by the strongest that is offered of SCRAM-SHA-256, CRAM-MD5, PLAIN, LOGIN"
    assert login["text"] == f"isp, which control/smtpauth has; {ways}"
    assert not any(step["kind"] == "note" for step in steps)
    code, others = explained(place, "ann@via.example", UNKNOWN)
    assert code == 0
    assert [step["text"] for step in others if step["kind"] == "note"] == [
        "whether control/smtpauth has the login isp may not be known to you: ask as root",
        "which hosts timed out lately cannot be read: lock/tcpto, by root and qmailr",
    ]
    assert "secret" not in repr(steps + others)
    assert "joe" not in repr(steps + others)
