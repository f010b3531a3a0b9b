"""spec/05-local.md as a table: a row for each of its rules, obeyed by the real qmail-local.

A row: the rule's section; files of the home (name -> content, or content and mode); words of the command line that
differ; the message; what comes out. Where a rule needs more than a row its tests are in test_qmail_local.py (programs,
forwards), test_qmail_local_hostile.py (disks), tests/unit/disk (locks, names) and tests/crash (kills).
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.support import RecordingQueue

Row = tuple[str, dict[str, Any], dict[str, bytes], bytes, int, str, str]
OK, TEMP, PERM = 0, 111, 100
NO_BOX = "Sorry, no mailbox here by that name. (#5.1.1)\n"
LOOP = "This message is looping: it already has my Delivered-To line. (#5.4.6)\n"
BLANK = "Uh-oh: first line of .qmail file is blank. (#4.2.1)\n"
X_FILE = "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)\n"
X_PROG = "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)\n"
WRITABLE = "Uh-oh: .qmail file is writable. (#4.7.0)\n"
SHOWN = "mbox ./Mailbox\ndid 1+0+0\n"


def ext(extension: bytes, dash: bytes = b"-", local: bytes = b"") -> dict[str, bytes]:
    return {"local": local or b"joe" + dash + extension, "dash": dash, "ext": extension}


def ending(code: int, verdict: int) -> Row:
    return (f"5 exit {code}", {".qmail": f"|echo no; exit {code}\n./M\n"}, {}, MESSAGE, verdict, "no\n", "")


def echo(*names: str) -> str:
    return "|printf '%s,' " + " ".join(f'"${name}"' for name in names) + "; echo\n"


ROWS: list[Row] = [
    # section, files, words, message, exit code, output, errors
    ("2 EXT", {".qmail-default": echo("EXT", "EXT2", "EXT3", "EXT4")}, ext(b"a-b-c-d-e"), MESSAGE, OK,
     "a-b-c-d-e,b-c-d-e,c-d-e,d-e,\ndid 0+0+1\n", ""),
    ("2 EXT, few", {".qmail-default": echo("EXT", "EXT2", "EXT3", "EXT4")}, ext(b"a-b"), MESSAGE, OK,
     "a-b,b,,,\ndid 0+0+1\n", ""),
    ("2 HOST", {".qmail": echo("HOST", "HOST2", "HOST3", "HOST4")}, {}, MESSAGE, OK,
     "example.org,example,example,example,\ndid 0+0+1\n", ""),
    ("2 addresses", {".qmail": echo("USER", "LOCAL", "RECIPIENT", "SENDER", "NEWSENDER")}, {}, MESSAGE, OK,
     "joe,joe,joe@example.org,a@b.org,a@b.org,\ndid 0+0+1\n", ""),
    ("2 DTLINE, LF", {".qmail-default": echo("DTLINE")}, ext(b"x\ny"), MESSAGE, OK,
     "Delivered-To: joe-x_y@example.org\n,\ndid 0+0+1\n", ""),
    ("2 RPLINE, quoted", {".qmail": echo("RPLINE")}, {"sender": b"a b@c"}, MESSAGE, OK,
     'Return-Path: <"a b"@c>\n,\ndid 0+0+1\n', ""),
    ("2 UFLINE, no sender", {".qmail": "|echo ${UFLINE%% [A-Z][a-z][a-z] *}\n"}, {"sender": b""}, MESSAGE, OK,
     "From MAILER-DAEMON\ndid 0+0+1\n", ""),
    ("2 UFLINE, blanks", {".qmail": '|echo "${UFLINE%% [A-Z][a-z][a-z] *}"\n'}, {"sender": b"a b\tc\nd@e"}, MESSAGE, OK,
     "From a-b-c-d@e\ndid 0+0+1\n", ""),
    ("3 loop", {}, {}, DTLINE + MESSAGE, PERM, "", LOOP),
    ("3 other case", {}, {}, DTLINE.replace(b"joe", b"Joe") + MESSAGE, OK, "did 1+0+0\n", ""),
    ("3 body", {}, {}, MESSAGE + DTLINE, OK, "did 1+0+0\n", ""),
    ("3 unterminated", {}, {}, DTLINE[:-1], OK, "did 1+0+0\n", ""),
    ("4.1 its own file", {".qmail-a-b": "|echo own\n", ".qmail-default": "|echo no\n"}, ext(b"A-B"), MESSAGE, OK,
     "own\ndid 0+0+1\n", ""),
    ("4.2 nearest default", {".qmail-a-default": echo("DEFAULT"), ".qmail-default": "|echo no\n"}, ext(b"A-b.C"),
     MESSAGE, OK, "b.C,\ndid 0+0+1\n", ""),
    ("4.2 last default", {".qmail-default": echo("DEFAULT")}, ext(b"A-b.C"), MESSAGE, OK, "A-b.C,\ndid 0+0+1\n", ""),
    ("4.1 the file named default", {".qmail-x-default": echo("DEFAULT")}, ext(b"x-Default"), MESSAGE, OK,
     "Default,\ndid 0+0+1\n", ""),
    ("4 dots", {".qmail-a:b": "|echo colon\n", ".qmail-a.b": "|echo dot\n"}, ext(b"a.b"), MESSAGE, OK,
     "colon\ndid 0+0+1\n", ""),
    ("4 trailing dash", {".qmail-a-": "|echo own\n"}, ext(b"a-"), MESSAGE, OK, "own\ndid 0+0+1\n", ""),
    ("4 no dash", {".qmaildefault": "|echo odd\n"}, {}, MESSAGE, OK, "odd\ndid 0+0+1\n", ""),
    ("4 other dash", {".qmail-/a": "|echo sub\n"}, ext(b"a", b"-/"), MESSAGE, OK, "sub\ndid 0+0+1\n", ""),
    ("4 nothing, dash", {".qmail": "|echo no\n"}, ext(b"a"), MESSAGE, PERM, "", NO_BOX),
    ("4 nothing, no dash", {}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("4 unreadable", {".qmail": ("#\n", 0)}, {}, MESSAGE, TEMP, "", "Unable to open .qmail: access denied. (#4.3.0)\n"),
    ("4 writable", {".qmail": ("#\n", 0o602)}, {}, MESSAGE, TEMP, "", WRITABLE),
    ("4 group may write", {".qmail": ("#\n", 0o660)}, {}, MESSAGE, OK, "did 0+0+0\n", ""),
    ("5 empty", {".qmail": ""}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("5 empty, x bit", {".qmail": ("", 0o700)}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("5 no last LF", {".qmail": "|echo hi"}, {}, MESSAGE, OK, "hi\ndid 0+0+1\n", ""),
    ("5 trailing blanks", {".qmail": "./Other \t \n"}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("5 blank first line", {".qmail": "\n./Mailbox\n"}, {}, MESSAGE, TEMP, "", BLANK),
    ("5 blank later lines", {".qmail": "#\n\n \t\n./Mailbox\n"}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("5 comment", {".qmail": "# ./Mailbox\n"}, {}, MESSAGE, OK, "did 0+0+0\n", ""),
    ("5 Maildir", {".qmail": "./Maildir/\n"}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("5 x bit, file", {".qmail": ("./Mailbox\n", 0o700)}, {}, MESSAGE, TEMP, "", X_FILE),
    ("5 x bit, program", {".qmail": ("|true\n", 0o700)}, {}, MESSAGE, TEMP, "", X_PROG),
    ("5 +list, file", {".qmail": "+list\n./Mailbox\n"}, {}, MESSAGE, TEMP, "", X_FILE),
    ("5 +list, from here on", {".qmail": "./Mailbox\n+list\n#\n"}, {}, MESSAGE, OK, "did 1+0+0\n", ""),
    ("5 +other", {".qmail": "+other\n|echo hi\n"}, {}, MESSAGE, OK, "hi\ndid 0+0+1\n", ""),
    ("5 program, not trimmed", {".qmail": "|  echo hi\n"}, {}, MESSAGE, OK, "hi\ndid 0+0+1\n", ""),
    ("5 order", {".qmail": "|echo 1\n./Mailbox\n|cat Mailbox | wc -l\n"}, {}, b"", OK, "1\n4\ndid 1+0+2\n", ""),
    ("5 99", {".qmail": "|exit 99\n|echo no\n"}, {}, MESSAGE, OK, "did 0+0+1\n", ""),
    *(ending(code, PERM) for code in (100, 64, 65, 70, 76, 77, 78, 112)),
    *(ending(code, TEMP) for code in (111, 1, 2, 66, 71, 73, 74, 75, 127, 255)),
    ("5 killed", {".qmail": "|kill -9 $$\n"}, {}, MESSAGE, TEMP, "", "Aack, child crashed. (#4.3.0)\n"),
    ("5 no Maildir", {".qmail": "./None/\n"}, {}, MESSAGE, TEMP, "", "Unable to chdir to maildir. (#4.2.1)\n"),
    ("5 no mbox", {".qmail": "./None/x\n"}, {}, MESSAGE, TEMP, "",
     "Unable to open ./None/x: file does not exist. (#4.2.1)\n"),
    ("6 forward", {".qmail": "&a@b\nc\n"}, {}, MESSAGE, OK, "did 0+2+0\nqp N\n", ""),
    ("6 a failing line", {".qmail": "&a@b\n|exit 1\n"}, {}, MESSAGE, TEMP, "", ""),
    ("6 owner", {".qmail-l": "|echo $NEWSENDER\n", ".qmail-l-owner": ""}, ext(b"L"), MESSAGE, OK,
     "joe-L-owner@example.org\ndid 0+0+1\n", ""),
    ("6 owner-default", {".qmail-l": "|echo $NEWSENDER\n", ".qmail-l-owner": "", ".qmail-l-owner-default": ""},
     ext(b"L"), MESSAGE, OK, "joe-L-owner-@example.org-@[]\ndid 0+0+1\n", ""),
    ("6 owner-default alone", {".qmail-l": "|echo $NEWSENDER\n", ".qmail-l-owner-default": ""}, ext(b"l"), MESSAGE, OK,
     "a@b.org\ndid 0+0+1\n", ""),
    ("6 a bounce", {".qmail-l": '|echo "<$NEWSENDER>"\n', ".qmail-l-owner": ""}, ext(b"l") | {"sender": b""}, MESSAGE,
     OK, "<>\ndid 0+0+1\n", ""),
    ("6 a double bounce", {".qmail-l": "|echo $NEWSENDER\n", ".qmail-l-owner": ""}, ext(b"l") | {"sender": b"#@[]"},
     MESSAGE, OK, "#@[]\ndid 0+0+1\n", ""),
    ("6 owner of the whole extension", {".qmail-default": "|echo $NEWSENDER\n", ".qmail-owner": ""}, ext(b"l"), MESSAGE,
     OK, "a@b.org\ndid 0+0+1\n", ""),
    ("7 counts", {".qmail": "./Maildir/\n./Mailbox\n|true\n&a@b\n#\n&c@d\n"}, {}, MESSAGE, OK, "did 2+2+1\nqp N\n", ""),
    ("9 thrown away", {".qmail": "#"}, {}, MESSAGE, OK, "did 0+0+0\n", ""),
]  # fmt: skip


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    joe = joe_in(str(tmp_path))
    joe.maildir()
    joe.environment.update(RecordingQueue(f"{tmp_path}/queued").environment)
    return joe


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_rule_is_obeyed(joe: Joe, row: Row) -> None:
    _, files, words, message, code, out, err = row
    for name, content in files.items():
        if "/" in name:
            joe.mkdir(os.path.dirname(name))
        text, mode = content if isinstance(content, tuple) else (content, 0o600)
        joe.put(name, text, mode)
    done = joe.run(joe.argv(**words), message)
    said = done.out.decode()
    if "\nqp " in said:
        said = said[: said.index("\nqp ") + 4] + "N\n"
    assert Done(done.code, said.encode(), done.err) == Done(code, out.encode(), err.encode())


@pytest.mark.parametrize(
    ("mode", "code", "err"),
    [
        (0o700, OK, ""),
        (0o775, OK, ""),
        (0o702, TEMP, "Uh-oh: home directory is writable. (#4.7.0)\n"),
        (0o1700, TEMP, "Home directory is sticky: user is editing his .qmail file. (#4.2.1)\n"),
    ],
)
def test_the_home_is_looked_at_first(joe: Joe, mode: int, code: int, err: str) -> None:
    os.chmod(joe.home, mode)
    done = joe.run(joe.argv())
    assert (done.code, done.err.decode()) == (code, err)


def test_no_more_processes_defers(joe: Joe) -> None:
    joe.put(".qmail", "|true\n")
    done = joe.run(joe.argv(), limits="ulimit -p 0")
    assert done == Done(TEMP, b"", b"Unable to fork: temporary failure. (#4.3.0)\n")


def test_n_only_shows(joe: Joe) -> None:
    assert joe.run(joe.argv("-n")) == Done(OK, SHOWN.encode(), b"")
    assert sorted(os.listdir(joe.home)) == ["Maildir"]
