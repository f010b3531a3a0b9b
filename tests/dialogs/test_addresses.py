"""Whose an address is: a row for each rule of spec/03-pipes.md 5 and 6, through the real programs.

Section 5: qmail-newu makes users/cdb, qmail-lspawn finds the user in it, and a qmail-local of the test's prints its
words. Section 6: qmail-getpw in a machine with such accounts; where they come from is tests/privilege/test_users.py.
"""

import os
import subprocess
from pathlib import Path

import pytest

from qmailpy.wire.delivery import NARROW, Command, Report, ReportReader
from tests.local_support import joe_in
from tests.places import identity
from tests.support import NOBODY, PATH, bare_home, give, write

UID, GID = os.getuid() or NOBODY, os.getgid() or NOBODY
PROBE = '#!/bin/sh\nshift\nprintf "%s|" "$@"\n'  # what it is told: user home local dash ext domain sender default
BUG, AS_ROOT = b"ZInternal qmail-lspawn bug.\n", b"ZNot allowed to perform deliveries as root.\n"
BAD_CDB = b"ZTrouble reading users/cdb in qmail-lspawn.\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    joe_in(str(tmp_path))
    home = bare_home(f"{tmp_path}/qmail")
    for folder in (tmp_path, *tmp_path.parents):
        if os.stat(folder).st_uid == os.geteuid() and str(folder).startswith("/var/tmp/"):
            folder.chmod(0o711)
    replace(home, "qmail-local", PROBE)
    write(f"{home}/queue/mess/20/457", "Subject: x\n\n")
    return home


def replace(home: str, name: str, content: str, mode: int = 0o755) -> None:
    """A program of the administrator's own in the place of ours, with its text beside it."""
    os.unlink(f"{home}/bin/{name}")
    write(f"{home}/bin/{name}", content, mode)


def assign(home: str, text: str) -> None:
    """users/cdb of these lines; in them ME is our uid and gid."""
    write(f"{home}/users/assign", text.replace("ME", f"{UID}:{GID}") + ".\n")
    subprocess.run([f"{home}/bin/qmail-newu"], env={"PATH": PATH, "QMAILHOME": home}, check=True, capture_output=True)


def deliver(home: str, *recipients: bytes, **extra: str) -> list[bytes]:
    """What qmail-lspawn reports of each, letter and text."""
    if os.geteuid() == 0:
        give(home, UID, GID)
    commands = [Command(slot, b"20/457", b"s@x", recipient) for slot, recipient in enumerate(recipients)]
    done = subprocess.run(
        [f"{home}/bin/qmail-lspawn", "DEF"],
        input=b"".join(command.encode(NARROW) for command in commands),
        stdout=subprocess.PIPE,
        env={"PATH": f"{home}/bin:{PATH}", "QMAILHOME": home, **extra},
        check=True,
        timeout=60,
        **identity(UID, GID),
    )
    reports: list[Report] = ReportReader(wide=False).feed(done.stdout)
    return [report.letter + report.text for report in sorted(reports, key=lambda report: report.slot)]


# 5. users/cdb

TABLE = """=joe:joe:ME:/h/joe:::
+joe-:joe:ME:/h/joe:-::
+joe-list-:joe:ME:/h/joe:-:l-:
=joe-list-owner:boss:ME:/h/boss:-:o:
=twice:first:ME:/h/1:::
=twice:second:ME:/h/2:::
+LOUD:loud:ME:/h/loud:-:Pre.:
+dot.:dot:ME:/h/dot:-/::
=Upper:upper:ME:/h/upper:::
=a@b:at:ME:/h/at:::
=root:root:0:0:/root:::
=many:joe:ME:/h/joe:-:x::::ignored:
"""

