"""The real qmail-pop3d and qmail-popup on pipes: every row of their tables, byte for byte, and hostile clients."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.pop3_support import HOST, PASSWORD, POP3D, POPUP, USER, User
from tests.support import CHECKOUT, write

FIRST = b"Subject: first\n\n.dot\n..\nlast line without end"
SECOND = b"Subject: second\n\n1\n2\n3\n"
RAW_FIRST = b"Subject: first\r\n\r\n..dot\r\n...\r\nlast line without end\r\n\r\n.\r\n"
RAW_SECOND = b"Subject: second\r\n\r\n1\r\n2\r\n3\r\n\r\n.\r\n"
OK = b"+OK \r\n"
CAPABILITIES = b"TOP\r\nUIDL\r\nEXPIRE NEVER\r\nIMPLEMENTATION qmailpy\r\nUSER\r\nSASL PLAIN\r\n.\r\n"


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture
def joe(user: User) -> User:
    """With two messages, the older one in new/."""
    user.put("new/2.b.host", FIRST, 300)
    user.put("cur/1.a.host:2,S", SECOND, 200)
    return user


def answer(user: User, *commands: bytes, end: bytes = b"\r\n") -> bytes:
    """What qmail-pop3d says after its first line; it always exits 0."""
    done = user.serve(b"".join(command + end for command in commands))
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout.startswith(OK)
    return done.stdout.removeprefix(OK)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"STAT", b"+OK 2 %d\r\n" % (len(FIRST) + len(SECOND))),
        (b"stat", b"+OK 2 %d\r\n" % (len(FIRST) + len(SECOND))),
        (b"LIST", OK + b"1 %d\r\n2 %d\r\n.\r\n" % (len(FIRST), len(SECOND))),
        (b"LIST 2", b"+OK 2 %d\r\n" % len(SECOND)),
        (b"LIST   2 x", b"+OK 2 %d\r\n" % len(SECOND)),
        (b"UIDL", OK + b"1 2.b.host\r\n2 1.a.host\r\n.\r\n"),
        (b"UIDL 2", b"+OK 2 1.a.host\r\n"),
        (b"RETR 1", OK + RAW_FIRST),
        (b"RETR 2", OK + RAW_SECOND),
        (b"RETR 2 1", OK + b"Subject: second\r\n\r\n1\r\n\r\n.\r\n"),
        (b"TOP 2", OK + RAW_SECOND),
        (b"TOP 2 0", OK + b"Subject: second\r\n\r\n\r\n.\r\n"),
        (b"TOP 2 2", OK + b"Subject: second\r\n\r\n1\r\n2\r\n\r\n.\r\n"),
        (b"TOP 1 1", OK + b"Subject: first\r\n\r\n..dot\r\n\r\n.\r\n"),
        (b"TOP 1 3", OK + RAW_FIRST),
        (b"TOP 2 99999999999999999999999", OK + RAW_SECOND),
        (b"DELE 1", OK),
        (b"RSET", OK),
        (b"NOOP", OK),
        (b"LAST", b"+OK 0\r\n"),
        (b"CAPA", OK + b"TOP\r\nUIDL\r\nUSER\r\nEXPIRE NEVER\r\nIMPLEMENTATION qmailpy\r\n.\r\n"),
        (b"RETR", b"-ERR syntax error\r\n"),
        (b"RETR x", b"-ERR syntax error\r\n"),
        (b"RETR -1", b"-ERR syntax error\r\n"),
        (b"RETR +1", b"-ERR syntax error\r\n"),
        (b"RETR \xd9\xa1", b"-ERR syntax error\r\n"),
        (b"LIST x", b"-ERR syntax error\r\n"),
        (b"DELE", b"-ERR syntax error\r\n"),
        (b"RETR 0", b"-ERR messages are counted from 1\r\n"),
        (b"RETR 000", b"-ERR messages are counted from 1\r\n"),
        (b"RETR 3", b"-ERR not that many messages\r\n"),
        (b"RETR 4294967297", b"-ERR not that many messages\r\n"),
        (b"RETR 18446744073709551617", b"-ERR not that many messages\r\n"),
        (b"RETR " + b"9" * 4000, b"-ERR not that many messages\r\n"),
        (b"RETR 1_0", OK + RAW_FIRST),  # digits, and then something else
        (b"USER joe", b"-ERR unimplemented\r\n"),
        (b"", b"-ERR unimplemented\r\n"),
        (b"RETR\t1", b"-ERR unimplemented\r\n"),
        (b"x" * 100_000, b"-ERR unimplemented\r\n"),
        (b"NOOP\0RETR 1", OK),
    ],
)
def test_each_command_has_its_answer(joe: User, command: bytes, reply: bytes) -> None:
    assert answer(joe, command) == reply
    assert answer(joe, command, end=b"\n") == reply


def test_what_is_deleted_is_gone_from_the_session_and_back_with_rset(joe: User) -> None:
    said = [b"DELE 2", b"DELE 1", b"LAST", b"STAT", b"LIST", b"UIDL", b"RETR 1", b"DELE 2", b"RSET", b"STAT", b"LAST"]
    gone = b"-ERR already deleted\r\n"
    expected = OK * 2 + b"+OK 2\r\n" + b"+OK 0 0\r\n" + (OK + b".\r\n") * 2 + gone * 2 + OK
    assert answer(joe, *said) == expected + b"+OK 2 %d\r\n+OK 0\r\n" % (len(FIRST) + len(SECOND))


def test_only_quit_removes_and_marks_what_is_left_as_seen(joe: User) -> None:
    before = joe.names()
    assert answer(joe, b"DELE 2", b"RETR 1") == OK + OK + RAW_FIRST
    assert joe.names() == before
    assert answer(joe, b"DELE 2", b"QUIT", b"NOOP") == OK + OK
    assert joe.names() == ["cur/2.b.host:2,"]


def test_what_cannot_be_removed_is_said_and_the_rest_is_done(joe: User) -> None:
    os.chmod(f"{joe.home}/Maildir/cur", 0o555)
    os.makedirs(f"{joe.home}/Maildir/cur/x")
    done = answer(joe, b"DELE 1", b"DELE 2", b"QUIT")
    assert done == OK * 2 + b"-ERR unable to unlink all deleted messages\r\n" + OK
    assert joe.names() == ["cur/1.a.host:2,S", "cur/x"]


def test_a_message_that_another_reader_has_renamed_is_found_again(joe: User) -> None:
    process = subprocess.Popen(
        [POP3D, "Maildir"],
        cwd=joe.home,
        env=joe.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=65534 if os.geteuid() == 0 else None,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == OK
    os.rename(f"{joe.home}/Maildir/new/2.b.host", f"{joe.home}/Maildir/cur/2.b.host:2,RS")
    os.unlink(f"{joe.home}/Maildir/cur/1.a.host:2,S")
    out, _ = process.communicate(b"RETR 1\nRETR 2\nDELE 1\nQUIT\n", timeout=60)
    assert out == OK + RAW_FIRST + b"-ERR unable to open that message\r\n" + OK + OK
    assert joe.names() == []


def test_messages_come_by_age_and_those_of_this_second_not_yet(user: User) -> None:
    for name, age in (("new/c", 10), ("cur/a:2,", 20), ("new/b", 30), ("new/too-new", -1), ("cur/.hidden", 50)):
        user.put(name, b"x", age)
    assert answer(user, b"UIDL") == OK + b"1 b\r\n2 a\r\n3 c\r\n.\r\n"


def test_the_litter_of_deliveries_that_died_is_removed(user: User) -> None:
    user.put("tmp/old", b"x", 200_000)
    user.put("tmp/young", b"x", 100)
    answer(user, b"QUIT")
    assert os.listdir(f"{user.home}/Maildir/tmp") == ["young"]


def test_no_bare_cr_leaves_and_what_looks_like_an_end_is_none(user: User) -> None:
    user.put("new/1", b"a\rb\r\n.\r\n\r.\r\n.\n\xff\0\n")
    raw = answer(user, b"RETR 1").removeprefix(OK)
    assert raw == b"a b\r\n..\r\n .\r\n..\r\n\xff\0\r\n\r\n.\r\n"
    assert raw.index(b"\r\n.\r\n") == len(raw) - 5


def test_an_empty_message_and_a_large_one(user: User) -> None:
    user.put("new/1", b"", 300)
    large = b"Subject: x\n\n" + b"." * 70_000 + b"\n" + b".y\n" * 500_000
    user.put("new/2", large, 200)
    raw = answer(user, b"RETR 1", b"RETR 2", b"TOP 2 0")
    assert (
        raw
        == (
            OK + b"\r\n.\r\n" + OK + (b"\n" + large).replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")[2:] + b"\r\n.\r\n"
        )
        + OK
        + b"Subject: x\r\n\r\n\r\n.\r\n"
    )


@pytest.mark.parametrize("arguments", [["Nowhere"], [""], ["Maildir/new/2.b.host"]])
def test_without_a_maildir_it_is_said(joe: User, arguments: list[str]) -> None:
    done = joe.serve(b"STAT\n", *arguments)
    assert (done.returncode, done.stdout) == (0, b"-ERR this user has no $HOME/Maildir\r\n")


def test_a_maildir_that_cannot_be_listed_is_said(joe: User) -> None:
    os.rename(f"{joe.home}/Maildir/new", f"{joe.home}/Maildir/away")
    done = joe.serve(b"STAT\n")
    assert (done.returncode, done.stdout) == (0, b"-ERR unable to scan $HOME/Maildir\r\n")
    assert b"unable to scan $MAILDIR/new" in done.stderr


@pytest.mark.root
def test_root_is_refused(joe: User) -> None:
    done = subprocess.run([POP3D, "Maildir"], cwd=joe.home, input=b"STAT\n", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"root reads no mail" in done.stderr


def test_a_hundred_thousand_messages_are_listed_in_a_few_seconds(user: User) -> None:
    content = write(f"{user.home}/Maildir/cur/0", b"Subject: x\n\nx\n")
    os.utime(content, (1, 1))
    for number in range(1, 100_000):
        os.link(content, f"{user.home}/Maildir/{('new', 'cur')[number > 60_000]}/{number}.M{number}P1.host")
        if number % 50_000 == 0:  # a file has at most 65000 names on ext4
            content = write(f"{user.home}/Maildir/cur/{number}.other", b"Subject: x\n\nx\n")
            os.utime(content, (2, 2))
    begun = time.monotonic()
    raw = answer(user, b"STAT", b"LIST", b"UIDL", b"RETR 100000")
    took = time.monotonic() - begun
    assert raw.count(b"\n") > 200_000
    assert raw.endswith(OK + b"Subject: x\r\n\r\nx\r\n\r\n.\r\n")
    assert took < 10


# before the login


def popup(user: User, said: bytes, *program: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    command = [POPUP, HOST, *(program or (user.checkpassword, POP3D, "Maildir"))]
    return subprocess.run(
        command, input=said, env=user.environment(variables), capture_output=True, check=False, timeout=60
    )


def said_by_popup(user: User, said: bytes, *program: str, **variables: str) -> bytes:
    """After the banner; it always exits 1."""
    done = popup(user, said, *program, **variables)
    assert done.returncode == 1
    banner, _, rest = done.stdout.partition(b"\r\n")
    assert re.fullmatch(rb"\+OK <\d+\.\d+@mx\.example\.org>", banner)
    return rest


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"USER joe", OK),
        (b"USER joe x", OK),
        (b"user   joe", OK),
        (b"USER", b"-ERR syntax error\r\n"),
        (b"USER ", b"-ERR syntax error\r\n"),
        (b"PASS x", b"-ERR USER first\r\n"),
        (b"USER joe\r\nPASS", OK + b"-ERR syntax error\r\n"),
        (b"APOP joe", b"-ERR syntax error\r\n"),
        (b"NOOP", OK),
        (b"QUIT", OK),
        (b"QUIT\r\nNOOP", OK),
        (b"STAT", b"-ERR authorization first\r\n"),
        (b"", b"-ERR authorization first\r\n"),
        (b"GET / HTTP/1.1", b"-ERR authorization first\r\n"),
        (b"STLS", b"-ERR authorization first\r\n"),
        (b"CAPA", OK + CAPABILITIES),
        (b"AUTH", OK + b"PLAIN\r\n.\r\n"),
        (b"AUTH SCRAM-SHA-256", b"-ERR unrecognized authentication type\r\n"),
        (b"AUTH PLAIN\r\n*", b"+ \r\n-ERR authentication cancelled\r\n"),
        (b"AUTH PLAIN x", b"-ERR syntax error\r\n"),
        (b"AUTH PLAIN AGEA", b"-ERR syntax error\r\n"),
        (b"USER " + b"x" * 100_000, b"-ERR syntax error\r\n"),
    ],
)
def test_each_command_before_the_login_has_its_answer(user: User, command: bytes, reply: bytes) -> None:
    assert said_by_popup(user, command + b"\r\n") == reply


def test_a_command_of_ten_megabytes_is_one_error(user: User) -> None:
    assert said_by_popup(user, b"x" * 10_000_000 + b"\r\n") == b"-ERR syntax error\r\n"


def test_who_does_not_log_in_is_seen_off(user: User) -> None:
    assert said_by_popup(user, b"NOOP\r\n" * 200) == OK * 100


SHOW = 'cat <&3; echo " pid=$PPID"'


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (b"USER joe\r\nPASS a b\r\n", b"joe\0a b\0"),
        (b"USER  joe \r\nUSER ann \nPASS   x \n", b"ann \0x \0"),
        (b"APOP joe 0123456789abcdef\r\n", b"joe\x000123456789abcdef\0"),
        (b"APOP joe a b\r\n", b"joe\0a b\0"),
        (b"AUTH PLAIN AGpvZQBhIGI=\r\n", b"joe\0a b\0"),
        (b"AUTH plain\r\nAGpvZQBhIGI=\r\n", b"joe\0a b\0"),
        (b"USER a\0b\r\nPASS c\0d\r\n", b"a\0c\0"),
    ],
)
def test_the_program_gets_name_secret_and_timestamp_on_descriptor_3(user: User, said: bytes, seen: bytes) -> None:
    done = popup(user, said, "sh", "-c", SHOW)
    banner, heard = done.stdout.split(b"\r\n", 1)
    stamp = banner.removeprefix(b"+OK ")
    heard = heard.replace(OK, b"").replace(b"+ \r\n", b"")
    assert heard.startswith(seen + stamp + b"\0")
    assert stamp.startswith(b"<%d." % int(heard.rpartition(b"=")[2]))


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        ("exit 0", b""),
        ("exit 1", b"-ERR authorization failed\r\n"),
        ("exit 111", b"-ERR authorization failed\r\n"),
        ("kill -9 $$", b"-ERR aack, child crashed\r\n"),
        ("exec 3<&-; exit 1", b"-ERR authorization failed\r\n"),
    ],
)
def test_how_the_program_ends_is_the_answer(user: User, script: str, reply: bytes) -> None:
    assert said_by_popup(user, b"USER joe\r\nPASS x\r\nNOOP\r\n", "sh", "-c", script) == OK + reply


def test_a_program_that_is_not_there_is_an_authorization_that_fails(user: User) -> None:
    done = popup(user, b"APOP joe x\r\n", "no-such-program", TCPREMOTEIP="192.0.2.7", TCPLOCALPORT="110")
    assert done.stdout.endswith(b"-ERR authorization failed\r\n")
    assert done.stderr == (
        b"qmail-popup: warning: unable to run no-such-program: file does not exist\n"
        b"qmail-popup: refused 192.0.2.7 rule=trouble login=<joe> method=APOP port=110\n"
    )


def test_a_login_that_fails_is_one_line_of_the_log_and_never_the_password(user: User) -> None:
    said = b"USER j\x1bo e> x=\nPASS secret\n"
    done = popup(user, said, "false", TCPREMOTEIP="192.0.2.7")
    assert done.stderr == b"qmail-popup: refused 192.0.2.7 rule=password login=<j?o?e??x=> method=PASS port=unknown\n"
    done = popup(user, b"USER %b\nPASS secret\n" % (b"x" * 4000), "false")
    assert done.stderr == b"qmail-popup: refused unknown rule=password login=<?> method=PASS port=unknown\n"


@pytest.mark.parametrize("words", [[], [HOST]])
def test_usage(user: User, words: list[str]) -> None:
    done = subprocess.run([POPUP, *words], input=b"", capture_output=True, check=False, env=user.environment())
    assert (done.returncode, done.stdout) == (1, b"-ERR usage: popup hostname subprogram\r\n")


def test_cut_off_anywhere_nobody_is_logged_in(user: User) -> None:
    said = f"USER {USER}\r\nPASS {PASSWORD}\n".encode()
    for length in range(0, len(said), 3):
        assert b"ERR" not in said_by_popup(user, said[:length], "false")


def test_the_whole_way_to_the_mail(joe: User) -> None:
    """Each answer is awaited: what came behind PASS in one breath was never promised to arrive."""
    with subprocess.Popen(
        joe.service, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=joe.environment(), bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        replies = []
        for command in ("", f"USER {USER}", f"PASS {PASSWORD}", "STAT", "DELE 1", "QUIT"):
            if command:
                process.stdin.write(f"{command}\r\n".encode())
            replies.append(process.stdout.readline())
        assert process.wait(60) == 1
    assert replies[1:] == [OK, OK, b"+OK 2 %d\r\n" % (len(FIRST) + len(SECOND)), OK, OK]
    assert joe.names() == ["cur/1.a.host:2,S"]


def test_passwords_are_not_taken_in_clear_where_there_is_tls_unless_that_is_wished(user: User) -> None:
    write(f"{user.qmail}/control/servercert.pem", "(nobody looks at it before STLS)\n")
    no = b"-ERR STLS first: passwords are not taken in clear\r\n"
    said = b"USER joe\r\nAUTH PLAIN AGpvZQBhIGI=\r\nAUTH\r\nCAPA\r\n"
    offers = CAPABILITIES.replace(b"USER\r\nSASL PLAIN\r\n", b"STLS\r\n")
    assert said_by_popup(user, said) == no + no + OK + b".\r\n" + OK + offers
    write(f"{user.qmail}/control/authplain", "1\n")
    assert said_by_popup(user, b"CAPA\r\nUSER joe\r\n") == OK + CAPABILITIES.replace(b".\r\n", b"STLS\r\n.\r\n") + OK


def test_a_certificate_that_is_none_is_said_and_the_conversation_goes_on(user: User) -> None:
    write(f"{user.qmail}/control/servercert.pem", "no certificate\n")
    done = popup(user, b"STLS\r\n")
    assert done.stdout.endswith(b"-ERR TLS is not available now\r\n")
    assert b"qmail-popup: warning: no TLS: " in done.stderr
    assert popup(user, b"", POP3S="").stdout == b""


def test_the_programs_load_little() -> None:
    """Each login starts both: no ssl, no asyncio, and nothing of the queue."""
    for program in (POPUP, POP3D):
        done = subprocess.run(
            ["/usr/bin/python3", "-IS", "-X", "importtime", program, HOST, "true"],
            input=b"QUIT\r\n",
            env={"PATH": "/usr/bin:/bin", "QMAILHOME": f"{CHECKOUT}/nowhere"},
            capture_output=True,
            check=False,
        )
        loaded = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
        assert not loaded & {"ssl", "asyncio", "socket", "re", "typing", "qmailpy.skeletons.submit"}
