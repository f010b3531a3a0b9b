import email.policy
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import bounce
from qmailpy.rules.delivery_status import DELAYED, DELIVERED, FAILED, RELAYED, Outcome, of_recipient, records, status

NOT_LIKED = (
    b"192.0.2.7 does not like recipient.\n"
    b"Remote host said: 550-5.1.1 no such user,\n550 5.1.1 really\nGiving up on 192.0.2.7.\n"
)
OLD = b"\nI'm not going to try again; this message has been in the queue too long.\n"


@pytest.mark.parametrize(
    ("text", "action", "found"),
    [
        (b"Sorry, no mailbox here by that name. (#5.1.1)\n", FAILED, b"5.1.1"),
        (NOT_LIKED, FAILED, b"5.1.1"),
        (b"192.0.2.7 does not like recipient.\nRemote host said: 550 no\nGiving up on 192.0.2.7.\n", FAILED, b"5.0.0"),
        (b"Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n" + OLD, FAILED, b"4.4.1"),
        (b"Remote host said: 550 go away (#5.7.1)\n", FAILED, b"5.7.1"),
        (b"(#5.7.1) first (#5.1.1)\n", FAILED, b"5.7.1"),
        (b"(#2.0.0)\n", FAILED, b"5.0.0"),
        (b"(#5.1)\n(#5.1.1.1)(#5.1111.1)(#5..1)(#55.1.1)(#5.a.1)", FAILED, b"5.0.0"),
        (b"", FAILED, b"5.0.0"),
        (b"later\n", DELAYED, b"4.0.0"),
        (b"(#4.2.2)\n", DELAYED, b"4.2.2"),
        (b"(#5.2.2)\n", DELAYED, b"4.0.0"),
        (b"did 1+0+0\n", DELIVERED, b"2.0.0"),
        (b"192.0.2.7 accepted message.\nRemote host said: 250 2.6.0 ok\n", RELAYED, b"2.6.0"),
    ],
)
def test_a_status_is_the_one_in_the_words(text: bytes, action: bytes, found: bytes) -> None:
    assert status(text, action) == found


def fields(outcome: Outcome) -> dict[str, str]:
    return dict(message_from_bytes(of_recipient(outcome), policy=email.policy.default).items())


def test_what_the_remote_host_said_is_there_for_programs() -> None:
    assert fields(Outcome(b"x@y.example", FAILED, NOT_LIKED, b"rfc822;Old@y.example")) == {
        "Original-Recipient": "rfc822; Old@y.example",
        "Final-Recipient": "rfc822; x@y.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; [192.0.2.7]",
        "Diagnostic-Code": "smtp; 550-5.1.1 no such user, 550 5.1.1 really",
    }


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (b"Connected to 192.0.2.7 but sender was rejected.\nRemote host said: 550 no", "dns; [192.0.2.7]"),
        (b"2001:db8::1 failed after I sent the message.\nRemote host said: 552 no", "dns; [IPv6:2001:db8::1]"),
        (b"Sorry but no", None),
        (b"mail.example does not like recipient.\n", None),
    ],
)
def test_a_host_that_spoke_is_named(text: bytes, host: str | None) -> None:
    assert fields(Outcome(b"x@y.example", FAILED, text)).get("Remote-MTA") == host


def test_an_address_beyond_ascii_is_spelled_in_ascii() -> None:
    outcome = Outcome("jürgen@ex.example".encode(), FAILED, b"", "utf-8;grüße+\\@x".encode())
    assert fields(outcome)["Final-Recipient"] == "utf-8; j\\x{FC}rgen@ex.example"
    assert fields(outcome)["Original-Recipient"] == "utf-8; gr\\x{FC}\\x{DF}e\\x{2B}\\x{5C}@x"
    assert fields(Outcome(b"j\xfcrgen@ex.example", FAILED, b""))["Final-Recipient"] == "rfc822; j?rgen@ex.example"


@given(st.binary(), st.binary(), st.binary(), st.sampled_from([FAILED, DELAYED, DELIVERED, RELAYED]))
def test_nobody_can_add_a_field(address: bytes, text: bytes, original: bytes, action: bytes) -> None:
    made = of_recipient(Outcome(address, action, text, original), 1795227000)
    names = [line.partition(b":")[0] for line in made.split(b"\n")[:-2]]
    assert made.isascii()
    assert made.endswith(b"\n\n")
    assert b"\n\n" not in made[:-1]
    assert set(names) <= {
        *(b"Original-Recipient", b"Final-Recipient", b"Action", b"Status", b"Remote-MTA", b"Diagnostic-Code"),
        b"Will-Retry-Until",
    }
    assert len(set(names)) == len(names)
    assert max(map(len, made.split(b"\n"))) < 998


REPORTS = st.lists(st.tuples(st.text("ab@.", min_size=1), st.text("no\n<>:", max_size=20)), max_size=6)


@given(REPORTS, st.integers(1, 9))
def test_records_are_read_as_they_were_written_in_any_pieces(written: list[tuple[str, str]], size: int) -> None:
    text = b"".join(bounce.record(address.encode(), report.encode(), {}) for address, report in written)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert [address for address, _ in records(pieces)] == [address.encode() for address, _ in written]
    assert list(records(pieces)) == list(records([text]))


def test_a_paragraph_that_is_no_record_belongs_to_the_one_before() -> None:
    assert list(records([b"<a@b>:\none\n\n\ntwo\n\n<c@d>:\n\n"])) == [(b"a@b", b"one\n\ntwo"), (b"c@d", b"")]