# rule, local part, user|home|dash|ext
ASSIGNED = [
    ("the whole address", b"joe", b"joe|/h/joe||"),
    ("the whole address in any letter case", b"JOE", b"joe|/h/joe||"),
    ("a line in any letter case", b"upper", b"upper|/h/upper||"),
    ("the whole address beats a wildcard", b"joe-list-owner", b"boss|/h/boss|-|o"),
    ("a wildcard; the rest keeps its letters", b"Joe-Some.Thing", b"joe|/h/joe|-|Some.Thing"),
    ("a wildcard with nothing left over", b"joe-", b"joe|/h/joe|-|"),
    ("the longest wildcard, the rest after its ext", b"joe-LIST-Foo", b"joe|/h/joe|-|l-Foo"),
    ("the longest wildcard with nothing left over", b"joe-list-", b"joe|/h/joe|-|l-"),
    ("a break that is none of a longer wildcard", b"joe-list", b"joe|/h/joe|-|list"),
    ("the first of equal lines", b"twice", b"first|/h/1||"),
    ("a wildcard in capitals, ending in a letter", b"loudX", b"loud|/h/loud|-|Pre.X"),
    ("a wildcard that ends with another byte, dash -/", b"dot.x", b"dot|/h/dot|-/|x"),
    ("the domain is what follows the last @", b"a@b", b"at|/h/at||"),
    ("what follows the seventh colon is nothing", b"many", b"joe|/h/joe|-|x"),
]


def test_every_rule_of_the_table(home: str) -> None:
    assign(home, TABLE)
    for extra in ({}, {"QMAILEXEC": "1"}):
        reports = deliver(home, *(local + b"@x.example" for _, local, _ in ASSIGNED), **extra)
        for (rule, local, expected), report in zip(ASSIGNED, reports, strict=True):
            user, folder, dash, ext = expected.split(b"|")
            words = b"|".join((user, folder, local, dash, ext, b"x.example", b"s@x", b"DEF", b""))
            assert report == b"K" + words, rule


@pytest.mark.parametrize("local", [b"other", b"jo", b"twicex", b"joex-y", b"-", b"\xff"])
def test_what_no_line_fits_is_asked_of_the_accounts(home: str, local: bytes) -> None:
    assign(home, TABLE)
    (report,) = deliver(home, local + b"@x.example")
    assert report.startswith(f"Kalias|{home}/alias|".encode() + local + b"|-|" + local + b"|"), report


def test_an_empty_wildcard_takes_everything_and_nobody_else_is_asked(home: str) -> None:
    assign(home, "=joe:joe:ME:/h/joe:::\n+:all:ME:/h/all:-:p-:\n")
    replace(home, "qmail-getpw", "#!/bin/sh\nexit 118\n")
    reports = deliver(home, b"joe@x", b"Any.Body@x", b"joe-x@x")
    assert [report.split(b"|")[:5] for report in reports] == [
        [b"Kjoe", b"/h/joe", b"joe", b"", b""],
        [b"Kall", b"/h/all", b"Any.Body", b"-", b"p-Any.Body"],
        [b"Kall", b"/h/all", b"joe-x", b"-", b"p-joe-x"],
    ]


def test_the_trash_address_is_delivered_to_nobody(home: str) -> None:
    assign(home, "+:all:ME:/h/all:-::\n")
    assert deliver(home, b"@x.example") == [b"K"]


def test_an_assignment_to_root_waits(home: str) -> None:
    assign(home, TABLE)
    assert deliver(home, b"root@x") == [AS_ROOT]


@pytest.mark.parametrize(
    "line",
    [
        "=joe:joe:x:1:/h:::",
        "=joe:joe:1::/h:::",
        "=joe:joe:-1:1:/h:::",
        "=joe:joe:1 :1:/h:::",
        "=joe:joe:4294967295:1:/h:::",
        "=joe:joe:99999999999:1:/h:::",
        "=joe:joe:1:1:h:::",
        "=joe:joe:1:1::::",
    ],
)
def test_an_assignment_that_is_no_users_waits(home: str, line: str) -> None:
    assign(home, line + "\n")
    assert deliver(home, b"joe@x") == [BUG]


def test_an_entry_with_too_few_fields_waits(home: str) -> None:
    """No qmail-newu writes one; whatever else may have."""
    assign(home, "=joe:joe:ME:/h/joe:::\n")
    path = f"{home}/users/cdb"
    with open(path, "rb") as file:
        content = file.read()
    write(path, content.replace(b"/h/joe\0\0", b"/h/joe::"))
    assert deliver(home, b"joe@x") == [BUG]


