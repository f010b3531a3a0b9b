"""qmail-trace, the program: logs of all loggers, what is asked for, what it says where there is nothing."""

import json
import os
import subprocess

import pytest

from qmailpy.programs.splogger import Pieces
from qmailpy.rules import trace
from tests.neighbours import needs
from tests.support import CHECKOUT, PATH, write

LONG = trace.line({"msg": b"7.111", "by": b"qmail-send", "event": b"new", "qp": 50, "sender": b"\n" * 400}).decode()
STORY = f"""new msg 7
info msg 7: bytes 311 from <root@example.org> qp 50 uid 0
{LONG.rstrip()}
trace: msg=7.111 by=qmail-queued event=accepted qp=50 uid=0 pid=50 sender=root@example.org recipients=1 id=<one@x>
starting delivery 1: msg 7 to local joe@example.org
status: local 1/10 remote 0/20
delivery 1: failure: no_such_user/
bounce msg 7 qp 51
end msg 7
new msg 8
info msg 8: bytes 900 from <> qp 51 uid 7791
starting delivery 2: msg 8 to local root@example.org
delivery 2: success: did_1+0+0/
end msg 8
new msg 7
info msg 7: bytes 12 from <ann@example.org> qp 52 uid 0
starting delivery 3: msg 7 to remote far@far.example
delivery 3: deferral: x\x1b[2J/
"""
TWO_AT_ONCE = """new msg 9
info msg 9: bytes 12 from <far@far.example> qp 53 uid 0
starting delivery 4: msg 9 to remote joe@b.example
starting delivery 5: msg 9 to remote joe@c.example
trace: msg=9.113 by=qmail-remote event=connect delivery=4 address=192.0.2.4 host=b.example result=new
trace: msg=9.113 by=qmail-remote event=connect delivery=5 address=192.0.2.5 host=c.example result=new
trace: msg=9.113 by=qmail-remote event=answer delivery=5 address=192.0.2.5 step=done reply="250 ok"
delivery 5: success: x/
delivery 4: success: x/
end msg 9
"""


def run(*words: str, log: str = "", output: int = subprocess.PIPE) -> "subprocess.CompletedProcess[bytes]":
    """log: on descriptor 0."""
    return subprocess.run(
        [f"{CHECKOUT}/bin/qmail-trace", *words],
        input=log.encode(),
        stdout=output,
        stderr=subprocess.PIPE,
        check=False,
        env={"PATH": PATH, "TZ": "UTC"},
        timeout=30,
    )


def told(*words: str, log: str = STORY) -> str:
    done = run(*words, log=log)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


