"""/etc/aliases as a message meets it: qmail-local runs |qmail-aliases, newaliases compiles, nothing is lost."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.local_support import MESSAGE, Done, joe_in
from tests.support import DOMAIN, RecordingQueue, bare_home, give, read, write

NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)\n"
HEAD = b"Return-Path: <a@b.org>\nDelivered-To: %s\n"


class Aliases:
    """An embedded home whose alias account has |qmail-aliases in .qmail-default, and files of aliases."""

    def __init__(self, folder: str) -> None:
        self.joe = joe_in(folder)
        self.home = bare_home(f"{folder}/home")
        self.joe.environment.update(QMAILHOME=self.home, PATH=f"{self.home}/bin:{self.joe.environment['PATH']}")
        self.queue = RecordingQueue(f"{folder}/queued")
        self.joe.environment.update(self.queue.environment)
        self.source = f"{self.home}/alias/aliases"
        os.makedirs(f"{self.home}/home", exist_ok=True)
        self.line("|qmail-aliases")
        self.say("nobody: joe\n")

    def own(self) -> None:
        if os.getuid() == 0:
            give(self.home, self.joe.uid, self.joe.gid)

    def line(self, text: str) -> None:
        write(f"{self.home}/alias/.qmail-default", text + "\n")
        self.own()

    def say(self, text: str, path: str = "", *, age: int = 60) -> None:
        """The file of aliases, as it has been for so many seconds."""
        path = write(path or self.source, text)
        past = os.stat(path).st_mtime - age
        os.utime(path, (past, past))
        self.own()

    def send(self, local: str, message: bytes = MESSAGE, *, sender: bytes = b"a@b.org", ext: str = "") -> Done:
        words = ["alias", f"{self.home}/alias", local, "-", ext or local, DOMAIN]
        argv = [f"{self.home}/bin/qmail-local", "--", *words]
        return self.joe.run([*(word.encode() for word in argv), sender, b"./Mailbox"], message)

    def forwards(self) -> list[tuple[bytes, list[bytes]]]:
        """Sender and recipients of each message that was queued."""
        found = []
        for _, envelope in self.queue.messages:
            sender, *recipients = envelope.rstrip(b"\0").split(b"\0")
            found.append((sender[1:], [recipient[1:] for recipient in recipients]))
        return found

    def newaliases(self, program: str = "newaliases", *words: str) -> Done:
        done = subprocess.run(
            [f"{self.home}/bin/{program}", *words],
            capture_output=True,
            check=False,
            env=self.joe.environment,
            cwd="/",
            timeout=60,
            **self.joe.identity,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def map(self) -> str:
        return f"{self.home}/users/aliases.cdb"


@pytest.fixture
def aliases(tmp_path: Path) -> Aliases:
    return Aliases(str(tmp_path))


@pytest.fixture(params=["plain", "compiled"])
def compiled(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "compiled")


def test_an_alias_is_followed_to_its_ends_in_one_message(aliases: Aliases, compiled: bool) -> None:
    aliases.say(
        "Root: admin, joe\n"
        "admin: ann@example.net, \\joe, Staff\n"
        f"staff: bob@{DOMAIN}, root, :include:{aliases.home}/list\n"
        "bob: bob@elsewhere.example\n"
    )
    write(f"{aliases.home}/list", "# members\nx@example.net\ny@example.net, ann@example.net\n")
    aliases.own()
    if compiled:
        assert aliases.newaliases() == Done(0, b"", b"")
    done = aliases.send("ROOT")
    assert done.code == 0, done
    assert done.err.startswith(b"qmail-aliases: did 0+5+0 qp ")
    expected = [b"ann@example.net", b"joe", b"bob@elsewhere.example", b"x@example.net", b"y@example.net"]
    assert aliases.forwards() == [(b"a@b.org", expected)]
    (message, _) = aliases.queue.messages[0]
    assert message == b"Delivered-To: ROOT@%s\n" % DOMAIN.encode() + MESSAGE


def test_programs_and_files_are_served_before_anything_is_forwarded(aliases: Aliases) -> None:
    folder = aliases.joe.home
    aliases.joe.maildir()
    aliases.say(
        f"all: joe, {folder}/Mailbox, {folder}/Maildir/, /dev/null, "
        f'"|cat > {folder}/first; test -z \\"$(ls {aliases.queue.folder} | grep envelope)\\"", |exit 99, '
        f"|cat > {folder}/second\n"
    )
    done = aliases.send("all")
    assert done.err.startswith(b"qmail-aliases: did 2+1+3 qp "), done
    head = HEAD % b"all@mx.example.org"
    assert aliases.joe.mails() == [head + MESSAGE]
    assert aliases.joe.file("Mailbox").endswith(head + MESSAGE + b"\n")
    for name in ("first", "second"):
        text = aliases.joe.file(name)
        assert text.startswith(b"From a@b.org ")
        assert text.endswith(head + MESSAGE)
    assert aliases.forwards() == [(b"a@b.org", [b"joe"])]


@pytest.mark.parametrize(("code", "expected"), [(100, 100), (77, 100), (111, 111), (75, 111), (1, 111)])
def test_a_program_that_fails_keeps_everything_from_being_forwarded(aliases: Aliases, code: int, expected: int) -> None:
    aliases.say(f'a: joe, "|echo no; exit {code}"\n')
    done = aliases.send("a")
    assert (done.code, done.out) == (expected, b"no\n")
    assert aliases.forwards() == []


def test_nobody_by_that_name(aliases: Aliases, compiled: bool) -> None:
    if compiled:
        aliases.newaliases()
    assert aliases.send("who") == Done(100, b"", NO_MAILBOX)


def test_without_any_file_nobody_has_an_alias(aliases: Aliases) -> None:
    os.unlink(aliases.source)
    assert aliases.send("who") == Done(100, b"", NO_MAILBOX)
    assert aliases.newaliases().code == 66


def test_user_plus_extension_is_the_users_if_it_has_no_line_of_its_own(aliases: Aliases, compiled: bool) -> None:
    aliases.say("sales: joe\nsales+eu: ann\nsales@other.example: bob\n@virt.example: jim\n*: catch\n")
    if compiled:
        aliases.newaliases()
    for local in ("sales+us", "Sales+EU", "nobody"):
        assert aliases.send(local).code == 0
    assert [recipients for _, recipients in aliases.forwards()] == [[b"joe"], [b"ann"], [b"catch"]]


def test_the_owner_gets_the_bounces(aliases: Aliases) -> None:
    aliases.say("list: joe, inner\nowner-list: ann\ninner: bob\nowner-inner: jim\n")
    for sender in (b"a@b.org", b"", b"#@[]"):
        assert aliases.send("List", sender=sender).code == 0
    inner = b"inner@" + DOMAIN.encode()
    owner = b"owner-list@" + DOMAIN.encode()
    assert aliases.forwards() == [(sender, [b"joe", inner]) for sender in (owner, b"", b"#@[]")]


def test_a_circle_with_an_end_is_a_list_and_one_without_waits(aliases: Aliases) -> None:
    aliases.say("a: b, x@example.net\nb: a\nc: d\nd: c\ne: c, x@example.net\nself: self\nslash: \\slash, joe\n")
    assert aliases.send("b").code == 0
    assert aliases.forwards() == [(b"a@b.org", [b"x@example.net"])]
    for name in ("c", "e"):  # e: the mail for c would be lost without a word
        done = aliases.send(name)
        assert (done.code, b"leads to nobody but itself. (#4.3.5)" in done.err) == (111, True)
    for name in ("self", "slash"):
        done = aliases.send(name)
        assert (done.code, b"names itself, and there is no such mailbox. (#4.3.5)" in done.err) == (111, True)
    assert len(aliases.forwards()) == 1


def test_an_alias_may_name_the_mailbox_of_a_user_of_its_name(aliases: Aliases) -> None:
    aliases.say("root: joe\njoe: joe, ann@example.net\n")
    assert aliases.send("root").code == 0
    assert aliases.forwards() == [(b"a@b.org", [b"joe", b"ann@example.net"])]


def test_a_refusal_is_the_senders(aliases: Aliases) -> None:
    aliases.say('gone: "error:550 He left, sorry."\nlater: error:421 full\n')
    assert aliases.send("gone") == Done(100, b"", b"He left, sorry. (#5.7.1)\n")
    assert aliases.send("later") == Done(111, b"", b"full (#4.7.1)\n")


# mistakes never bounce


def test_a_mistake_keeps_only_what_may_be_meant_waiting(aliases: Aliases) -> None:
    aliases.say("good: joe\nbad: joe ann\nnocolon\n")
    assert aliases.send("good").code == 0
    done = aliases.send("bad")
    warnings = b"".join(
        b"qmail-aliases: warning: %s line %d: %s\n" % (aliases.source.encode(), line, text)
        for line, text in ((2, b"a blank in an address: is a comma missing?"), (3, b"no colon follows the name"))
    )
    reason = (
        b"Unable to use %s line 2: a blank in an address: is a comma missing?. (#4.3.5)\n" % aliases.source.encode()
    )
    assert done == Done(111, b"", warnings + reason)
    assert aliases.send("who") == Done(111, b"", warnings + reason)
    assert len(aliases.forwards()) == 1


def test_a_file_that_has_just_been_written_may_not_be_whole(aliases: Aliases) -> None:
    aliases.say("a: joe\n", age=0)
    assert aliases.send("a").code == 0
    done = aliases.send("b")
    assert done == Done(
        111, b"", aliases.source.encode() + b" has just been changed: I'll look again later. (#4.3.0)\n"
    )


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("fifo", b"not a regular file. (#4.3.0)"),
        ("directory", b"not a regular file. (#4.3.0)"),
        ("writable", b" is writable. (#4.7.0)"),
        ("absent", b"file does not exist. (#4.3.0)"),
        ("huge", b"file too big. (#4.3.0)"),
        ("nul", b"line 1: the line holds a NUL. (#4.3.5)"),
        ("program", b"An included list may hold addresses only: id. (#4.3.5)"),
        ("file", b"An included list may hold addresses only: /tmp/x. (#4.3.5)"),
        ("deep", b"Too many lists within lists: "),
    ],
)
def test_a_list_that_cannot_be_used_keeps_mail_waiting(aliases: Aliases, kind: str, sentence: bytes) -> None:
    path = f"{aliases.home}/list"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "writable":
        write(path, "joe\n", 0o666)
    elif kind == "huge":
        write(path, "")
        os.truncate(path, (64 << 20) + 1)
    elif kind == "deep":
        for number in range(12):
            write(f"{path}{number}", f":include:{path}{number + 1}\n")
        path += "0"
    elif kind != "absent":
        write(path, {"nul": "a\0b\n", "program": "|id\n", "file": "/tmp/x\n"}[kind])
    aliases.say(f"a: joe, :include:{path}\n")
    done = aliases.send("a")
    assert (done.code, sentence in done.err) == (111, True), done
    assert aliases.forwards() == []


def test_a_list_that_includes_itself_is_read_once(aliases: Aliases) -> None:
    path = write(f"{aliases.home}/list", f"joe\n:include:{aliases.home}/list\n")
    aliases.say(f"a: :include:{path}\n")
    assert aliases.send("a").code == 0
    assert aliases.forwards() == [(b"a@b.org", [b"joe"])]


@pytest.mark.slow
def test_a_hundred_thousand_members_get_one_message(aliases: Aliases) -> None:
    path = write(f"{aliases.home}/list", "".join(f"member{number}@example.net\n" for number in range(100_000)))
    aliases.say(f"a: :include:{path}\n")
    assert aliases.send("a").code == 0
    ((_, recipients),) = aliases.forwards()
    assert (len(recipients), recipients[-1]) == (100_000, b"member99999@example.net")


@pytest.mark.slow
def test_a_hundred_thousand_aliases_in_a_map(aliases: Aliases) -> None:
    aliases.say("".join(f"name{number}: name{number + 1}\n" for number in range(100_000)) + "name100000: joe\n")
    assert aliases.newaliases() == Done(0, b"", b"")
    assert aliases.send("name99990").code == 0
    assert aliases.send("name0").code == 0
    assert aliases.forwards() == [(b"a@b.org", [b"joe"])] * 2


# newaliases


@pytest.mark.parametrize("words", [("newaliases",), ("sendmail", "-bi"), ("sendmail", "-I")])
def test_newaliases_has_three_names(aliases: Aliases, words: tuple[str, ...]) -> None:
    aliases.say("a: joe\n")
    assert aliases.newaliases(*words) == Done(0, b"", b"")
    assert os.stat(aliases.map).st_mode & 0o777 == 0o644
    assert os.listdir(os.path.dirname(aliases.map)) == ["aliases.cdb"]


def test_the_map_answers_only_for_the_files_as_they_were(aliases: Aliases) -> None:
    aliases.say("a: joe\n", age=1000)
    aliases.newaliases()
    aliases.say("a: ann\n", age=500)  # nobody runs newaliases
    aliases.send("a")
    aliases.newaliases()
    aliases.say("a: bob\n", age=1000)  # an older file comes back, as from a backup
    aliases.send("a")
    assert [recipients for _, recipients in aliases.forwards()] == [[b"ann"], [b"bob"]]


def test_a_mistake_leaves_the_map_as_it_was(aliases: Aliases) -> None:
    aliases.say("a: joe\n")
    aliases.newaliases()
    before = read(aliases.map)
    aliases.say("a: joe\nb: joe ann\nc\nd: x\nd: y\n")
    source = aliases.source.encode()
    assert aliases.newaliases() == Done(
        65,
        b"",
        b"newaliases: error: %s line 2: a blank in an address: is a comma missing?\n"
        b"newaliases: error: %s line 3: no colon follows the name\n"
        b"newaliases: warning: %s line 5: d is there already, on line 4; it means both\n"
        b"newaliases: fatal: nothing is compiled, %s is as it was\n" % (source, source, source, aliases.map.encode()),
    )
    assert read(aliases.map) == before


def test_a_map_that_is_damaged_is_not_used(aliases: Aliases) -> None:
    aliases.say("a: joe\n")
    aliases.newaliases()
    whole = read(aliases.map)
    for content in (b"", b"x", whole[:2040], bytes(4096)):
        write(aliases.map, content)
        aliases.own()
        assert aliases.send("a").code == 0
    assert len(aliases.forwards()) == 4
    for length in range(2048, len(whole), 7):  # it may still hold the stamps, and not the name
        write(aliases.map, whole[:length])
        aliases.own()
        assert aliases.send("a").code in (0, 111)


def test_a_source_that_has_gone_keeps_mail_waiting(aliases: Aliases) -> None:
    aliases.newaliases()
    os.unlink(aliases.source)
    done = aliases.send("nobody")
    assert (done.code, b"is gone" in done.err) == (111, True)


def test_aliasfile_names_the_files_and_the_first_that_has_a_name_decides(aliases: Aliases, compiled: bool) -> None:
    write(f"{aliases.home}/control/aliasfile", f"# ours first\n{aliases.home}/one\nalias/two\n")
    aliases.say("a: one@example.net\n", f"{aliases.home}/one")
    aliases.say("a: two@example.net\nb: two@example.net\n", f"{aliases.home}/alias/two")
    if compiled:
        assert aliases.newaliases() == Done(0, b"", b"")
    aliases.send("a")
    aliases.send("b")
    assert [recipients for _, recipients in aliases.forwards()] == [[b"one@example.net"], [b"two@example.net"]]
    os.unlink(f"{aliases.home}/one")
    done = aliases.send("b")
    assert (done.code, b"/one: file does not exist. (#4.3.0)" in done.err) == (111, True)
    assert aliases.newaliases().code == 75


# options


def test_p_passes_on_what_is_no_alias_and_what_names_the_mailbox(aliases: Aliases) -> None:
    aliases.say(f"a: joe\nb: \\b, joe\nc: B@{DOMAIN}\n")
    aliases.line("|qmail-aliases -p\n./Mailbox")
    for local, boxes in (("a", 0), ("b", 1), ("none", 2), ("c", 2)):
        assert aliases.send(local).code == 0
        path = f"{aliases.home}/alias/Mailbox"
        assert (read(path).count(b"\nDelivered-To: ") if os.path.exists(path) else 0) == boxes, local
    assert [recipients for _, recipients in aliases.forwards()] == [[b"joe"], [b"joe"], [b"b", b"joe"]]


def test_d_looks_up_the_rest_of_the_address(aliases: Aliases) -> None:
    write(f"{aliases.home}/alias/.qmail-virt-default", f"|qmail-aliases -d {aliases.home}/virt\n")
    aliases.say(f"info@{DOMAIN}: ann@example.net\n", f"{aliases.home}/virt")
    assert aliases.send("alias-virt-info", ext="virt-info").code == 0
    assert aliases.send("alias-virt-who", ext="virt-who").code == 100
    assert aliases.forwards() == [(b"a@b.org", [b"ann@example.net"])]


def test_outside_of_a_delivery_it_says_what_is_missing(aliases: Aliases) -> None:
    assert aliases.newaliases("qmail-aliases") == Done(100, b"", b"HOST not set\n")
    done = aliases.newaliases("qmail-aliases", "-x")
    assert (done.code, done.err.endswith(b"usage: qmail-aliases [ -dnp ] [ file ... ]\n")) == (100, True)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_root_delivers_nothing(aliases: Aliases) -> None:
    environment = {**aliases.joe.environment, "LOCAL": "a", "HOST": "h", "EXT": "a"}
    done = subprocess.run([f"{aliases.home}/bin/qmail-aliases"], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (111, b"Not allowed to perform deliveries as root.\n")