@pytest.mark.parametrize("damage", ["empty", "cut", "zeros", "no wildcards", "directory", "unreadable", "loop", "fifo"])
def test_a_table_that_cannot_be_read_is_not_a_missing_one(home: str, damage: str) -> None:
    assign(home, TABLE)
    path = f"{home}/users/cdb"
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    if damage == "directory":
        os.mkdir(path)
    elif damage == "loop":
        os.symlink("cdb", path)
    elif damage == "fifo":
        os.mkfifo(path)
    else:
        damaged = {
            "empty": b"",
            "cut": content[:2100],
            "zeros": bytes(2048),
            "no wildcards": content.replace(b"\0\0\0\0\x03\0\0\0-d.", b"\1\0\0\0\2\0\0\0-d."),
        }
        write(path, damaged.get(damage, content), 0o000 if damage == "unreadable" else 0o644)
        assert damage == "unreadable" or damaged[damage] != content
    assert deliver(home, b"joe@x", b"other@x") == [BAD_CDB, BAD_CDB]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (r"printf '%s\0' u UID GID /h - e", b"Ku|/h|Some-Body|-|e|x|s@x|DEF|"),
        (r"""printf '%s\0' u UID GID /h - "$1" """, b"Ku|/h|Some-Body|-|Some-Body|x|s@x|DEF|"),
        (r"printf '%s\0' u UID GID /h -", BUG),
        (r"printf '%s\0' u UID GID /h - e more", BUG),
        (r"printf '%s\0' u UID GID /h -; printf e", BUG),
        (r"printf '%s\0' u root GID /h - e", BUG),
        (r"printf '%s\0' root 0 0 /root '' ''", AS_ROOT),
        ("exit 0", BUG),
        ("exit 100", b"D"),
        ("exit 111", b"Z"),
        ("exit 115", b"ZNFS failure in qmail-local.\n"),
        ("exit 116", b"ZUnable to find alias user!\n"),
        ("exit 118", b"ZTemporary failure in qmail-lspawn.\n"),
        ("kill -9 $$", BUG),
    ],
)
def test_a_qmail_getpw_of_the_administrators_own_is_asked_with_the_letters_as_they_are(
    home: str, script: str, expected: bytes
) -> None:
    replace(home, "qmail-getpw", "#!/bin/sh\n" + script.replace("UID", str(UID)).replace("GID", str(GID)) + "\n")
    assert deliver(home, b"Some-Body@x") == [expected]


def test_a_qmail_getpw_that_cannot_be_run_waits(home: str) -> None:
    replace(home, "qmail-getpw", "#!/nowhere/sh\n")
    assert deliver(home, b"joe@x") == [b"ZUnable to run qmail-getpw.\n"]


def test_a_qmail_local_that_cannot_be_run_waits(home: str) -> None:
    """Where C bounces: PIC/decisions/differences.md."""
    replace(home, "qmail-local", "#!/nowhere/sh\n")
    assign(home, TABLE)
    assert deliver(home, b"joe@x") == [b"ZUnable to run qmail-local.\n"]


# 6. accounts

