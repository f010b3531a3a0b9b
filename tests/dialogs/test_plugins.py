"""Plugins of qmail-spp, $RCPTCHECK and programs in qmail-queue's place: real ones, in shell, unchanged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qmailpy.skeletons import hooks
from tests.policy_support import OK, Meeting, control, small_home
from tests.support import CHECKOUT, PATH, RecordingQueue, is_running, read, wait_for, write

FAILED = b"451 unable to ask a plugin (#4.3.0)"
HERE = "joe@here.example"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return control(small_home(f"{tmp_path}/home"), rcpthosts="here.example\n", recipientcheck="0\n")


def plugin(home: str, text: str, name: str = "check") -> str:
    """A plugin of shell.  Result: its line in control/smtpplugins."""
    write(f"{home}/plugins/{name}", f"#!/bin/sh\n{text}\n", 0o755)
    return f"plugins/{name}"


def with_plugins(home: str, **sections: str) -> str:
    """sections: moment -> lines of shell."""
    control(home, smtpplugins="".join(f"[{name}]\n{plugin(home, text, name)}\n" for name, text in sections.items()))
    return home


def answers(meeting: Meeting, *recipients: str) -> list[bytes]:
    """To a whole session."""
    asked = [meeting.connects, meeting.helo, meeting.mail]
    asked += [lambda recipient=recipient: meeting.rcpt(recipient) for recipient in recipients or (HERE,)]  # type: ignore[misc]
    return [question() for question in (*asked, meeting.data)]


@pytest.mark.parametrize(
    ("moment", "order", "expected"),
    [
        ("connection", "E553 no", [b"553 no", OK, OK, OK, OK]),
        ("connection", "R553 no", [b"553 no (closes)", OK, OK, OK, OK]),
        ("connection", "D", [b" (closes)", OK, OK, OK, OK]),
        ("helo", "E553 no", [OK, b"553 no", OK, OK, OK]),
        ("mail", "E553 no", [OK, OK, b"553 no", OK, OK]),
        ("rcpt", "E553 no", [OK, OK, OK, b"553 no", OK]),
        ("rcpt", "R421 no", [OK, OK, OK, b"421 no (closes)", OK]),
        ("rcpt", "Eno", [OK, OK, OK, b"550 no", OK]),
        ("rcpt", "E250 ok", [OK, OK, OK, b"250 ok", OK]),
        ("data", "E553 no", [OK, OK, OK, OK, b"553 no"]),
        ("connection", "LM450 later", [OK, OK, b"450 later", OK, OK]),
        ("mail", "LR450 later", [OK, OK, OK, b"450 later", OK]),
        ("rcpt", "LD450 later", [OK, OK, OK, OK, b"450 later"]),
        ("connection", "LR450 later", [OK, OK, OK, OK, OK]),  # MAIL begins anew
        ("rcpt", "N", [OK, OK, OK, OK, OK]),
        ("rcpt", "x whatever", [OK, OK, OK, OK, OK]),
        ("rcpt", "", [OK, OK, OK, OK, OK]),
    ],
)
def test_each_order_does_what_it_is_for(home: str, moment: str, order: str, expected: list[bytes]) -> None:
    with_plugins(home, **{moment: f"echo '{order}'"})
    assert answers(Meeting(home)) == expected


def test_a_plugin_may_skip_our_own_checks_and_n_may_not(home: str) -> None:
    control(home, badmailfrom="sender@elsewhere.example\n")
    for letter, sender, stranger in (
        ("O", OK, OK),
        (
            "N",
            b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)",
            b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        ),
    ):
        with_plugins(home, mail=f"echo {letter}", rcpt=f"echo {letter}")
        meeting = Meeting(home)
        assert answers(meeting, "x@far.example")[3] == sender
        meeting.mail("other@elsewhere.example")
        assert meeting.rcpt("x@far.example") == stranger


def test_a_ends_the_plugins_of_the_session_and_not_our_checks(home: str) -> None:
    with_plugins(home, mail="echo A", rcpt="echo E553 never", data="echo E553 never")
    assert answers(Meeting(home), HERE, "x@far.example") == [
        *(OK, OK, OK, OK),
        b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        OK,
    ]


def test_plugins_of_a_moment_run_in_their_order_until_one_decides(home: str) -> None:
    lines = [
        plugin(home, f"echo {number} >> ran; {more}", str(number)) for number, more in enumerate(("", "echo N", ""))
    ]
    control(home, smtpplugins="[rcpt]\n" + "\n".join(lines))
    assert answers(Meeting(home)) == [OK] * 5
    assert read(f"{home}/ran") == b"0\n1\n"  # and they run in the home


def test_a_plugin_sees_the_session(home: str) -> None:
    with_plugins(home, rcpt="env | grep ^SMTP | sort > env; env | grep ^TCPREMOTEIP >> env; ls -l /proc/$$/fd > fds")
    meeting = Meeting(home)
    meeting.policy.authenticated(b"joe", b"PLAIN")
    assert answers(meeting, HERE, "x@far.example") == [OK] * 6
    assert read(f"{home}/env").decode().splitlines() == [
        "SMTPAUTHMETHOD=PLAIN",
        "SMTPAUTHUSER=joe",
        "SMTPHELOHOST=client.example",
        "SMTPMAILFROM=sender@elsewhere.example",
        "SMTPRCPTCOUNT=1",
        "SMTPRCPTCOUNTALL=2",
        "SMTPRCPTHOSTSOK=1",
        "SMTPRCPTTO=x@far.example",
        "TCPREMOTEIP=192.0.2.7",
    ]


def test_a_plugin_has_no_input_and_nothing_of_ours(home: str) -> None:
    with_plugins(home, rcpt="(exec 3>&1; cat 2>/dev/null || echo closed >> seen; ls /proc/self/fd >> seen)")
    assert answers(Meeting(home)) == [OK] * 5
    closed, *numbers = read(f"{home}/seen").decode().split()
    assert closed == "closed"
    assert set(numbers) <= {"0", "1", "2", "3", "4"}  # 3: its own, and what ls opens


def test_variables_are_set_for_the_session_and_the_server_itself(home: str) -> None:
    with_plugins(home, connection="echo SRELAYCLIENT=@far.example; echo SQMAILQUEUE=bin/scan; echo UTCPREMOTEINFO")
    meeting = Meeting(home, TCPREMOTEINFO="x")
    assert answers(meeting, "x@far.example") == [OK] * 5
    assert meeting.policy.relays
    assert meeting.policy.replaced == b"x@far.example@far.example"
    assert meeting.dialog.environment[b"QMAILQUEUE"] == b"bin/scan"
    assert b"TCPREMOTEINFO" not in meeting.dialog.environment


def test_an_address_is_replaced_by_another(home: str) -> None:
    with_plugins(home, mail="echo Cann@b.example", rcpt='echo "C$SMTPRCPTTO.example"')
    meeting = Meeting(home, RELAYCLIENT="")
    assert (meeting.helo(), meeting.mail()) == (OK, OK)
    assert meeting.policy.replaced == b"ann@b.example"
    assert meeting.rcpt("x@y") == OK
    assert meeting.policy.replaced == b"x@y.example"


def test_headers_are_added_and_forgotten_with_the_transaction(home: str) -> None:
    with_plugins(home, rcpt='echo "HX-To: $SMTPRCPTTO"; echo P250-listen; echo "LDgone"')
    meeting = Meeting(home)
    assert answers(meeting) == [OK, OK, OK, OK, b"550 gone"]
    assert meeting.policy.header_additions == [b"X-To: joe@here.example"]
    assert meeting.dialog.said == b"250-listen\r\n"
    meeting.policy.reset()
    assert meeting.policy.header_additions == []
    assert meeting.mail() == OK
    assert meeting.data() == OK


def test_a_line_of_shell_and_the_switches(home: str) -> None:
    control(home, smtpplugins='[rcpt]\n:test "$SMTPRCPTTO" = joe@here.example || echo E550 not joe\n')
    assert answers(Meeting(home), HERE, "ann@here.example")[3:5] == [OK, b"550 not joe"]
    assert answers(Meeting(home, NOSPP=""), "ann@here.example") == [OK] * 5
    write(f"{home}/other", "[rcpt]\n:echo E550 other\n")
    for path in ("other", f"{home}/other"):
        assert answers(Meeting(home, SPPCONFFILE=path))[3] == b"550 other"
    assert answers(Meeting(home, SPPCONFFILE="absent")) == [OK] * 5
    assert answers(Meeting(home, SPPCONFFILE="queue"))[0] == b"421 unable to read controls (#4.3.0) (closes)"


@pytest.mark.parametrize(
    "line",
    [
        "plugins/absent",
        "control/me",
        ":exit 120",
        ":kill -KILL $$",
        ":kill -SEGV $$",
        ":head -c 70000 /dev/zero",
    ],
)
def test_a_plugin_that_does_not_work_means_later(home: str, line: str) -> None:
    control(home, smtpplugins=f"[rcpt]\n{line}\n")
    assert answers(Meeting(home)) == [OK, OK, OK, FAILED, OK]


def test_an_exit_code_means_nothing_else(home: str) -> None:
    control(home, smtpplugins="[rcpt]\n:exit 1\n:exit 100\n:exit 111\n")
    assert answers(Meeting(home)) == [OK] * 5


def test_a_plugin_that_takes_too_long_is_ended_with_its_children(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "LONGEST", 0.5)
    control(home, smtpplugins="[rcpt]\n:sleep 300 & echo $! > pid; sleep 300\n")
    assert answers(Meeting(home)) == [OK, OK, OK, FAILED, OK]
    wait_for(lambda: not is_running(int(read(f"{home}/pid"))), "the end of the plugin's child")


def test_hostile_bytes_of_a_client_reach_a_plugin_as_they_are_and_nobody_else(home: str) -> None:
    with_plugins(home, mail='printf "E553 no <%s>\\n" "$SMTPMAILFROM"')
    meeting = Meeting(home)
    meeting.helo("$(touch pwned)")
    answer = meeting.mail('`touch pwned`"; touch pwned\r\n250 ok\0x')
    assert answer == b'553 no <`touch pwned`"; touch pwned'
    assert not os.path.exists(f"{home}/pwned")
    assert len(meeting.dialog.notes) == 1
    assert b"\n" not in meeting.dialog.notes[0]


# RCPTCHECK


@pytest.mark.parametrize(
    ("code", "words", "answer"),
    [
        (0, "", OK),
        (1, "553 ignored", OK),
        (100, "", b"550 sorry, no mailbox here by that name (#5.1.1)"),
        (100, "553 not this one", b"553 not this one"),
        (111, "", b"421 unable to verify recipient (#4.3.0) (closes)"),
        (111, "421 later", b"421 later (closes)"),
        (120, "", b"421 unable to verify recipient (#4.3.0) (closes)"),
        (112, "", b"250 ok"),
        (113, "", b"452 sorry, too many recipients (#4.5.3)"),
    ],
)
def test_rcptcheck_decides_by_its_exit_code(home: str, code: int, words: str, answer: bytes) -> None:
    text = f'echo heard; echo "$SENDER $RECIPIENT $HELO" > seen; test -z "{words}" || echo "{words}" >&4; exit {code}'
    program = f"{home}/{plugin(home, text)}"
    meeting = Meeting(home, RCPTCHECK=program)
    assert answers(meeting)[3] == answer
    assert read(f"{home}/seen") == b"sender@elsewhere.example joe@here.example client.example\n"
    os.unlink(f"{home}/seen")
    assert answers(Meeting(home, RCPTCHECK=program, RELAYCLIENT=""))[3] == OK
    assert not os.path.exists(f"{home}/seen")
    assert answers(Meeting(home, RCPTCHECK=program, RELAYCLIENT="", RCPTCHECKRELAYCLIENT=""))[3] == answer


def test_a_rcptcheck_that_cannot_be_executed_ends_the_session(home: str) -> None:
    assert answers(Meeting(home, RCPTCHECK="absent"))[3] == b"421 unable to verify recipient (#4.3.0) (closes)"
    killed = f"{home}/{plugin(home, 'kill -KILL $$')}"
    assert answers(Meeting(home, RCPTCHECK=killed))[3] == b"421 unable to verify recipient (#4.3.0) (closes)"


def test_what_a_hook_writes_never_reaches_a_client_whose_socket_is_descriptor_2(home: str) -> None:
    """Under inetd 0, 1 and 2 are the connection."""
    import socket

    plugin(home, "echo secret >&2")
    ours, theirs = socket.socketpair()
    program = (
        "import os, sys\nfrom qmailpy.disk.home import Home\nfrom qmailpy.skeletons import hooks\n"
        "home = Home(os.fsencode(sys.argv[1]))\n"
        "for manner in (hooks.PLUGIN, hooks.CHECK):\n"
        "    hooks.hook(home, hooks.request(manner, b'plugins/check', {}))\n"
    )
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-c", program, home],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=theirs.fileno(),
            cwd=CHECKOUT,
            env={"PATH": PATH, "PYTHONPATH": CHECKOUT},
            check=False,
            timeout=60,
        )
        theirs.close()
        assert (done.returncode, ours.recv(1000)) == (0, b"")


# programs in the place of qmail-queue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exit 0", b""),
        ("exit 31", b"Dmail server permanently rejected message (#5.3.0)"),
        ("exit 71", b"Zmail server temporarily rejected message (#4.3.0)"),
        ("printf 'Dvirus found' >&6; exit 82", b"Dvirus found"),
        ("printf 'Dvirus found' >&4; exit 82", b"Dvirus found"),
        ("printf 'Ztry later' >&4; exit 82", b"Ztry later"),
        ("printf 'Dignored' >&4; exit 31", b"Dmail server permanently rejected message (#5.3.0)"),
    ],
)
def test_a_scanner_in_the_place_of_qmail_queue_is_heard_on_6_and_on_4(
    home: str, monkeypatch: pytest.MonkeyPatch, text: str, expected: bytes
) -> None:
    from qmailpy.disk.home import Home
    from qmailpy.skeletons.submit import Submission

    scan = write(f"{home}/bin/scan", f"#!/bin/sh\ncat > {home}/seen\ncat <&1 > {home}/envelope\n{text}\n", 0o755)
    monkeypatch.setenv("QMAILQUEUE", scan)
    submission = Submission(Home(os.fsencode(home)))
    submission.write(b"Subject: x\n\nx\n")
    assert submission.close(b"a@b", [b"c@d"]).text == expected
    assert read(f"{home}/seen") == b"Subject: x\n\nx\n"
    assert read(f"{home}/envelope") == b"Fa@b\0Tc@d\0\0"


# the real server


def session(home: str, words: bytes, **environment: str) -> tuple[list[bytes], list[bytes]]:
    """What bin/qmail-smtpd says to a client that sends all of this at once, and to its log."""
    done = subprocess.run(
        [f"{CHECKOUT}/bin/qmail-smtpd"],
        input=words,
        capture_output=True,
        env={"PATH": PATH, "QMAILHOME": home, "TCPREMOTEIP": "192.0.2.7", **environment},
        check=False,
        timeout=60,
    )
    return done.stdout.split(b"\r\n"), done.stderr.splitlines()


TRANSACTION = b"HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe@here.example>\r\nDATA\r\n"


def test_the_server_obeys_its_plugins(home: str) -> None:
    queue = RecordingQueue(f"{home}/recorded")
    text = f'echo SQMAILQUEUE={queue.path}; echo "HX-Checked: $SMTPRCPTTO"; echo Cann@there.example'
    with_plugins(home, rcpt=text)
    said, log = session(home, TRANSACTION + b"\r\nx\r\n.\r\nQUIT\r\n")
    assert [line[:3] for line in said] == [b"220", b"250", b"250", b"250", b"354", b"250", b"221", b""]
    assert log == []
    ((message, envelope),) = queue.messages
    assert envelope == b"Fa@b\0Tann@there.example\0\0"
    assert b"\nX-Checked: joe@here.example\n" in message


@pytest.mark.parametrize(
    ("order", "said"),
    [("R553 out", [b"220", b"250", b"250", b"553", b""]), ("D", [b"220", b"250", b"250", b""])],
)
def test_the_server_hangs_up_as_a_plugin_wants(home: str, order: str, said: list[bytes]) -> None:
    with_plugins(home, rcpt=f"echo {order}")
    heard, log = session(home, TRANSACTION)
    assert [line[:3] for line in heard] == said
    reply = order[1:].encode()
    expected = b'refused 192.0.2.7 rule=plugin:rcpt helo=c from=<a@b> to=<joe@here.example> reply="%s"' % reply
    assert log == [b"qmail-smtpd: " + expected]


def test_the_words_of_a_scanner_are_the_answer_to_the_message(home: str) -> None:
    for code, words, answer in (
        ("82", "printf 'Dvirus found' >&4", b"554 virus found"),
        ("82", "printf 'Zscanner busy' >&6", b"451 scanner busy"),
        ("31", ":", b"554 mail server permanently rejected message (#5.3.0)"),
    ):
        scan = write(
            f"{home}/bin/scan", f"#!/bin/sh\ncat >/dev/null\ncat <&1 >/dev/null\n{words}\nexit {code}\n", 0o755
        )
        said, log = session(home, TRANSACTION + b"\r\nx\r\n.\r\nQUIT\r\n", QMAILQUEUE=scan)
        assert said[5] == answer
        (line,) = log
        assert line.startswith(b"qmail-smtpd: refused 192.0.2.7 rule=queue helo=c from=<a@b> to=- reply=")
