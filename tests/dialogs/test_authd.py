"""The real qmail-authd: what it answers, what it refuses to check, and who cannot keep it from answering others."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.rules import throttle
from qmailpy.skeletons import authenticating
from qmailpy.wire import authd, sasl, sasl_server
from tests.login_support import Authd, keep, scram
from tests.support import PATH, bare_home, read, wait_for, wait_for_exit, write
from tests.unread_log import UnreadLog

ADDRESS = b"192.0.2.7"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"))


def ask(
    home: str, login: str, secret: str, *, method: bytes = b"password", challenge: bytes = b"", remote: bytes = ADDRESS
) -> authd.Answer:
    question = authd.Question(method, login.encode(), secret.encode(), challenge, remote, b"587")
    answer = authd.decode_answer(authenticating.authenticate(Home(home.encode()), authenticating.encode(question)))
    assert answer is not None
    return answer


def program(home: str, script: str) -> None:
    """A program with checkpassword's interface, in qmail-checkpassword's place."""
    path = write(f"{home}/check", f"#!/bin/sh\n{script}\n", 0o755)
    write(f"{home}/control/authprogram", f"{path} and its arguments\n")


def test_it_says_yes_and_no_and_logs_both(home: str) -> None:
    keep(home, ann="secret")
    with Authd(home, ["SCRAM-SHA-256", "PLAIN", "LOGIN"]) as daemon:
        answer = ask(home, "Ann", "secret")
        assert (answer.verdict, authd.heard(answer.said)) == (authd.YES, (b"ann", b""))
        holds = [ask(home, "ann", "wrong").hold for _ in range(3)]
        assert holds == [1, 2, 3]
        assert ask(home, "a\nb<> ü", "secret").verdict == authd.NO
        log = daemon.log
    assert log == [
        "qmail-authd: accepted 192.0.2.7 login=<Ann> method=password port=587",
        *["qmail-authd: refused 192.0.2.7 rule=password login=<ann> method=password port=587"] * 3,
        "qmail-authd: refused 192.0.2.7 rule=password login=<a?b?????> method=password port=587",
    ]


def test_a_log_that_nobody_reads_keeps_nobody_waiting(home: str) -> None:
    keep(home, ann="secret")
    with UnreadLog(f"{home}/authd.log") as log, Authd(home):
        for _ in range(5):
            assert ask(home, "ann", "secret").verdict == authd.YES
        assert log.wait_for(b"login=<ann>").count(b"qmail-authd: accepted") <= 5
        assert ask(home, "bob", "secret").verdict == authd.NO
        assert log.wait_for(b"login=<bob>").count(b"qmail-authd: accepted") == 5


def test_scram_is_verified_without_the_password(home: str) -> None:
    keep(home, ann="secret")
    with Authd(home):
        client = sasl.ScramSha256(sasl.Credentials(b"ann", b"secret"), b"abc")
        server = sasl_server.ScramSha256(b"def")
        step = server.begin(client.say_first())
        while step is not None:
            if isinstance(step, sasl_server.Say):
                step = server.hear(client.respond(step.challenge))
                continue
            answer = ask(home, step.login.decode(), step.secret.decode(), method=step.method, challenge=step.challenge)
            assert answer.verdict == authd.YES
            step = server.told(authd.heard(answer.said)[1])
        assert client.done()


def test_what_is_offered_follows_the_passwords(home: str) -> None:
    with Authd(home, []) as daemon:
        write(f"{home}/users/passwords", b"ann:{PLAIN}x\n", 0o600)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "APOP" in daemon.offered, "APOP")
        write(f"{home}/users/passwords", b"ann:%s\nbob:$6$a$b\n" % scram("x"), 0o600)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.offered == {"PLAIN", "LOGIN"}, "PLAIN LOGIN alone")


@pytest.mark.parametrize(
    ("script", "verdict", "said"),
    [
        ("exit 0", authd.YES, b""),
        ("echo words; exit 0", authd.YES, b""),
        ("head -c 1000000 /dev/zero; exit 1", authd.NO, b""),
        ("exit 1", authd.NO, b""),
        ("exit 2", authd.LATER, b"the program that checks passwords exited 2"),
        ("exit 111", authd.LATER, b"the program that checks passwords exited 111"),
        ("kill -9 $$", authd.LATER, b"the program that checks passwords was ended by signal 9"),
        ("exec /no/such/program", authd.LATER, b"the program that checks passwords exited 127"),
    ],
)
def test_any_program_with_checkpasswords_interface_will_do(home: str, script: str, verdict: bytes, said: bytes) -> None:
    program(home, script)
    with Authd(home):
        answer = ask(home, "ann", "secret")
    assert answer.verdict == verdict
    assert said in answer.said


def test_a_program_gets_the_words_on_descriptor_3_and_little_else(home: str) -> None:
    out = f"{home}/out"
    program(
        home, f'cat <&3 | tr "\\0" , > {out}; echo "$TCPREMOTEIP $TCPLOCALPORT $*" >> {out}; ls /proc/self/fd >> {out}'
    )
    with Authd(home):
        assert ask(home, "ann", "sec ret", challenge=b"<1@x>").verdict == authd.YES
    assert read(out) == b"ann,sec ret,<1@x>,192.0.2.7 587 and its arguments\n0\n1\n2\n3\n4\n"


def test_a_program_that_cannot_be_run_is_trouble(home: str) -> None:
    write(f"{home}/control/authprogram", "/no/such/program\n")
    with Authd(home) as daemon:
        assert ask(home, "ann", "secret").verdict == authd.LATER
        assert daemon.log[-1].startswith("qmail-authd: refused 192.0.2.7 rule=trouble login=<ann>")


def test_ten_thousand_wrong_passwords_are_hardly_checked_and_others_are_served(home: str) -> None:
    keep(home, ann="secret")
    began = time.monotonic()
    with Authd(home) as daemon:
        with ThreadPoolExecutor(8) as pool:
            found = Counter(pool.map(lambda number: ask(home, "ann", f"{number}").verdict, range(10_000)))
        assert ask(home, "bob", "secret").verdict == authd.LATER
        assert ask(home, "ann", "secret", remote=b"198.51.100.1").verdict == authd.YES
        assert len(daemon.log) == 10_002
        wait_for(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) < 12, "no descriptor is lost")
    refill = (time.monotonic() - began) * throttle.NETWORK_LEAK
    assert throttle.NETWORK_MOST <= found[authd.NO] <= throttle.NETWORK_MOST + refill + 16  # 16 at a time
    assert found[authd.YES] == 0


def test_programs_that_are_slow_hold_up_only_as_many_as_run_at_a_time(home: str) -> None:
    gate = f"{home}/gate"
    os.mkfifo(gate)
    program(home, f"read login <&3; echo x >> {home}/begun; read line < {gate}; exit 0")
    with Authd(home), ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(ask, home, f"u{number}", "x") for number in range(40)]
        wait_for(lambda: os.path.exists(f"{home}/begun") and len(read(f"{home}/begun").split()) == 16, "16 programs")
        with open(gate, "r+b", buffering=0) as opened:
            wait_for(lambda: opened.write(b"\n") and all(one.done() for one in asked), "40 answers")
        assert {one.result().verdict for one in asked} == {authd.YES}


def test_nobody_keeps_it_from_answering_others(home: str) -> None:
    keep(home, ann="secret")
    generator = random.Random(1)
    with Authd(home) as daemon:
        idle = [connect(home) for _ in range(100)]
        for content in (
            b"",
            b"GET / HTTP/1.0\r\n\r\n",
            authd.MAGIC + b"99999999999999999999:",
            authd.MAGIC + b"16385:" + b"x" * (1 << 20),
            authd.MAGIC + b"5:1:x,,,",
            authd.Question(b"password", b"ann", b"x", b"").encode() + b"more",
            authd.Question(b"password", b"ann", b"x", b"").encode()[:-1],
            *(generator.randbytes(generator.randrange(200)) for _ in range(100)),
            *(authd.MAGIC + generator.randbytes(generator.randrange(200)) for _ in range(100)),
        ):
            with connect(home) as line:
                try:
                    line.sendall(content)
                except OSError:
                    pass  # it has heard enough
        assert ask(home, "ann", "secret").verdict == authd.YES
        for line in idle:
            line.close()
        assert not [line for line in daemon.log if "accepted" not in line and "refused" not in line]


def connect(home: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.connect(f"{home}/auth/socket")
    return line


def test_when_it_is_killed_in_the_midst_nobody_waits(home: str) -> None:
    program(home, f"echo $$ > {home}/pid; exec sleep 30")
    with Authd(home) as daemon, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, home, "ann", "secret")
        wait_for(lambda: os.path.exists(f"{home}/pid") and read(f"{home}/pid"), "the program")
        daemon.process.kill()
        with pytest.raises(OSError, match="hung up"):
            asked.result(10)
        daemon.process.wait()
    os.kill(int(read(f"{home}/pid")), signal.SIGKILL)


def test_a_second_one_does_not_start(home: str) -> None:
    with Authd(home, []):
        no_other_starts(home)


def no_other_starts(home: str) -> None:
    done = subprocess.run(
        [f"{home}/bin/qmail-authd"],
        env={"PATH": PATH, "QMAILHOME": home},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 111
    assert done.stderr.startswith(b"qmail-authd: fatal: another qmail-authd is running")


def test_told_to_end_it_ends_and_ends_what_it_has_started(home: str) -> None:
    program(home, f"echo $$ > {home}/pid; exec sleep 60")
    with Authd(home) as daemon, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, home, "ann", "secret")
        wait_for(lambda: os.path.exists(f"{home}/pid") and read(f"{home}/pid"), "the program")
        pid = int(read(f"{home}/pid"))
        daemon.process.terminate()
        assert wait_for_exit(daemon.process) == 0
        assert isinstance(asked.exception(10), OSError)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}") or b"Z" in read(f"/proc/{pid}/stat"), "its end")
    assert not os.path.exists(f"{home}/auth/socket")


def test_a_change_of_the_passwords_is_seen(home: str) -> None:
    keep(home, ann="secret")
    with Authd(home, ["SCRAM-SHA-256"], hurry=True) as daemon:
        write(f"{home}/users/passwords", b"ann:$6$a$b\n", 0o600)
        wait_for(lambda: daemon.offered == {"PLAIN", "LOGIN"}, "PLAIN LOGIN alone")


def test_a_new_version_takes_over_in_place(home: str) -> None:
    keep(home, ann="secret")
    with Authd(home, hurry=True) as daemon:
        inode = os.stat(f"{home}/auth/socket").st_ino
        shutil.copytree(f"{home}/lib/current/", f"{home}/lib/new", symlinks=True)
        os.symlink(f"{home}/lib/new", f"{home}/lib/.current")
        os.rename(f"{home}/lib/.current", f"{home}/lib/current")
        # who executes a new version tells it the home; we did not
        wait_for(lambda: b"QMAILHOME=" in read(f"/proc/{daemon.process.pid}/environ"), "the new version")
        assert ask(home, "ann", "secret").verdict == authd.YES
        assert os.stat(f"{home}/auth/socket").st_ino == inode
        assert daemon.process.poll() is None
        no_other_starts(home)
    assert not os.path.exists(f"{home}/auth/socket")


def test_an_embedded_home_needs_none(home: str) -> None:
    keep(home, ann="secret")
    assert ask(home, "ann", "secret").verdict == authd.YES
    answer = ask(home, "ann", "wrong")
    assert (answer.verdict, answer.hold) == (authd.NO, 2)


def test_a_program_on_the_command_line_is_asked_in_its_place(home: str) -> None:
    program(home, "exit 1")
    question = authd.Question(b"password", b"ann", b"secret", b"", ADDRESS, b"25")
    request = authenticating.encode(question, [b"sh", b"-c", b'test "$(tr "\\0" , <&3)" = ann,secret,,'])
    answer = authd.decode_answer(authenticating.authenticate(Home(home.encode()), request))
    assert answer is not None
    assert answer.verdict == authd.YES


def test_a_malformed_request_is_not_asked(home: str) -> None:
    with pytest.raises(OSError, match="malformed"):
        authenticating.authenticate(Home(home.encode()), b"nonsense")
