"""The real qmail-tcprules beside Debian's tcprules: the same bytes, the same answers, a word about what is wrong."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.support import CHECKOUT, PATH, has_program, read, write

PROGRAM = f"{CHECKOUT}/bin/qmail-tcprules"
SAMPLE = f"{CHECKOUT}/boot/tcp.smtp"
RULES = """
# a comment
1.2.3.4:allow
1.2.3.5:allow,RELAYCLIENT="",DATABYTES='100'
joe@1.2.3.4:deny
joe@=h.example.org:allow,WHO=/joe"s/
10.0.0.37-53:allow,A="b",C=xdx
10.2-3.:deny,WHY="because:deny"
250-999:allow
9-3.:allow
=h.example.org:allow
=.example.org:deny
=a-b.example.org:allow
=:allow,NAMED=""
no colon here
192.168.:allow,N=xemptyx
:deny
1.2.3.4:deny
"""
CONNECTIONS = [
    *(["1.2.3.4"], ["1.2.3.4", "h.example.org"], ["1.2.3.4", "h.example.org", "joe"], ["9.9.9.9"]),
    *(["9.9.9.9", "h.example.org", "joe"], ["9.9.9.9", "x.example.org"], ["9.9.9.9", "x.org"]),
    *(["1.2.3.5"], ["10.0.0.40"], ["10.3.9.9", "x.example.org"], ["192.168.7.7"], ["192.168.7.7", "", "joe"], []),
]


def run(program: str, *words: str, rules: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program, *words],
        input=rules if isinstance(rules, bytes) else rules.encode(),
        env={"PATH": PATH, **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


def variables(connection: list[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in zip(("TCPREMOTEIP", "TCPREMOTEHOST", "TCPREMOTEINFO"), connection, strict=False)
        if value
    }


@pytest.fixture
def theirs() -> str:
    if not has_program("tcprules"):
        pytest.skip("needs Debian's ucspi-tcp: nothing to compare qmail-tcprules with")
    return "tcprules"


def compile_rules(folder: Path, program: str, rules: str | bytes) -> subprocess.CompletedProcess[bytes]:
    name = os.path.basename(program)
    return run(program, f"{folder}/{name}.cdb", f"{folder}/{name}.tmp", rules=rules)


def random_rules() -> str:
    """Reproducible."""
    source = random.Random(1)
    found = []
    for _ in range(3000):
        ip = ".".join(str(source.randrange(256)) for _ in range(4))
        ip = source.choice(
            [ip, ip.rpartition(".")[0] + ".", f"{ip}-{source.randrange(300)}", f"u{ip[0]}@{ip}", f"={ip}.x"]
        )
        quote = source.choice("\"'/x")
        values = "".join(f",V{number}={quote}{source.randrange(10**6)}{quote}" for number in range(source.randrange(4)))
        found.append(f"{ip}:{source.choice(['allow', 'deny'])}{values}{source.choice(['', ' ', chr(9)])}")
    return "\n".join(found)  # the last line has no end


@pytest.mark.parametrize("rules", [RULES, "", ":allow", "1.:allow,=xemptyx", random_rules()])
def test_the_table_has_the_very_bytes_of_debians(theirs: str, tmp_path: Path, rules: str) -> None:
    assert compile_rules(tmp_path, theirs, rules).returncode == 0
    assert compile_rules(tmp_path, PROGRAM, rules).returncode == 0
    assert read(f"{tmp_path}/qmail-tcprules.cdb") == read(f"{tmp_path}/tcprules.cdb")
    assert sorted(os.listdir(tmp_path)) == ["qmail-tcprules.cdb", "tcprules.cdb"]


@pytest.mark.parametrize("connection", CONNECTIONS)
def test_a_table_is_read_as_debian_reads_it(theirs: str, tmp_path: Path, connection: list[str]) -> None:
    compile_rules(tmp_path, theirs, RULES)
    table = f"{tmp_path}/tcprules.cdb"
    known = run("tcprulescheck", table, **variables(connection))
    assert run(PROGRAM, "-c", table, *connection).stdout == known.stdout
    ours = run(PROGRAM, "-c", table, **variables(connection))
    assert (ours.returncode, ours.stdout, ours.stderr) == (0, known.stdout, b"")


def test_where_there_is_no_rule_everybody_may_come(tmp_path: Path) -> None:
    compile_rules(tmp_path, PROGRAM, "1.2.3.4:deny\n")
    done = run(PROGRAM, "-c", f"{tmp_path}/qmail-tcprules.cdb", "1.2.3.5")
    assert done.stdout == b"default:\nallow connection\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1.2.3.4:permit", b"after the address and its colon comes neither allow nor deny"),
        ('1.2.3.4:allow,A="b', b'the value of A does not end: its quote is "'),
        ("1.2.3.4:allow,A", b'is not VARIABLE="VALUE": A'),
        ('1.2.3.4:allow,A="b"c', b"a comma is missing before c"),
        ("1.2.3.4:allow\r", b"a comma is missing before ?"),
        ("1.2.3.x-9:allow", b"a range is made of two numbers, as in 10.0.0.37-53, not of x"),
    ],
)
def test_a_line_that_is_no_rule_is_named_and_the_old_table_stays(tmp_path: Path, line: str, reason: bytes) -> None:
    compile_rules(tmp_path, PROGRAM, ":deny\n")
    before = read(f"{tmp_path}/qmail-tcprules.cdb")
    done = compile_rules(tmp_path, PROGRAM, f"1.2.3.4:allow\n#\n{line}\n:allow\n")
    assert done.returncode == 100
    assert done.stderr == b"qmail-tcprules: fatal: line 3: %s; the old rules stay\n" % reason
    assert read(f"{tmp_path}/qmail-tcprules.cdb") == before
    assert os.listdir(tmp_path) == ["qmail-tcprules.cdb"]


def test_a_rule_that_matches_nobody_is_taken_with_a_warning(tmp_path: Path) -> None:
    done = compile_rules(tmp_path, PROGRAM, '10.0.0:allow,RELAYCLIENT=""\nnothing\n:deny\n')
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        b"qmail-tcprules: warning: line 1: is no whole address, nor a prefix: that ends with a dot, or a colon in IPv6",
        b"qmail-tcprules: warning: line 2: has no colon and is ignored",
    ]


def test_ipv6_rules_are_taken(tmp_path: Path) -> None:
    rules = '::1:allow,RELAYCLIENT=""\n2001:db8:1::allow,NET="1"\n2001:db8::deny\n:allow\n'
    assert compile_rules(tmp_path, PROGRAM, rules).stderr == b""
    table = f"{tmp_path}/qmail-tcprules.cdb"
    assert (
        run(PROGRAM, "-c", table, "::1").stdout
        == b"rule ::1:\nset environment variable RELAYCLIENT=\nallow connection\n"
    )
    assert run(PROGRAM, "-c", table, "2001:db8:1::5").stdout.startswith(b"rule 2001:db8:1::\n")
    assert run(PROGRAM, "-c", table, "2001:db8::5").stdout == b"rule 2001:db8::\ndeny connection\n"
    assert run(PROGRAM, "-c", table, "2001:db9::5").stdout == b"rule :\nallow connection\n"


def test_the_sample_for_a_lan_compiles_without_a_word(tmp_path: Path) -> None:
    done = compile_rules(tmp_path, PROGRAM, read(SAMPLE))
    assert (done.returncode, done.stderr) == (0, b"")
    for ip, relays in (("127.0.0.1", True), ("::1", True), ("192.168.1.9", False), ("192.0.2.1", False)):
        said = run(PROGRAM, "-c", f"{tmp_path}/qmail-tcprules.cdb", ip).stdout
        assert (b"RELAYCLIENT" in said, b"allow connection" in said) == (relays, True)
    everything = b"\n".join(
        line.removeprefix(b"#") for line in read(SAMPLE).splitlines() if b":" in line and b" " not in line
    )
    assert compile_rules(tmp_path, PROGRAM, everything).stderr == b""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 100),
        (["x.cdb"], 100),
        (["x.cdb", "x.tmp", "y"], 100),
        (["-q", "x.cdb", "x.tmp"], 100),
        (["-c"], 100),
        (["-c", "x.cdb", "1", "2", "3", "4"], 100),
        (["-c", "/nonexistent/x.cdb", "1.2.3.4"], 111),
        (["/nonexistent/x.cdb", "/nonexistent/x.tmp"], 111),
    ],
)
def test_what_cannot_be_done_has_its_exit_code_and_a_word(words: list[str], code: int) -> None:
    done = run(PROGRAM, *words, rules=":allow\n")
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(b"qmail-tcprules: fatal: ")


def test_a_damaged_table_is_said(tmp_path: Path) -> None:
    table = write(f"{tmp_path}/x.cdb", b"no table")
    done = run(PROGRAM, "-c", table, "1.2.3.4")
    assert (done.returncode, done.stdout) == (111, b"")
