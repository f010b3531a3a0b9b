"""The real qmail-checkpassword and qmail-passwd: entries are made, and passwords checked by them."""

import hashlib
import hmac
import os
import pty
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.login_support import check, keep, on_three, scram, somebody
from tests.support import PATH, bare_home, read, write

CHALLENGE = "<1896.697170952@dbc.mtview.ca.us>"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(str(tmp_path / "home"))


def passwd(home: str, *words: str, typed: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [f"{home}/bin/qmail-passwd", *words],
        input=typed,
        env={"PATH": PATH, "QMAILHOME": home},
        capture_output=True,
        check=False,
        timeout=60,
    )


def lines(home: str) -> list[bytes]:
    return [line for line in read(f"{home}/users/passwords").splitlines() if not line.startswith(b"#")]


# qmail-passwd


@pytest.mark.parametrize(
    ("option", "kind"), [([], b"{SCRAM-SHA-256}"), (["-s"], b"$scrypt$"), (["-c"], b"{PLAIN.b64}")]
)
def test_a_password_that_was_set_is_right_and_no_other_is(home: str, option: list[str], kind: bytes) -> None:
    assert passwd(home, *option, "ann@example.org", typed=b"corr ect:h\xc3\xb6rse\n").returncode == 0
    (line,) = lines(home)
    assert line.startswith(b"ann@example.org:" + kind)
    assert b"corr" not in line
    assert os.stat(f"{home}/users/passwords").st_mode & 0o7777 == 0o600
    right = check(home, "--verify", "password", content=on_three("Ann@example.ORG", "corr ect:hörse"))
    assert (right.returncode, right.stdout, right.stderr) == (0, b"15:ann@example.org,0:,", b"")
    for login, password in (("ann@example.org", "corr ect:horse"), ("bob", "corr ect:hörse"), ("ann@example.org", "")):
        wrong = check(home, "--verify", "password", content=on_three(login, password))
        assert (wrong.returncode, wrong.stdout, wrong.stderr) == (1, b"", b"")


def test_entries_are_changed_listed_and_removed(home: str) -> None:
    passwd(home, "-c", "ann", "/home/ann", "1000", "1001", typed=b"one\n")
    passwd(home, "bob", typed=b"two\n")
    passwd(home, "-s", "Ann", typed=b"three\n")
    passwd(home, "-a", "*")
    said = passwd(home, "-l")
    assert said.stdout == b"Ann: scrypt, /home/ann of 1000:1001\nbob: SCRAM-SHA-256\n*: the account's\n"
    assert passwd(home, "-d", "ANN").returncode == 0
    assert [line.partition(b":")[0] for line in lines(home)] == [b"bob", b"*"]
    again = passwd(home, "-d", "ann")
    assert (again.returncode, again.stderr) == (100, b"qmail-passwd: fatal: users/passwords has no such login\n")


def test_it_is_said_when_clients_can_be_offered_something_else(home: str) -> None:
    assert b"SCRAM-SHA-256 PLAIN LOGIN;" in passwd(home, "ann", typed=b"x\n").stderr
    assert passwd(home, "bob", typed=b"x\n").stderr == b""
    assert b"now: PLAIN LOGIN;" in passwd(home, "-s", "bob", typed=b"x\n").stderr


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ([], b"x\n"),
        (["-x", "ann"], b"x\n"),
        (["ann", "/home/ann"], b"x\n"),
        (["ann", "home", "1", "1"], b"x\n"),
        (["ann", "/home", "0", "0"], b"x\n"),
        (["ann", "/home", "1_0", "1"], b"x\n"),
        (["ann", "/ho:me", "1", "1"], b"x\n"),
        (["a:b"], b"x\n"),
        (["#ann"], b"x\n"),
        (["a b"], b"x\n"),
        (["a\nb"], b"x\n"),
        ([""], b"x\n"),
        (["*"], b"x\n"),
        (["a" * 256], b"x\n"),
        (["ann"], b""),
        (["ann"], b"\n"),
        (["ann"], b"x" * 1021 + b"\n"),
        (["ann"], b"x\0y\n"),
        (["ann"], b"x\r\n"),
        (["-l", "ann"], b""),
        (["-d"], b""),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(home: str, words: list[str], typed: bytes) -> None:
    done = passwd(home, *words, typed=typed)
    assert (done.returncode, done.stdout) == (100, b"")
    assert done.stderr.startswith(b"qmail-passwd: fatal: ")
    assert done.stderr.count(b"\n") == 1
    assert os.listdir(f"{home}/users") == []


