"""The real qmail-pw2u: accounts in, lines for users/assign out (spec/08-control.md 4)."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.neighbours import needs
from tests.support import CHECKOUT, NOBODY, PATH, write

PROGRAM = f"{CHECKOUT}/bin/qmail-pw2u"
UID = os.getuid() or NOBODY
OTHER = UID + 1
ALIAS_U, JOE_U = "alias:7:8:/a", "joe:60001:60001:/home/joe"
ALIAS = f"+:{ALIAS_U}:-::\n=alias:{ALIAS_U}:::\n+alias-:{ALIAS_U}:-::\n"
JOE = f"=joe:{JOE_U}:::\n+joe-:{JOE_U}:-::\n"
PASSWD = """root:x:0:0:root:/root:/bin/bash
alias:x:7:8::/a:/bin/false
joe:x:60001:60001:Joe,,,:/home/joe:/bin/sh
Ann:x:60002:60002:Ann:/home/ann:/bin/sh
+::::::
"""


class Run:
    def __init__(self, home: Path, *options: str, passwd: str = PASSWD) -> None:
        done = subprocess.run(
            [PROGRAM, *options],
            input=passwd.encode(),
            env={"PATH": PATH, "QMAILHOME": str(home)},
            capture_output=True,
            check=False,
        )
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()

    def prints(self, text: str) -> None:
        assert (self.code, self.out, self.err) == (0, text + ".\n", "")

    def fails(self, text: str, code: int = 111) -> None:
        assert (self.code, self.err) == (code, text)
        assert not self.out.endswith(".\n"), "what was printed must be no table"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "users").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-H"], ALIAS + JOE),
        (["-HU"], ALIAS + JOE),
        (["-uH"], ALIAS + JOE + "=Ann:Ann:60002:60002:/home/ann:::\n+Ann-:Ann:60002:60002:/home/ann:-::\n"),
        (["-uHU"], ALIAS + JOE),  # the last of two opposites counts
        (["-H", "-c."], ALIAS.replace("alias-:", "alias.:") + JOE.replace("joe-:", "joe.:")),
        (["-Hc", "+"], ALIAS.replace("alias-:", "alias+:") + JOE.replace("joe-:", "joe+:")),
        (["-HC"], f"+:{ALIAS_U}:-::\n=alias:{ALIAS_U}:::\n=joe:{JOE_U}:::\n"),
        (["-H/"], ALIAS.replace(":-:", ":-/:") + JOE.replace(":-:", ":-/:")),
        (["-H", "--", "-C"], ALIAS + JOE),
    ],
)
def test_every_option(home: Path, options: list[str], expected: str) -> None:
    Run(home, *options).prints(expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-x"], "illegal option -- x"),
        (["-Hc"], "option requires an argument -- c"),
        (["-Hc", "ab"], "a delimiter is one character, and no colon"),
        (["-Hc:"], "a delimiter is one character, and no colon"),
    ],
)
def test_an_option_that_it_does_not_know_is_100(home: Path, options: list[str], words: str) -> None:
    Run(home, *options).fails(f"qmail-pw2u: {words}\nqmail-pw2u: usage: qmail-pw2u [ -/ohHuUC ] [ -cCHAR ]\n", 100)


# the files in users/


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"include": "alias\nJOE\n"}, ALIAS + JOE),
        ({"include": "alias\n# joe\n"}, ALIAS),
        ({"exclude": "joe\nnobody\n"}, ALIAS),
        ({"exclude": ""}, ALIAS + JOE),
        ({"mailnames": "joe:j.doe:joe:Joseph\n"}, ALIAS + JOE.replace("=joe:", "=j.doe:").replace("+joe-", "+j.doe-")
         + JOE + JOE.replace("=joe:", "=Joseph:").replace("+joe-", "+Joseph-")),
        ({"mailnames": "joe:hidden\n"}, ALIAS + JOE.replace("=joe:", "=hidden:").replace("+joe-", "+hidden-")),
        ({"mailnames": "joe:\nnothing\n"}, ALIAS),
        ({"subusers": "sales:joe:s:\n\n# none\n"},
         ALIAS + JOE + f"=sales:{JOE_U}:-:s:\n+sales-:{JOE_U}:-:s-:\n"),
        ({"subusers": "sales:alias:s:"}, ALIAS + JOE + f"=sales:{ALIAS_U}:-:s:\n+sales-:{ALIAS_U}:-:s-:\n"),
        ({"append": "=extra:joe:1:2:/h:::\n"}, ALIAS + JOE + "=extra:joe:1:2:/h:::\n"),
        ({"append": "=extra:joe:1:2:/h:::"}, ALIAS + JOE + "=extra:joe:1:2:/h:::\n"),
        ({"subusers": "s:joe:s:\n", "append": "+x-:y:1:2:/h:-::\n", "exclude": "ann"},
         ALIAS + JOE + f"=s:{JOE_U}:-:s:\n+s-:{JOE_U}:-:s-:\n+x-:y:1:2:/h:-::\n"),
    ],
)  # fmt: skip
def test_every_file(home: Path, files: dict[str, str], expected: str) -> None:
    for name, content in files.items():
        write(f"{home}/users/{name}", content)
    Run(home, "-H").prints(expected)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"include": ""}, "unable to find alias user"),
        ({"exclude": "alias\n"}, "unable to find alias user"),
        ({"subusers": "sales:nobody:s:\n"}, "unable to find nobody user for subuser"),
        ({"subusers": "sales:joe:s:\n", "exclude": "joe\n"}, "unable to find joe user for subuser"),
        ({"subusers": "# one\nsales:joe\n"}, "bad format in users/subusers: line 2"),
    ],
)
def test_what_is_missing_is_said_and_the_table_has_no_end(home: Path, files: dict[str, str], words: str) -> None:
    for name, content in files.items():
        write(f"{home}/users/{name}", content)
    Run(home, "-H").fails(f"qmail-pw2u: fatal: {words}\n")


@pytest.mark.parametrize("name", ["include", "exclude", "mailnames", "subusers", "append"])
def test_a_file_that_cannot_be_read_is_not_a_missing_one(home: Path, name: str) -> None:
    os.mkdir(f"{home}/users/{name}")
    Run(home, "-H").fails(f"qmail-pw2u: fatal: unable to read users/{name}: is a directory\n")


def test_without_a_home_it_says_so(home: Path) -> None:
    Run(home / "none", "-H").fails("qmail-pw2u: fatal: unable to chdir: file does not exist\n")


# homes


@pytest.fixture
def machine(home: Path) -> str:
    """Accounts, by what is the matter with their homes; as lines of passwd."""
    homes = home / "homes"
    for name in ("alias", "joe", "thief"):
        (homes / name).mkdir(parents=True)
        if os.getuid() == 0:
            os.chown(homes / name, UID, UID)
    os.symlink("joe", homes / "linked")
    owners = {"alias": UID, "joe": UID, "linked": UID, "thief": OTHER, "homeless": UID}
    return "".join(f"{name}:x:{uid}:{uid}::{homes}/{name}:/bin/sh\n" for name, uid in owners.items())


def names(text: str) -> list[str]:
    return [line[1:].partition(":")[0] for line in text.splitlines() if line.startswith("=")]


def test_homes_that_are_missing_or_somebody_elses_are_passed_over(home: Path, machine: str) -> None:
    for options in ([], ["-o"], ["-Ho"]):
        done = Run(home, *options, passwd=machine)
        assert (done.code, done.err, names(done.out)) == (0, "", ["alias", "joe", "linked"])


def test_a_home_on_a_server_that_is_away_stops_it(home: Path, machine: str, tmp_path: Path) -> None:
    """Nobody becomes a stranger by it.  ESTALE comes from strace, as a file server would give it."""
    needs("strace")
    words = ["strace", "-f", "-o", "/dev/null", "-P", f"{home}/homes/joe"]
    words += ["-e", "inject=newfstatat,stat,statx:error=ESTALE", PROGRAM]
    done = subprocess.run(
        words, input=machine.encode(), env={"PATH": PATH, "QMAILHOME": str(home)}, capture_output=True, check=False
    )
    assert done.returncode == 111
    assert done.stderr == f"qmail-pw2u: fatal: unable to stat {tmp_path}/homes/joe: stale NFS file handle\n".encode()


def test_h_stops_at_a_home_that_is_missing(home: Path, machine: str) -> None:
    Run(home, "-h", passwd=machine).fails(
        f"qmail-pw2u: fatal: unable to stat {home}/homes/homeless: file does not exist\n"
    )
    (home / "homes" / "homeless").mkdir()
    done = Run(home, "-h", passwd=machine)
    expected = ["alias", "joe", "linked"] + (["homeless"] if os.getuid() else [])
    assert (done.code, done.err, names(done.out)) == (0, "", expected)


def test_capital_h_asks_nobody(home: Path, machine: str) -> None:
    assert names(Run(home, "-H", passwd=machine).out) == ["alias", "joe", "linked", "thief", "homeless"]


def test_a_hundred_thousand_accounts_are_read_as_they_come(home: Path) -> None:
    many = "".join(f"u{number}:x:{number}:1::/h/{number}:\n" for number in range(1, 100001))
    done = Run(home, "-H", passwd=PASSWD + many + "x" * 10_000_000 + "\n")
    assert done.code == 0
    assert done.out.count("\n") == 5 + 200000 + 1


def test_its_output_is_what_qmail_newu_takes(home: Path) -> None:
    write(f"{home}/users/assign", Run(home, "-Hu").out)
    done = subprocess.run(
        [f"{CHECKOUT}/bin/qmail-newu"], env={"PATH": PATH, "QMAILHOME": str(home)}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_nobody_who_takes_the_output_is_111(home: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {PROGRAM} -H > /dev/full"],
        input=PASSWD.encode(),
        env={"PATH": PATH, "QMAILHOME": str(home)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (111, b"qmail-pw2u: fatal: unable to write: out of disk space\n")
