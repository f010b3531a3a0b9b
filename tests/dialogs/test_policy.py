"""What a session is told: relaying, lists of senders, recipients and names, and when each is asked."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.policy_support import OK, Meeting, control, run, small_home
from tests.support import CHECKOUT, PATH

NOT_HERE = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
BAD_SENDER = b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"
NO_MAILBOX = b"550 sorry, no mailbox here by that name (#5.1.1)"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return control(small_home(f"{tmp_path}/home"), rcpthosts="here.example\n.sub.example\n", recipientcheck="0\n")


def newmrh(home: str) -> None:
    subprocess.run([f"{CHECKOUT}/bin/qmail-newmrh"], env={"PATH": PATH, "QMAILHOME": home}, check=True, timeout=60)


def begun(home: str, sender: str = "s@elsewhere.example", **environment: str) -> Meeting:
    meeting = Meeting(home, **environment)
    assert (meeting.connects(), meeting.helo(), meeting.mail(sender)) == (OK, OK, OK)
    return meeting


def test_only_listed_domains_are_taken_from_strangers(home: str) -> None:
    meeting = begun(home)
    assert meeting.rcpt("joe@HERE.example") == OK
    assert meeting.rcpt("joe@a.sub.example") == OK
    assert meeting.rcpt("joe") == OK
    assert meeting.rcpt("joe@elsewhere.example") == NOT_HERE
    assert meeting.policy.replaced is None


def test_the_database_of_more_domains_is_asked_last(home: str) -> None:
    control(home, morercpthosts="More.Example \n.more.example\n")
    assert begun(home).rcpt("joe@more.example") == NOT_HERE
    newmrh(home)
    meeting = begun(home)
    assert meeting.rcpt("joe@here.example") == OK
    assert meeting.dialog.asked == []
    assert meeting.rcpt("joe@MORE.example") == OK
    assert meeting.rcpt("joe@a.b.more.example") == OK
    assert meeting.rcpt("joe@less.example") == NOT_HERE
    assert meeting.dialog.asked == [b"morercpthosts"] * 3


def test_without_rcpthosts_the_database_means_nothing_and_everything_is_taken(home: str) -> None:
    control(home, morercpthosts="more.example\n")
    newmrh(home)
    os.unlink(f"{home}/control/rcpthosts")
    assert begun(home).rcpt("joe@less.example") == OK


def test_a_damaged_database_ends_the_session_until_it_is_mended(home: str) -> None:
    control(home, morercpthosts_cdb="x" * 100)
    assert begun(home).rcpt("joe@more.example") == b"421 unable to read controls (#4.3.0) (closes)"


@pytest.mark.parametrize("value", ["", "@fixup.example"])
def test_a_relay_client_may_send_anywhere_and_its_recipients_get_the_suffix(home: str, value: str) -> None:
    meeting = begun(home, RELAYCLIENT=value)
    assert meeting.policy.relays
    assert meeting.rcpt("joe@elsewhere.example") == OK
    assert meeting.policy.replaced == (b"joe@elsewhere.example@fixup.example" if value else None)
    assert meeting.rcpt("ann@elsewhere.example") == OK
    assert meeting.policy.replaced == (b"ann@elsewhere.example@fixup.example" if value else None)


def test_who_has_logged_in_may_send_anywhere(home: str) -> None:
    meeting = begun(home)
    meeting.policy.authenticated(b"joe", b"PLAIN")
    assert meeting.policy.relays
    assert meeting.rcpt("joe@elsewhere.example") == OK


def test_a_bad_sender_is_told_at_each_recipient_even_if_it_relays(home: str) -> None:
    control(home, badmailfrom="@bulk.example\noffers@annoying.example\n*.bulk.example\n!good@x.bulk.example\n")
    for sender, answer in (
        ("x@BULK.example", BAD_SENDER),
        ("Offers@annoying.example", BAD_SENDER),
        ("x@annoying.example", OK),
        ("x@a.bulk.example", BAD_SENDER),
        ("good@x.bulk.example", OK),
        ("", OK),
    ):
        for environment in ({}, {"RELAYCLIENT": ""}):
            meeting = begun(home, sender, **environment)
            assert meeting.rcpt("joe@here.example") == answer
            assert meeting.rcpt("ann@here.example") == answer
            assert meeting.mail("fine@elsewhere.example") == OK  # the next one is not its affair
            assert meeting.rcpt("ann@here.example") == OK


def test_bad_names_and_recipients_are_not_for_those_who_relay(home: str) -> None:
    control(home, badhelo="*.dynamic.example\n", badrcptto="old@here.example\n")
    meeting = Meeting(home)
    assert meeting.helo("x.dynamic.example") == OK
    assert meeting.mail() == OK
    assert meeting.rcpt("joe@here.example") == b"553 sorry, your HELO name is in my badhelo list (#5.7.1)"
    assert meeting.rcpt("joe@elsewhere.example") == NOT_HERE
    assert meeting.helo("mail.static.example") == OK
    assert meeting.mail() == OK
    assert meeting.rcpt("joe@here.example") == OK
    assert meeting.rcpt("OLD@here.example") == b"553 sorry, that address is in my badrcptto list (#5.7.1)"
    meeting.policy.authenticated(b"joe", b"PLAIN")
    assert meeting.rcpt("OLD@here.example") == OK


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", OK),
        ("-go away", b"553 go away"),
        ("come back", b"451 come back"),
        ("-", b"553"),
    ],
)
def test_rblsmtpd_says_what_rblsmtpd_would(home: str, text: str, answer: bytes) -> None:
    control(home, dnsbl="bl.example\n")
    meeting = begun(home, RBLSMTPD=text)
    assert meeting.rcpt("joe@here.example") == answer
    assert meeting.dialog.asked == []
    assert begun(home, RBLSMTPD=text, RELAYCLIENT="").rcpt("joe@here.example") == OK


def test_each_refusal_is_a_line_of_the_log(home: str) -> None:
    meeting = begun(home)
    meeting.rcpt("joe@elsewhere.example")
    (line,) = meeting.dialog.notes
    assert line == (
        b"qmail-smtpd: refused 192.0.2.7 rule=rcpthosts helo=client.example from=<s@elsewhere.example> "
        b'to=<joe@elsewhere.example> reply="553 sorry, that domain isn\'t in my list of allowed rcpthosts (#5.7.1)"'
    )


def test_an_unknown_recipient_is_answered_as_control_recipientcheck_says(home: str) -> None:
    def answer_of(**environment: str) -> bytes:
        meeting = begun(home, **environment)
        meeting.dialog.answers[b"recipient"] = lambda _: b"u"
        return meeting.rcpt("nobody@here.example")

    for value, answer in (("550", NO_MAILBOX), ("450", b"450" + NO_MAILBOX[3:]), ("0", OK), ("7", OK)):
        control(home, recipientcheck=value)
        assert answer_of() == answer
    os.unlink(f"{home}/control/recipientcheck")
    assert answer_of() == NO_MAILBOX
    assert answer_of(RELAYCLIENT="") == NO_MAILBOX


def test_who_cannot_be_asked_is_asked_again_later(home: str) -> None:
    control(home, recipientcheck="550")

    def fail(_: bytes) -> bytes:
        raise OSError

    meeting = begun(home)
    meeting.dialog.answers[b"recipient"] = fail
    assert meeting.rcpt("joe@here.example") == b"451 sorry, I can't look up this recipient now (#4.3.0)"
    meeting.dialog.answers[b"recipient"] = lambda _: b"l"
    assert meeting.rcpt("joe@here.example") == b"451 sorry, I can't look up this recipient now (#4.3.0)"
    meeting.dialog.answers[b"recipient"] = lambda _: b"rno longer here (#5.7.1)"
    assert meeting.rcpt("joe@here.example") == b"550 no longer here (#5.7.1)"
    meeting.dialog.answers[b"recipient"] = lambda _: b"?"
    assert meeting.rcpt("joe@here.example") == OK


def test_a_recipient_that_was_there_is_not_asked_about_again_for_a_moment(home: str) -> None:
    control(home, recipientcheck="550")
    meeting = begun(home)
    meeting.dialog.answers[b"recipient"] = lambda _: b"k"
    for _ in range(3):
        assert meeting.rcpt("joe@here.example") == OK
    assert meeting.dialog.asked == [b"recipient"]
    meeting.dialog.clock += 11
    assert meeting.rcpt("joe@here.example") == OK
    assert meeting.dialog.asked == [b"recipient"] * 2
    for number in range(5000):
        run(meeting.policy.recipient(b"%d@here.example" % number))
    assert len(meeting.policy._controls._known) <= 1000