def test_two_changes_at_once_both_count(home: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: passwd(home, "-c", f"u{number}", typed=b"x\n"), range(8)))
    assert sorted(line.partition(b":")[0] for line in lines(home)) == [b"u%d" % number for number in range(8)]
    assert os.listdir(f"{home}/users") == ["passwords"]


def test_on_a_terminal_it_is_typed_twice_and_not_seen(home: str) -> None:
    for second, code in ((b"secret\n", 0), (b"secreT\n", 100)):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [f"{home}/bin/qmail-passwd", "ann"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"PATH": PATH, "QMAILHOME": home},
        )
        os.close(slave)
        shown = read_until(master, b"Password: ")
        os.write(master, b"secret\n")
        shown += read_until(master, b"Again: ")
        os.write(master, second)
        assert process.wait(60) == code
        shown += read_until(master, None)
        os.close(master)
        assert b"ecre" not in shown
    assert check(home, "--verify", "password", content=on_three("ann", "secret")).returncode == 0


def read_until(terminal: int, end: bytes | None) -> bytes:
    shown = b""
    while end is None or not shown.endswith(end):
        try:
            piece = os.read(terminal, 1000)
        except OSError:  # the other side is closed
            piece = b""
        if not piece:
            break
        shown += piece
    return shown


# qmail-checkpassword


def classic(home: str, content: bytes, *program: str) -> "subprocess.CompletedProcess[bytes]":
    return check(home, *(program or ("sh", "-c", 'echo "$(id -u) $(id -G) $USER $HOME $SHELL $PWD"')), content=content)


def test_it_becomes_the_user_and_runs_the_program(home: str, tmp_path: Path) -> None:
    uid, gid = somebody()
    box = tmp_path / "box"
    box.mkdir(mode=0o755)
    for folder in (tmp_path, box):
        os.chmod(folder, 0o755)
    write(f"{home}/users/passwords", b"ann:%s:%s:%d:%d\n" % (scram("secret"), str(box).encode(), uid, gid), 0o600)
    done = classic(home, on_three("ann", "secret"))
    assert done.stderr == b""
    groups = str(gid) if os.geteuid() == 0 else done.stdout.decode().split(" ann ")[0].partition(" ")[2]
    assert done.stdout.decode() == f"{uid} {groups} ann {box} /bin/sh {box}\n"
    assert classic(home, on_three("ann", "wrong")).returncode == 1
    assert classic(home, on_three("ann", "secret"), "sh", "-c", "exit 7").returncode == 7
    assert classic(home, on_three("ann", "secret"), "no-such-program").returncode == 111
    closed = classic(home, on_three("ann", "secret"), "sh", "-c", "cat <&3")
    assert closed.returncode != 0


def test_nobody_becomes_root_by_it(home: str) -> None:
    write(f"{home}/users/passwords", b"ann:%s:/:0:0\n" % scram("secret"), 0o600)
    done = classic(home, on_three("ann", "secret"), "echo", "here")
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_home_that_is_not_there_waits(home: str) -> None:
    uid, gid = somebody()
    write(f"{home}/users/passwords", b"ann:%s:/no/such/home:%d:%d\n" % (scram("secret"), uid, gid), 0o600)
    assert classic(home, on_three("ann", "secret"), "true").returncode == 111


def test_digests_are_taken_where_the_password_is_kept_in_clear(home: str, tmp_path: Path) -> None:
    uid, gid = somebody()
    os.chmod(tmp_path, 0o755)
    owner = b":/:%d:%d\n" % (uid, gid)
    write(f"{home}/users/passwords", b"ann:{PLAIN}secret" + owner + b"bob:" + scram("secret") + owner, 0o600)
    apop = hashlib.md5(CHALLENGE.encode() + b"secret").hexdigest()
    cram = hmac.new(b"secret", CHALLENGE.encode(), "md5").hexdigest()
    for login, code in (("ann", 0), ("bob", 1)):
        for second, third in ((apop, CHALLENGE), (cram, CHALLENGE), (CHALLENGE, cram), (apop.upper(), CHALLENGE)):
            assert classic(home, on_three(login, second, third), "true").returncode == code
        for method, digest in (("apop", apop), ("cram-md5", cram)):
            verified = check(home, "--verify", method, content=on_three(login, digest, CHALLENGE))
            assert verified.returncode == code
        assert classic(home, on_three(login, "secret", CHALLENGE), "true").returncode == 0
    assert classic(home, on_three("ann", cram[:-1] + "x", CHALLENGE), "true").returncode == 1