LONG = "l" * 31
# name, uid (ME: ours, whose the homes are), home
ACCOUNTS = [
    ("root", "0", "/root"),
    ("zero", "0", "HOMES/joe"),
    ("joe", "ME", "HOMES/joe"),
    ("joe-work", "ME", "HOMES/work"),
    ("trailing-", "ME", "HOMES/joe"),
    ("dot.ted", "ME", "HOMES/joe"),
    ("homeless", "ME", "HOMES/none"),
    ("under", "ME", "HOMES/file/none"),
    ("thief", "ME1", "HOMES/joe"),
    ("linked", "ME", "HOMES/link"),
    ("dangling", "ME", "HOMES/dangling"),
    ("relative", "ME", "joe"),
    ("Capital", "ME", "HOMES/joe"),
    (LONG, "ME", "HOMES/joe"),
    (LONG + "x", "ME", "HOMES/joe"),
    ("alias", "ME", "HOMES/alias"),
]
# rule, local part, user|dash|ext
FOUND = [
    ("the whole name", b"joe", b"joe||"),
    ("in any letter case", b"JoE", b"joe||"),
    ("a break, the rest in its own letters", b"Joe-Foo-Bar", b"joe|-|Foo-Bar"),
    ("a break and nothing after it", b"joe-", b"joe|-|"),
    ("two breaks", b"joe--x", b"joe|-|-x"),
    ("the longest name wins", b"joe-work-x", b"joe-work|-|x"),
    ("the longest name, whole", b"JOE-Work", b"joe-work||"),
    ("a name that only begins like one", b"joe-worker", b"joe|-|worker"),
    ("only the break breaks", b"joe.work", b"alias|-|joe.work"),
    ("a name with a dot", b"Dot.Ted-x", b"dot.ted|-|x"),
    ("a name that ends with the break", b"trailing-", b"trailing-||"),
    ("nobody has the empty name", b"-x", b"alias|-|-x"),
    ("root never", b"root", b"alias|-|root"),
    ("root's extensions never", b"Root-x", b"alias|-|Root-x"),
    ("uid 0 by another name never", b"zero", b"alias|-|zero"),
    ("a home that does not exist", b"homeless", b"alias|-|homeless"),
    ("a home below a file", b"under-x", b"alias|-|under-x"),
    ("a home that is somebody else's", b"thief", b"alias|-|thief"),
    ("a home that is a link", b"linked", b"linked||"),
    ("a home that is a link to nothing", b"dangling", b"alias|-|dangling"),
    ("a home that is no absolute path", b"relative", b"alias|-|relative"),
    ("an account in capitals is never asked for", b"Capital", b"alias|-|Capital"),
    ("a name of 31 bytes", LONG.encode(), LONG.encode() + b"||"),
    ("a name of 31 bytes, extended", LONG.encode() + b"-x", LONG.encode() + b"|-|x"),
    ("a name of 32 bytes is nobody's", LONG.encode() + b"x", b"alias|-|" + LONG.encode() + b"x"),
    ("a name of 32 bytes, extended", LONG.encode() + b"x-y", b"alias|-|" + LONG.encode() + b"x-y"),
    ("alias is an account like another", b"alias", b"alias||"),
    ("alias' extensions", b"alias-Help", b"alias|-|Help"),
    ("nobody's", b"Help", b"alias|-|Help"),
    ("nobody's, with breaks", b"no-such-Name", b"alias|-|no-such-Name"),
    ("any bytes", b"\xff\x01;id\n", b"alias|-|\xff\x01;id\n"),
    ("the empty address", b"", b"alias|-|"),
    ("no path", b"../joe", b"alias|-|../joe"),
    ("a very long address", b"x" * 2000, b"alias|-|" + b"x" * 2000),
]


@pytest.fixture
def machine(tmp_path: Path, home: str) -> str:
    """A machine with these accounts, and a home that lives the classic way."""
    os.unlink(f"{home}/control/embedded")
    homes = tmp_path / "homes"
    for name in ("joe", "work", "alias"):
        (homes / name).mkdir(parents=True)
    (homes / "file").touch()
    os.symlink("joe", homes / "link")
    os.symlink("nowhere", homes / "dangling")
    give(str(homes), UID, GID)
    uids = {"ME": UID, "ME1": UID + 1}
    lines = [
        f"{name}:x:{uids.get(uid, uid)}:{GID}::{folder.replace('HOMES', str(homes))}:/bin/sh\n"
        for name, uid, folder in ACCOUNTS
    ]
    write("/etc/passwd", "".join(lines))
    return home


def getpw(home: str, local: bytes) -> tuple[int, bytes]:
    done = subprocess.run(
        [f"{home}/bin/qmail-getpw".encode(), local],
        env={"PATH": PATH, "QMAILHOME": home},
        capture_output=True,
        check=False,
        **identity(UID, GID),
    )
    return done.returncode, done.stdout


@pytest.mark.root
def test_every_rule_of_qmail_getpw(machine: str, tmp_path: Path) -> None:
    homes = {name: folder.replace("HOMES", f"{tmp_path}/homes").encode() for name, _, folder in ACCOUNTS}
    for rule, local, expected in FOUND:
        name, dash, ext = expected.split(b"|", 2)
        fields = b"%s\0%d\0%d\0%s\0%s\0%s\0" % (name, UID, GID, homes[name.decode()], dash, ext)
        assert getpw(machine, local) == (0, fields), rule


@pytest.mark.root
def test_without_alias_it_is_116_for_strangers_only(machine: str) -> None:
    with open("/etc/passwd", encoding="ascii") as file:
        lines = [line for line in file if not line.startswith("alias:")]
    write("/etc/passwd", "".join(lines))
    assert getpw(machine, b"help") == (116, b"")
    assert getpw(machine, b"root") == (116, b"")
    assert getpw(machine, b"joe-x")[0] == 0