class Collected:
    """In the place of a log daemon: what rsyslog would write."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def send(self, _priority: int, text: bytes) -> bool:
        self.lines.append(f"Nov 21 18:12:27 mx qmail: {text.decode()}")
        return True


def test_the_story_follows_the_bounce_and_leaves_the_next_message_of_the_number_alone() -> None:
    text = told("joe@example.org")
    assert text.startswith("message 7\n  the door took it from uid 0, process 50, Message-ID <one@x>\n")
    assert "delivery 1 failed for good: no such user" in text
    assert "message 8 (because of message 7)" in text
    assert "far.example" not in text
    assert told("<one@x>") == text
    assert told("7.111") == text


def test_all_messages_of_a_number_are_told_and_what_cannot_be_printed_is_not_sent_to_the_terminal() -> None:
    text = told("7")
    assert ("\n" + text).count("\nmessage ") == 3
    assert "it has not left the queue" in text
    assert "\x1b" not in text


def test_qmails_own_lines_alone_are_a_story() -> None:
    plain = "".join(line for line in STORY.splitlines(keepends=True) if not line.startswith("trace:"))
    text = told("joe@example.org", log=plain)
    assert "delivery 1 begins: to local joe@example.org" in text
    assert "its sender is told, in the message with qp 51" in text
    assert text.count("message 8") == 1


def test_a_real_multilogs_log() -> None:
    needs("tai64n", "tai64nlocal")
    stamped = subprocess.run(
        ["tai64n"], input=STORY.encode(), capture_output=True, check=True, env={"PATH": PATH}
    ).stdout
    local = subprocess.run(
        ["tai64nlocal"], input=stamped, capture_output=True, check=True, env={"PATH": PATH, "TZ": "UTC"}
    ).stdout
    text = told("joe@example.org", log=stamped.decode())
    assert text == told("joe@example.org", log=local.decode())
    assert "delivery 1 failed for good: no such user" in text
    assert text.splitlines()[1][2:].split(":")[0].isdigit()


def test_a_syslog_with_lines_that_splogger_has_folded_and_lines_of_others_in_between() -> None:
    log = Collected()
    pieces = Pieces(log)  # type: ignore[arg-type]
    for line in STORY.encode().splitlines(keepends=True):
        pieces.feed(line)
        log.lines.append("Nov 21 18:12:27 mx sshd[1]: new msg 7 is what a user calls himself")
        log.lines.append("Nov 21 18:12:27 mx sshd[1]: Invalid user trace: msg=7.111 by=qmail-send event=end")
    assert any("+" in line.split()[5] for line in log.lines if " qmail: " in line)
    folded = "\n".join(line for line in log.lines if "sshd[1]: new" not in line) + "\n"
    (first, second) = [json.loads(line) for line in told("joe@example.org", "--json", log=folded).splitlines()]
    assert (first["message"], first["key"], first["whole"], first["ended"]) == (7, "7.111", True, True)
    assert [event["trace"]["sender"] for event in first["events"] if "trace" in event][1] == "\n" * 400
    assert (second["message"], second["because"]) == (8, 7)


def test_several_logs_are_one(tmp_path: object) -> None:
    lines = STORY.splitlines(keepends=True)
    first, second = write(f"{tmp_path}/1", "".join(lines[:6])), write(f"{tmp_path}/2", "".join(lines[6:]))
    server = write(
        f"{tmp_path}/server",
        "trace: msg=- by=qmail-smtpd event=received qp=50 client=192.0.2.7 helo=there\n"
        'qmail-smtpd: refused 192.0.2.9 rule=badmailfrom helo=\33[2J from=<a@b> to=<joe@example.org> reply="553 no"\n',
    )
    text = told("--log", server, f"--log={first}", "joe@example.org", second)
    assert "came by SMTP from 192.0.2.7, which calls itself there" in text
    assert text.endswith('helo=?[2J from=<a@b> to=<joe@example.org> reply="553 no"\n')  # none that a terminal obeys
    assert "delivery 1 failed for good" in text


def test_a_loggers_directory_is_its_old_logs_and_the_current_one(tmp_path: object) -> None:
    lines = STORY.splitlines(keepends=True)
    for name, part in (("current", lines[10:]), ("@400000006b01f4b022886694.s", lines[:5]), ("previous", lines[7:10])):
        write(f"{tmp_path}/{name}", "".join(part))
    write(f"{tmp_path}/@400000006b01f4b522886694.u", "".join(lines[5:7]))
    write(f"{tmp_path}/state", "end msg 7\n")
    for folder in (f"{tmp_path}", f"{tmp_path}/"):
        assert told("joe@example.org", folder) == told("joe@example.org")


def test_of_deliveries_at_the_same_time_each_line_says_whose_it_is() -> None:
    text = told("far@far.example", log=STORY + TWO_AT_ONCE)
    assert [line for line in text.splitlines() if "connected" in line or "at the end" in line] == [
        "    delivery 4: connected to 192.0.2.4 (b.example)",
        "    delivery 5: connected to 192.0.2.5 (c.example)",
        "    192.0.2.5 at the end said: 250 ok",
    ]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ((), 100, b"usage"),
        (("--else", "7"), 100, b"usage"),
        (("--log",), 100, b"usage"),
        (("word",), 100, b"usage"),
        (("12",), 100, b"nothing about 12 in this log\n"),
        (("nobody@else",), 100, b"nothing about nobody@else in this log\n"),
        (("<else@x>",), 100, b"control/trace says 1\n"),
        (("7", "/nowhere/log"), 111, b"unable to read /nowhere/log: file does not exist\n"),
        (("7", "/"), 111, b"unable to read /current: file does not exist\n"),
    ],
)
def test_what_it_says_when_there_is_nothing(words: tuple[str, ...], code: int, error: bytes) -> None:
    done = run(*words, log=STORY)
    assert done.returncode == code
    assert done.stdout == b""
    assert error in done.stderr


def test_who_has_read_enough_hears_no_complaint() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run("7", log=STORY, output=writer)
    os.close(writer)
    assert done.stderr == b""


def test_lines_without_an_end_and_bytes_of_all_kinds_are_read() -> None:
    noise = "x" * 100000 + "\n" + bytes(range(1, 256)).decode("latin-1") + "\nnew msg \ntrace: \n"
    assert told("joe@example.org", log=noise + STORY + noise).startswith("message 7\n")