@pytest.mark.parametrize(
    ("words", "content"),
    [
        ([], b"ann\0secret\0\0"),
        (["--verify"], b"ann\0secret\0\0"),
        (["--verify", "guess"], b"ann\0secret\0\0"),
        (["true"], b""),
        (["true"], b"ann"),
        (["true"], b"ann\0secret"),
        (["true"], b"ann\0secret\0" + b"x" * 20_000),
    ],
)
def test_misuse_is_2(home: str, words: list[str], content: bytes) -> None:
    keep(home, ann="secret")
    done = check(home, *words, content=content)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"secret" not in done.stderr


def test_misuse_is_2_without_a_descriptor_3(home: str) -> None:
    environment = {"PATH": PATH, "QMAILHOME": home}
    assert subprocess.run([f"{home}/bin/qmail-checkpassword", "true"], check=False, env=environment).returncode == 2


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (b"ann:secret\n", 0o600, b"users/passwords: the entry of ann: what stands for its password is of no kind"),
        (b"ann:{PLAIN}x:/:a:b\n", 0o600, b"users/passwords: the entry of ann: its home is no path"),
        (b"ann:{PLAIN}secret\n", 0o644, b"unable to use users/passwords: others can read or write it"),
        (b"ann:$9z$x$y\n", 0o600, b"users/passwords: the entry of ann: crypt(3) of this machine does not know"),
        (b"*:{PLAIN}secret\n", 0o600, b"users/passwords: the entry of ann: the login * stands for everybody"),
        (b"x" * (2 << 20), 0o600, b"unable to use users/passwords: it is too large"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_and_nothing_is_decided(
    home: str, content: bytes, mode: int, text: bytes
) -> None:
    write(f"{home}/users/passwords", content, mode)
    done = check(home, "--verify", "password", content=on_three("ann", "secret"))
    assert done.returncode == 111
    assert done.stderr.startswith(b"qmail-checkpassword: fatal: " + text)
    assert b"secret" not in done.stderr


def test_crypt_entries_of_other_programs_are_checked(home: str) -> None:
    made = subprocess.run(["openssl", "passwd", "-6", "-salt", "saltsalt", "secret"], capture_output=True, check=True)
    write(f"{home}/users/passwords", b"ann:" + made.stdout, 0o600)
    assert check(home, "--verify", "password", content=on_three("ann", "secret")).returncode == 0
    assert check(home, "--verify", "password", content=on_three("ann", "wrong")).returncode == 1


def test_an_entry_of_doveadm_is_checked(home: str) -> None:
    try:
        made = subprocess.run(
            ["doveadm", "pw", "-s", "SCRAM-SHA-256", "-p", "secret"], capture_output=True, check=False
        ).stdout
    except FileNotFoundError:
        made = b""
    if not made.startswith(b"{SCRAM-SHA-256}"):
        pytest.skip("needs doveadm (Debian: dovecot-core)")
    write(f"{home}/users/passwords", b"ann:" + made, 0o600)
    assert check(home, "--verify", "password", content=on_three("ann", "secret")).returncode == 0
    assert check(home, "--verify", "password", content=on_three("ann", "wrong")).returncode == 1


@settings(max_examples=15, deadline=None)
@given(content=st.binary(max_size=300))
def test_no_words_on_descriptor_3_are_too_strange(shared: str, content: bytes) -> None:
    done = check(shared, "--verify", "password", content=content)
    assert done.returncode in (1, 2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = bare_home(str(tmp_path_factory.mktemp("shared") / "home"))
    keep(home, ann="secret")
    return home


def test_a_login_that_nobody_has_gets_salt_like_everybody_else(shared: str) -> None:
    asked = [check(shared, "--verify", "scram-first", content=on_three(name, "")) for name in ("eve", "Eve", "ann")]
    assert [one.returncode for one in asked] == [0, 0, 0]
    assert asked[0].stdout.partition(b",")[2] == asked[1].stdout.partition(b",")[2] != asked[2].stdout
