"""qmail-explain beside the qmail-local whose work it explains: what it says of a .qmail is what -n would do."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from qmailpy.skeletons import default_delivery
from qmailpy.skeletons.explained_home import USUAL_WORDS
from tests.explain_support import DEFAULT, Explained
from tests.places import embedded
from tests.support import DOMAIN


@pytest.fixture
def explained(tmp_path: Path) -> Explained:
    return Explained(str(tmp_path))


FILES: dict[str, tuple[str | bytes, int]] = {
    "home/.qmail": ("./Mailbox\n&ann@example.net\n|vacation joe\n/var/mail/joe\n", 0o644),
    "home/.qmail-empty": ("", 0o644),
    "home/.qmail-nothing": ("#\n", 0o644),
    "home/.qmail-blank": ("\n./Mailbox\n", 0o644),
    "home/.qmail-x": ("&ann@example.net\n./Mailbox\n", 0o744),
    "home/.qmail-list": ("+list\nann@example.net\n|id\n", 0o644),
    "home/.qmail-open": ("./Mailbox\n", 0o666),
    "home/.qmail-crlf": (b"./Mailbox\r\n", 0o644),
    "home/.qmail-nul": (b"&ann@example.net\0x\n", 0o644),
    "home/.qmail-a-default": ("&a@example.net", 0o644),
    "home/.qmail-many": ("".join(f"&m{number}@example.net\n" for number in range(3000)), 0o644),
    "alias/.qmail-john:doe": ("&john@example.net\n", 0o644),
    "alias/.qmail-help": ("|forward ann@example.net\n", 0o644),
}
BOXES = ["{}", "{}-empty", "{}-nothing", "{}-blank", "{}-x", "{}-list", "{}-open", "{}-crlf", "{}-nul", "{}-a-B.c"]
BOXES += ["{}-many", "{}-A-default", "{}-none", "John.Doe", "help", "nobody-at-all", "..", "a-b-", '"odd"', "sp ace"]


@pytest.mark.parametrize("box", BOXES)
def test_each_instruction_is_what_qmail_local_would_do(explained: Explained, box: str) -> None:
    for path, (text, mode) in FILES.items():
        explained.put(path, text, mode)
    address = f"{box.format(explained.user)}@{DOMAIN}"
    steps = explained.steps(address)
    code, lines = explained.local(address)
    inner = [(kind, text) for depth, kind, text in steps if depth == 1]
    told = []
    for kind, text in inner:
        if kind == "delivers":
            told.append(text)
        elif kind in ("runs", "line"):
            told.append("program " + text.removeprefix("|"))
        elif kind == "to":
            told.append("forward " + text)
        elif kind in ("bounces", "waits"):
            told.append(text)
    assert told == [line for line in lines if not line.startswith("did ")]
    kinds = {kind for kind, _ in inner}
    assert ("bounces" in kinds, "waits" in kinds) == (code == 100, code == 111)


def test_the_candidates_are_listed(explained: Explained) -> None:
    explained.put("home/.qmail-a-default", "./Box\n")
    os.mkdir(f"{explained.home}/home/.qmail-a-b-c")
    assert [text for _, kind, text in explained.steps(f"{explained.user}-a-b-c@{DOMAIN}") if kind == "file"] == [
        ".qmail-a-b-c: no regular file",
        ".qmail-a-b-default: absent",
        ".qmail-a-default",
    ]


def test_a_name_without_a_host_goes_where_sendmail_would_send_it(explained: Explained) -> None:
    explained.put("control/defaulthost", "example.org\n")
    explained.put("control/envnoathost", "elsewhere.example\n")
    explained.put("control/locals", "")
    lines = explained.text("root")
    assert lines[:3] == ["root", "  domain: root is completed to root@example.org", "  remote: example.org"]


def test_it_names_the_file_and_the_line_that_decided(explained: Explained) -> None:
    explained.put("control/locals", f"#x\n{DOMAIN}\n")
    explained.put("control/virtualdomains", "virt.example:old\n# no\nvirt.example:alias-v\n.sub.example:\n:\n")
    explained.put("control/percenthack", "hack.example\n")
    lines = explained.text(f"x%{DOMAIN.upper()}@hack.example", "x@virt.example", "y@a.sub.example", "z@b.c", code=100)
    assert f"  domain: x%{DOMAIN.upper()}@hack.example is completed to x@{DOMAIN.upper()}" in lines
    assert f"  domain: control/locals line 2: {DOMAIN}" in lines
    assert "  domain: control/virtualdomains line 3: virt.example:alias-v" in lines
    assert "  domain: it becomes alias-v-x@virt.example" in lines
    assert "  domain: control/virtualdomains line 4: .sub.example:" in lines
    at = lines.index("z@b.c")
    assert lines[at + 1 : at + 3] == ["  domain: control/virtualdomains line 5: :", "  remote: b.c"]


def test_me_decides_where_there_are_no_locals(explained: Explained) -> None:
    os.unlink(f"{explained.home}/control/locals")
    assert f"  domain: control/me line 1: {DOMAIN}" in explained.text("-d", DEFAULT, f"{explained.user}@{DOMAIN}")


def test_loops_are_shown_and_end(explained: Explained) -> None:
    explained.put("alias/.qmail-ping", "&pong\n")
    explained.put("alias/.qmail-pong", f"&ping@{DOMAIN}\n&ping@{DOMAIN}\n&x@example.net\n")
    lines = [line.strip() for line in explained.text("ping", code=100)]
    assert lines.count(f"loop: it has been to ping@{DOMAIN}") == 2
    assert "remote: example.net" in lines


def test_an_address_is_explained_once(explained: Explained) -> None:
    for number in range(30):  # two to the thirtieth ways
        explained.put(f"alias/.qmail-n{number}", f"&n{number + 1}\n&n{number + 1}\n")
    explained.put("alias/.qmail-n30", "&x@example.net\n")
    lines = explained.text("n0")
    assert len(lines) < 500
    assert any(line.strip() == "note: as above" for line in lines)


def test_aliases_and_forward_files_are_followed(explained: Explained) -> None:
    explained.put("alias/.qmail-default", "|qmail-aliases\n")
    explained.put(
        "alias/aliases", f'office: {explained.user}, list, "|id", /dev/null\nlist: a@example.net\nowner-list: x\n'
    )
    os.utime(f"{explained.home}/alias/aliases", (1, 1))
    explained.put("home/.forward", f"\\{explained.user}, b@example.com\n")
    steps = explained.steps("office", "|qmail-dotforward .forward\n./Maildir/")
    ends = [(kind, text) for _, kind, text in steps if kind in ("remote", "delivers", "runs", "nothing", "bounces")]
    assert ends == [
        ("remote", "example.com"),
        ("delivers", "maildir ./Maildir/"),
        ("remote", "example.net"),
        ("runs", "id"),
        ("nothing", "the message is thrown away: /dev/null"),
    ]
    assert ("sender", "owner-list is the sender of what is forwarded") in [step[1:] for step in steps]
    assert "waits" not in {kind for _, kind, _ in steps}
    assert explained.text("who", code=100)[-1].strip() == "bounces: Sorry, no mailbox here by that name. (#5.1.1)"


def test_without_the_default_delivery_it_says_so(explained: Explained) -> None:
    lines = explained.text(explained.user)
    assert lines[-1].strip() == "default: " + USUAL_WORDS.decode()


def test_the_default_delivery_of_the_running_system_is_found(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o711)
    place = embedded(f"{tmp_path}/home", {})
    try:
        for default in ("./Box/", "|dot-forward .forward\n./Mailbox"):
            place.start(default)
            done = place.run("qmail-explain", place.user)
            assert done.code == 0
            ends = [line.strip() for line in done.output.decode().splitlines() if "delivers:" in line]
            assert ends == ["delivers: maildir ./Box/" if default == "./Box/" else "delivers: mbox ./Mailbox"]
            assert place.run("sendmail", "-bv", place.user).code == 0
            place.stop()
        assert place.run("sendmail", "-bv", place.user).code == 0
    finally:
        place.close()


TITLES = [
    (b"qmail-lspawn ./Maildir/", b"./Maildir/"),
    (b"qmail-lspawn |a b\n./Mailbox\0\0\0", b"|a b\n./Mailbox"),
    (b"qmail-lspawn\0./Maildir/\0", b"./Maildir/"),
    (b"/usr/bin/python3\0-IS\0/var/qmail/bin/qmail-lspawn\0./Mailbox\0wide\0", b"./Mailbox"),
    (b"qmail-lspawn", b""),
    (b"", b""),
    (b"sh\0-c\0x\0", b""),
]


@pytest.mark.parametrize(("shown", "default"), TITLES)
def test_the_default_delivery_in_what_a_process_shows(shown: bytes, default: bytes) -> None:
    assert default_delivery._default(shown.rstrip(b"\0").split(b"\0")) == default


def test_hostile_bytes_stay_on_their_line(explained: Explained) -> None:
    done = explained.run(f"{explained.home}/bin/qmail-explain", "-n", "a\nb\x1b[2J@x.y\xff")
    assert done.stdout.startswith(b"a?b?[2J@x.y??\n  remote: x.y??\n    limit: ")


@pytest.mark.parametrize("words", [(), ("-x", "a"), ("--xml", "a"), ("-d",)])
def test_usage(explained: Explained, words: tuple[str, ...]) -> None:
    done = explained.run(f"{explained.home}/bin/qmail-explain", *words)
    assert (done.returncode, done.stdout) == (100, b"")
    assert done.stderr.endswith(b"usage: qmail-explain [ -jn ] [ -d defaultdelivery ] [ -f sender ] address ...\n")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_root_looks_at_an_embedded_home_as_its_owner(explained: Explained) -> None:
    explained.put("home/.qmail", "./Mailbox\n")
    done = subprocess.run(
        [f"{explained.home}/bin/qmail-explain", explained.user],
        capture_output=True,
        check=False,
        env={**explained.joe.environment, "QMAILHOME": explained.home},
    )
    assert done.returncode == 0
    assert done.stdout.endswith(b"    file: .qmail\n    delivers (line 1): mbox ./Mailbox\n")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_a_stranger_in_an_embedded_home_is_told_whom_to_ask_as(explained: Explained) -> None:
    done = subprocess.run(
        [f"{explained.home}/bin/qmail-explain", explained.user],
        capture_output=True,
        check=False,
        env={**explained.joe.environment, "QMAILHOME": explained.home},
        user=12345,
        group=12345,
        extra_groups=[],
    )
    words = b"qmail-explain: fatal: all mail of this home is uid %d's: ask as him, or as root\n" % explained.joe.uid
    assert (done.returncode, done.stdout, done.stderr) == (111, b"", words)


def test_lines_of_a_qmail_file_are_numbered(explained: Explained) -> None:
    explained.put("home/.qmail-x", "# comment\n&ann@example.net\n\n+other\n./Box\n\n|id\n")
    done = explained.run(f"{explained.home}/bin/qmail-explain", "-j", f"{explained.user}-x")
    steps = json.loads(done.stdout)["steps"]
    assert [(step["kind"], step["line"]) for step in steps if "line" in step] == [
        ("to", 2),
        ("delivers", 5),
        ("runs", 7),
    ]
    assert "    to (line 2): ann@example.net" in explained.text(f"{explained.user}-x")


def test_a_file_without_end_is_cut_off(explained: Explained) -> None:
    """Whoever writes the file, root may be who asks: neither his memory nor his patience is the writer's."""
    explained.put("home/.qmail-x", "&a@b\n" * 1_000_000)
    lines = explained.text(f"{explained.user}-x", code=111)
    assert len(lines) <= 100_002
    assert lines[-1].strip() == "unknown: there is more than can be shown"
