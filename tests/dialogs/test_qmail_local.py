"""The real qmail-local, executed as an ordinary user in a home of his own: spec/05-local.md, line by line."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.support import LIBC_SIGNALS, RecordingQueue, write

HEAD = b"Return-Path: <a@b.org>\n" + DTLINE
FROM = rb"From a@b\.org (Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}\n"
USAGE = b"qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty\n"


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    return joe_in(str(tmp_path))


@pytest.fixture
def queue(joe: Joe, tmp_path: Path) -> RecordingQueue:
    queue = RecordingQueue(f"{tmp_path}/queued")
    joe.environment.update(queue.environment)
    return queue


def did(files: int, forwards: int, programs: int) -> Done:
    return Done(0, b"did %d+%d+%d\n" % (files, forwards, programs), b"")


def deferred(sentence: str) -> Done:
    return Done(111, b"", sentence.encode() + b"\n")


def refused(sentence: str) -> Done:
    return Done(100, b"", sentence.encode() + b"\n")


# files


def test_a_maildir_gets_two_lines_and_the_message_unchanged(joe: Joe) -> None:
    joe.maildir()
    joe.put(".qmail", "./Maildir/\n")
    message = b"A: b\n\n\0bare\rCR \xff\nFrom x\nno end"
    assert joe.run(joe.argv(), message) == did(1, 0, 0)
    assert joe.mails() == [HEAD + message]
    (name,) = os.listdir(f"{joe.home}/Maildir/new")
    host = os.uname().nodename.replace("/", r"\057").replace(":", r"\072")
    assert re.fullmatch(rf"\d{{10}}\.M\d{{6}}P\d+Q0\.{re.escape(host)}", name)
    status = os.stat(f"{joe.home}/Maildir/new/{name}")
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o600, joe.uid, joe.gid)


def test_an_mbox_gets_a_from_line_and_quotes(joe: Joe) -> None:
    joe.put(".qmail", "./Mailbox")
    assert joe.run(joe.argv(), b"A: b\n\nFrom x\n>From y\nFrom") == did(1, 0, 0)
    assert joe.run(joe.argv(), b"") == did(1, 0, 0)
    first = FROM + re.escape(HEAD + b"A: b\n\n>From x\n>>From y\nFrom\n\n")
    assert re.fullmatch(first + FROM + re.escape(HEAD + b"\n"), joe.file("Mailbox"))
    assert os.stat(f"{joe.home}/Mailbox").st_mode & 0o777 == 0o600


def test_all_files_of_a_list_get_the_message(joe: Joe) -> None:
    for name in ("a", "b"):
        joe.maildir(name)
    joe.put(".qmail", f"./a/\n./b/\n{joe.home}/c\n#\n./a/\n\n")
    assert joe.run(joe.argv()) == did(4, 0, 0)
    assert joe.mails("a") == [HEAD + MESSAGE] * 2
    assert joe.mails("b") == [HEAD + MESSAGE]
    assert joe.file("c").endswith(HEAD + MESSAGE + b"\n")


def test_a_hostile_sender_stays_on_its_line(joe: Joe) -> None:
    joe.put(".qmail", "./Mailbox\n")
    assert joe.run(joe.argv(sender=b"a b\nX: y@c")) == did(1, 0, 0)
    lines = joe.file("Mailbox").split(b"\n")
    assert lines[0].startswith(b"From a-b-X:-y@c ")
    assert lines[1] == b'Return-Path: <"a b\\_X: y"@c>'


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("./none/", "Unable to chdir to maildir. (#4.2.1)"),
        ("./file/", "Unable to chdir to maildir. (#4.2.1)"),
        ("./half/", "Temporary error on maildir delivery. (#4.3.0)"),
        ("./loop/", "Unable to chdir to maildir. (#4.2.1)"),
        ("./none/Mailbox", "Unable to open ./none/Mailbox: file does not exist. (#4.2.1)"),
        ("./half", "Unable to open ./half: is a directory. (#4.2.1)"),
        ("./fifo", "Unable to open ./fifo: device not configured. (#4.2.1)"),
        ("./closed", "Unable to open ./closed: access denied. (#4.2.1)"),
        ("/dev/null", "Unable to open /dev/null: not a regular file. (#4.2.1)"),
    ],
)
def test_what_cannot_take_mail_defers_it(joe: Joe, line: str, sentence: str) -> None:
    joe.put("file", "")
    joe.put("closed", "", 0)
    joe.mkdir("half")
    os.mkfifo(f"{joe.home}/fifo")
    os.chmod(f"{joe.home}/fifo", 0o600)
    joe.own(f"{joe.home}/fifo")
    os.symlink("loop", f"{joe.home}/loop")
    joe.put(".qmail", line + "\n")
    assert joe.run(joe.argv()) == deferred(sentence)


def test_links_of_the_users_own_are_followed(joe: Joe) -> None:
    joe.maildir("Real")
    os.symlink("Real", f"{joe.home}/Maildir")
    os.symlink("real", f"{joe.home}/Mailbox")
    joe.put("instructions", "./Maildir/\n./Mailbox\n")
    os.symlink("instructions", f"{joe.home}/.qmail")
    assert joe.run(joe.argv()) == did(2, 0, 0)
    assert joe.mails("Real") == [HEAD + MESSAGE]
    assert joe.file("real").endswith(MESSAGE + b"\n")


def test_a_full_disk_defers_and_leaves_no_part_of_the_message(joe: Joe) -> None:
    joe.maildir()
    joe.put("Mailbox", "old\n")
    large = b"A: b\n\n" + b"x" * 100_000
    joe.put(".qmail", "./Maildir/\n")
    done = joe.run(joe.argv(), large, limits="ulimit -f 100")
    assert done == deferred("Temporary error on maildir delivery. (#4.3.0)")
    assert joe.mails() == []
    joe.put(".qmail", "./Mailbox\n")
    done = joe.run(joe.argv(), large, limits="ulimit -f 100")
    assert done == deferred("Unable to write ./Mailbox: file too big. (#4.3.0)")
    assert joe.file("Mailbox") == b"old\n"


# programs


def test_a_program_gets_the_message_the_home_and_nothing_else(joe: Joe) -> None:
    joe.put(".qmail", "|cat > got; pwd; umask; ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p'\n")
    first, write_end = os.pipe()
    os.set_inheritable(first, True)
    done = joe.run(joe.argv(), limits="exec 7</dev/null 9</dev/null")
    os.close(first)
    os.close(write_end)
    assert done.code == 0
    assert done.err == b""
    lines = done.out.decode().split("\n")
    assert lines[:2] == [joe.home, "0077"]
    assert [line for line in lines[2:-2] if line != "3"] == ["0", "1", "2"]  # 3 is the directory that ls reads
    assert lines[-2] == "did 0+0+1"
    assert joe.file("got") == MESSAGE


def test_each_program_reads_the_message_from_its_beginning(joe: Joe) -> None:
    joe.put(".qmail", "|cat\n|head -c 3; echo\n|cat\n")
    assert joe.run(joe.argv()) == Done(0, MESSAGE + b"Sub\n" + MESSAGE + b"did 0+0+3\n", b"")


def test_a_programs_signals_are_as_in_a_shell(joe: Joe) -> None:
    joe.put(".qmail", "|grep -E 'Sig(Ign|Blk)' /proc/self/status | tr '\\n' ' '\n")
    done = joe.run(joe.argv())
    _, blocked, _, ignored, *summary = done.out.split()
    assert (done.code, summary) == (0, [b"did", b"0+0+1"])
    assert (int(blocked, 16), int(ignored, 16) & ~LIBC_SIGNALS) == (0, 0)


def test_a_programs_words_are_the_report(joe: Joe) -> None:
    joe.put(".qmail", "|echo program says hi; echo and complains >&2\n")
    assert joe.run(joe.argv()) == Done(0, b"program says hi\ndid 0+0+1\n", b"and complains\n")


@pytest.mark.parametrize("code", [100, 64, 65, 70, 76, 77, 78, 112])
def test_these_exit_codes_are_for_ever(joe: Joe, code: int) -> None:
    joe.put(".qmail", f"|echo no; exit {code}\n|echo not reached\n")
    assert joe.run(joe.argv()) == Done(100, b"no\n", b"")


@pytest.mark.parametrize("code", [1, 2, 63, 66, 71, 74, 75, 98, 101, 111, 120, 126, 127, 130, 255])
def test_all_others_are_for_now(joe: Joe, code: int) -> None:
    joe.put(".qmail", f"|echo no; exit {code}\n|echo not reached\n")
    assert joe.run(joe.argv()) == Done(111, b"no\n", b"")


@pytest.mark.parametrize("name", ["KILL", "SEGV", "TERM", "PIPE"])
def test_a_program_that_is_killed_defers(joe: Joe, name: str) -> None:
    joe.put(".qmail", f"|kill -{name} $$\n")
    assert joe.run(joe.argv()) == deferred("Aack, child crashed. (#4.3.0)")


def test_99_ends_the_instructions_with_success(joe: Joe) -> None:
    joe.put(".qmail", "./one\n|exit 99\n./two\n|echo not reached\n")
    assert joe.run(joe.argv()) == did(1, 0, 1)
    assert not os.path.exists(f"{joe.home}/two")


def test_what_stands_before_a_failing_line_is_done(joe: Joe) -> None:
    joe.put(".qmail", "./one\n|exit 111\n./two\n")
    assert joe.run(joe.argv()) == Done(111, b"", b"")
    assert os.path.exists(f"{joe.home}/one")
    assert not os.path.exists(f"{joe.home}/two")


def test_a_programs_variables_are_the_specs(joe: Joe) -> None:
    joe.put(".qmail-x-default", "|env -0\n", 0o600)
    words = joe.argv(local=b"joe-X-b-c.D", dash=b"-", ext=b"X-b-c.D", sender=b"s$(id)@x y")
    done = joe.run(words, extra={"KEPT": "yes", "DEFAULT": "stale"})
    variables = dict(entry.split(b"=", 1) for entry in done.out.rpartition(b"\0")[0].split(b"\0"))
    date = variables.pop(b"UFLINE")
    assert re.fullmatch(rb"From s\$\(id\)@x-y \w{3} \w{3} \d\d \d\d:\d\d:\d\d \d{4}\n", date)
    expected = {
        b"USER": b"joe",
        b"HOME": joe.home.encode(),
        b"LOCAL": b"joe-X-b-c.D",
        b"HOST": b"example.org",
        b"HOST2": b"example",
        b"HOST3": b"example",
        b"HOST4": b"example",
        b"RECIPIENT": b"joe-X-b-c.D@example.org",
        b"DTLINE": b"Delivered-To: joe-X-b-c.D@example.org\n",
        b"RPLINE": b'Return-Path: <"s$(id)"@x y>\n',
        b"SENDER": b"s$(id)@x y",
        b"NEWSENDER": b"s$(id)@x y",
        b"EXT": b"X-b-c.D",
        b"EXT2": b"b-c.D",
        b"EXT3": b"c.D",
        b"EXT4": b"",
        b"DEFAULT": b"b-c.D",
        b"KEPT": b"yes",
    }
    assert {name: variables.get(name) for name in expected} == expected


def test_default_is_not_set_for_a_file_of_its_own(joe: Joe) -> None:
    joe.put(".qmail-x", "|echo ${DEFAULT-none}\n")
    done = joe.run(joe.argv(local=b"joe-x", dash=b"-", ext=b"x"), extra={"DEFAULT": "stale"})
    assert done == Done(0, b"none\ndid 0+0+1\n", b"")


def test_a_program_that_leaves_a_child_behind_does_not_keep_us(joe: Joe) -> None:
    """The report stays open as long as somebody holds it; qmail-local itself is done."""
    joe.put(".qmail", "|(read line < wait; echo late) & exit 0\n")
    os.mkfifo(f"{joe.home}/wait")
    os.chmod(f"{joe.home}/wait", 0o600)
    joe.own(f"{joe.home}/wait")
    message = write(f"{joe.folder}/message", MESSAGE)
    with (
        open(message, "rb") as file,
        subprocess.Popen(
            joe.argv(),
            stdin=file,
            stdout=subprocess.PIPE,
            env=joe.environment,
            **joe.identity,
        ) as process,
    ):
        assert process.wait(30) == 0
        with open(f"{joe.home}/wait", "wb") as fifo:
            fifo.write(b"go\n")
        assert process.stdout is not None
        assert process.stdout.read() == b"did 0+0+1\nlate\n"


# forwards


def test_all_forwards_are_one_new_message(joe: Joe, queue: RecordingQueue) -> None:
    joe.put(".qmail", "&one@x.org\ntwo\n|echo hi\n& three \n./Mailbox\n")
    done = joe.run(joe.argv())
    ((message, envelope),) = queue.messages
    assert message == DTLINE + MESSAGE
    assert envelope == b"Fa@b.org\0Tone@x.org\0Ttwo\0T three\0\0"
    assert done.code == 0
    assert re.fullmatch(rb"hi\ndid 1\+3\+1\nqp \d+\n", done.out)
    pids = [name.partition(".")[0] for name in os.listdir(queue.folder) if name.endswith(".envelope")]
    assert done.out.endswith(b"qp %s\n" % pids[0].encode())


def test_a_failing_line_forwards_nothing(joe: Joe, queue: RecordingQueue) -> None:
    joe.put(".qmail", "&one@x.org\n|exit 1\n")
    assert joe.run(joe.argv()) == Done(111, b"", b"")
    assert queue.messages == []


def test_99_still_forwards_what_was_collected(joe: Joe, queue: RecordingQueue) -> None:
    joe.put(".qmail", "&one@x.org\n|exit 99\n&two@x.org\n")
    done = joe.run(joe.argv())
    assert re.fullmatch(rb"did 0\+1\+1\nqp \d+\n", done.out)
    assert [envelope for _, envelope in queue.messages] == [b"Fa@b.org\0Tone@x.org\0\0"]


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (31, "", refused("Unable to forward message: mail server permanently rejected message (#5.3.0).")),
        (53, "", deferred("Unable to forward message: qq write error or disk full (#4.3.0).")),
        (1, "", deferred("Unable to forward message: qq temporary problem (#4.3.0).")),
        (82, "Dno such list (#5.0.0)", refused("Unable to forward message: no such list (#5.0.0).")),
    ],
)
def test_whoever_refuses_a_forward_is_quoted(joe: Joe, tmp_path: Path, code: int, text: str, expected: Done) -> None:
    joe.environment.update(RecordingQueue(f"{tmp_path}/refusing", code, text).environment)
    joe.put(".qmail", "&one@x.org\n")
    assert joe.run(joe.argv()) == expected


def test_a_queue_that_cannot_be_started_defers(joe: Joe) -> None:
    joe.put(".qmail", "&one@x.org\n")
    done = joe.run(joe.argv(), extra={"QMAILQUEUE": "/nonexistent/qmail-queue"})
    assert done == deferred("Unable to forward message: unable to exec qq (#4.3.0).")


@pytest.mark.parametrize(
    ("owners", "sender", "expected"),
    [
        ([], b"a@b.org", b"a@b.org"),
        ([".qmail-list-foo-owner"], b"a@b.org", b"joe-list-FOO-owner@example.org"),
        (
            [".qmail-list-foo-owner", ".qmail-list-foo-owner-default"],
            b"a@b.org",
            b"joe-list-FOO-owner-@example.org-@[]",
        ),
        ([".qmail-list-foo-owner", ".qmail-list-foo-owner-default"], b"", b""),
        ([".qmail-list-foo-owner", ".qmail-list-foo-owner-default"], b"#@[]", b"#@[]"),
        ([".qmail-list-owner"], b"a@b.org", b"a@b.org"),  # the full extension counts, not the default file's part
    ],
)
def test_the_owner_is_the_sender_of_a_list(
    joe: Joe, queue: RecordingQueue, owners: list[str], sender: bytes, expected: bytes
) -> None:
    for name in owners:
        joe.put(name, "#\n")
    joe.put(".qmail-list-default", "|echo $NEWSENDER > new-sender\n&m@x\n")
    words = joe.argv(local=b"joe-list-FOO", dash=b"-", ext=b"list-FOO", sender=sender)
    assert joe.run(words).code == 0
    assert queue.messages[0][1] == b"F" + expected + b"\0Tm@x\0\0"
    assert joe.file("new-sender") == expected + b"\n"


def test_ten_thousand_members_are_one_message(joe: Joe, queue: RecordingQueue) -> None:
    joe.put(".qmail", "+list\n" + "".join(f"&m{number}@x.org\n" for number in range(10_000)))
    done = joe.run(joe.argv(), b"A: b\n\n" + b"x" * 300_000)
    assert done.out.startswith(b"did 0+10000+0\nqp ")
    ((message, envelope),) = queue.messages
    assert message == DTLINE + b"A: b\n\n" + b"x" * 300_000
    assert envelope.count(b"\0T") == 10_000


# which instructions


def test_an_empty_file_and_no_file_mean_the_default_delivery(joe: Joe) -> None:
    for expected in (1, 2):
        assert joe.run(joe.argv(default=b"./Default\n|echo hi")) == Done(0, b"hi\ndid 1+0+1\n", b"")
        assert joe.file("Default").count(MESSAGE) == expected
        joe.put(".qmail", "", 0o700)  # the x bit does not count for an empty one


def test_a_comment_throws_mail_away(joe: Joe) -> None:
    joe.put(".qmail", "#\n")
    assert joe.run(joe.argv()) == did(0, 0, 0)
    assert sorted(os.listdir(joe.home)) == [".qmail"]


def test_an_extension_needs_a_file(joe: Joe) -> None:
    joe.put(".qmail", "./Mailbox\n")
    words = joe.argv(local=b"joe-x", dash=b"-", ext=b"x")
    assert joe.run(words) == refused("Sorry, no mailbox here by that name. (#5.1.1)")
    joe.put(".qmail-default", "./Other\n")
    assert joe.run(words) == did(1, 0, 0)
    joe.put(".qmail-x", "")
    assert joe.run(words) == did(1, 0, 0)
    assert os.path.exists(f"{joe.home}/Mailbox")  # an empty one means the default delivery here, too


@pytest.mark.parametrize("ext", [b"../../../etc/passwd", b"/etc/passwd", b".", b"..", b"a.b", b"x" * 600])
def test_no_extension_leads_out_of_the_home(joe: Joe, ext: bytes) -> None:
    done = joe.run(joe.argv("-n", local=b"joe-" + ext, dash=b"-", ext=ext))
    assert done == refused("Sorry, no mailbox here by that name. (#5.1.1)")


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        ("\n./x\n", 0o600, deferred("Uh-oh: first line of .qmail file is blank. (#4.2.1)")),
        ("./x\n", 0o700, deferred("Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)")),
        ("|true\n", 0o700, deferred("Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)")),
        ("./x\n", 0o606, deferred("Uh-oh: .qmail file is writable. (#4.7.0)")),
        ("./x\n", 0o000, deferred("Unable to open .qmail: access denied. (#4.3.0)")),
        ("#\n+list\n./x\n", 0o600, deferred("Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)")),
    ],
)
def test_a_file_that_cannot_be_obeyed_defers(joe: Joe, content: str, mode: int, expected: Done) -> None:
    joe.put(".qmail", content, mode)
    assert joe.run(joe.argv()) == expected
    assert not os.path.exists(f"{joe.home}/x")


def test_a_fifo_or_directory_is_no_instructions(joe: Joe) -> None:
    os.mkfifo(f"{joe.home}/.qmail")
    joe.mkdir(".qmail-x")
    assert joe.run(joe.argv("-n")) == Done(0, b"mbox ./Mailbox\ndid 1+0+0\n", b"")
    done = joe.run(joe.argv("-n", local=b"joe-x", dash=b"-", ext=b"x"))
    assert done == refused("Sorry, no mailbox here by that name. (#5.1.1)")


# the home


@pytest.mark.parametrize("mode", [0o702, 0o777, 0o1777])
def test_a_home_that_everybody_can_write_defers(joe: Joe, mode: int) -> None:
    os.chmod(joe.home, mode)
    assert joe.run(joe.argv()) == deferred("Uh-oh: home directory is writable. (#4.7.0)")


def test_a_sticky_home_defers(joe: Joe) -> None:
    os.chmod(joe.home, 0o1700)
    assert joe.run(joe.argv()) == deferred("Home directory is sticky: user is editing his .qmail file. (#4.2.1)")
    done = joe.run(joe.argv("-n"))
    assert done == Done(0, b"mbox ./Mailbox\ndid 1+0+0\n", b"Warning: home directory is sticky.\n")


def test_a_home_that_is_not_there_defers(joe: Joe) -> None:
    os.rmdir(joe.home)
    assert joe.run(joe.argv()) == deferred(f"Unable to switch to {joe.home}: file does not exist. (#4.3.0)")


def test_nothing_in_a_home_is_ever_imported(joe: Joe) -> None:
    trap = "open('/proc/self/fd/2', 'w').write('trapped')\n"
    names = ("posix", "socket", "pwd", "fcntl", "site", "sitecustomize", "usercustomize", "struct", "_socket")
    for name in (*names, "encodings/__init__", "encodings/utf_8", "qmailpy/__init__", "qmailpy/disk/maildir"):
        joe.put(f"{name}.py", trap)
    for path in ("encodings", "qmailpy", "qmailpy/disk"):
        joe.own(f"{joe.home}/{path}")
    joe.put("pyvenv.cfg", f"home = {joe.home}\n")
    joe.maildir()
    joe.put(".qmail", "./Maildir/\n./Mailbox\n|true\n&x@y\n")
    queue = RecordingQueue(f"{joe.folder}/queued")
    hostile = {"PYTHONPATH": joe.home, "PYTHONHOME": joe.home, "PYTHONSTARTUP": f"{joe.home}/posix.py"}
    done = joe.run(joe.argv(), extra={**hostile, **queue.environment, "PYTHONINSPECT": "1"})
    assert done.err == b""
    assert re.fullmatch(rb"did 2\+1\+1\nqp \d+\n", done.out)


# the message


def test_a_message_that_was_here_before_is_a_loop(joe: Joe) -> None:
    looping = b"Received: x\n" + DTLINE + MESSAGE
    sentence = "This message is looping: it already has my Delivered-To line. (#5.4.6)"
    assert joe.run(joe.argv(), looping) == refused(sentence)
    assert joe.run(joe.argv("-n"), looping) == Done(0, b"mbox ./Mailbox\ndid 1+0+0\n", b"")
    assert joe.run(joe.argv(), b"\n" + DTLINE) == did(1, 0, 0)
    assert joe.run(joe.argv(), looping.replace(b"joe@", b"JOE@")) == did(1, 0, 0)


def test_a_pipe_is_no_message(joe: Joe) -> None:
    read_end, write_end = os.pipe()
    assert joe.run_on(joe.argv(), read_end) == deferred("Unable to rewind message. (#4.3.0)")
    os.close(read_end)
    os.close(write_end)


def test_a_directory_is_no_message(joe: Joe) -> None:
    """The interpreter itself refuses to start on one, with a 1 that our spawner calls temporary."""
    descriptor = os.open("/", os.O_RDONLY)
    assert joe.run_on(joe.argv(), descriptor).code in (1, 111)
    assert os.listdir(joe.home) == []
    os.close(descriptor)


def test_no_message_at_all_defers(joe: Joe) -> None:
    done = joe.run(joe.argv(), limits="exec 0<&-")
    assert (done.code, done.out) == (111, b"")
    assert done.err.startswith(b"Unable to re")
    assert not os.path.exists(f"{joe.home}/Mailbox")


def test_closed_reports_do_not_become_files(joe: Joe) -> None:
    joe.maildir()
    joe.put(".qmail", "./Maildir/\n./Mailbox\n")
    assert joe.run(joe.argv(), limits="exec 1>&- 2>&-") == Done(0, b"", b"")
    assert joe.mails() == [HEAD + MESSAGE]
    assert joe.file("Mailbox").endswith(HEAD + MESSAGE + b"\n")


def test_a_reader_of_the_report_that_is_gone_does_not_undo_a_delivery(joe: Joe) -> None:
    joe.put(".qmail", "./Mailbox\n")
    read_end, write_end = os.pipe()
    os.close(read_end)
    message = write(f"{joe.folder}/message", MESSAGE)
    with open(message, "rb") as file:
        done = subprocess.run(
            joe.argv(),
            stdin=file,
            stdout=write_end,
            stderr=write_end,
            check=False,
            env=joe.environment,
            **joe.identity,
        )
    os.close(write_end)
    assert done.returncode == 0


@pytest.mark.slow
def test_a_header_line_of_any_length_needs_little_memory(joe: Joe) -> None:
    """Of 300 MB here, and 150 MB of address space for everything: C qmail once was taken over by such a line."""
    path = write(f"{joe.folder}/message", b"A: ")
    os.truncate(path, 300 << 20)
    joe.put(".qmail", "#\n")
    words = [b"/bin/sh", b"-c", b'ulimit -v 150000; exec "$0" "$@"', *joe.argv()]
    with open(path, "rb") as file:
        assert joe.run_on(words, file.fileno()) == did(0, 0, 0)


@pytest.mark.slow
def test_a_large_message_needs_little_memory(joe: Joe) -> None:
    joe.maildir()
    joe.put(".qmail", "./Maildir/\n./Mailbox\n")
    message = b"A: b\n\n" + b">" * (40 << 20) + b"From x\n"
    assert joe.run(joe.argv(), message, limits="ulimit -v 60000") == did(2, 0, 0)
    assert joe.file("Mailbox").endswith(b"A: b\n\n>" + message[6:] + b"\n")


# the command line


@pytest.mark.parametrize("count", [0, 1, 7, 9])
def test_eight_words_are_needed(joe: Joe, count: int) -> None:
    words = [b"joe", joe.home.encode(), b"joe", b"", b"", b"h", b"a@b", b"./M", b"more"][:count]
    assert joe.run([*joe.argv()[:2], *words]) == Done(100, b"", USAGE)


def test_the_home_must_be_absolute(joe: Joe) -> None:
    words = joe.argv()
    words[3] = b"joe"
    assert joe.run(words) == Done(100, b"", USAGE)


def test_an_unknown_option_is_said(joe: Joe) -> None:
    words = joe.argv("-nx")
    assert joe.run(words) == Done(100, b"", b"qmail-local: illegal option -- x\n" + USAGE)


def test_n_shows_what_would_be_done_and_the_last_option_counts(joe: Joe, queue: RecordingQueue) -> None:
    joe.put(".qmail", "./Maildir/\n./Mailbox\n|exit 1\n&a@b\nc\n#\n")
    shown = b"maildir ./Maildir/\nmbox ./Mailbox\nprogram exit 1\nforward a@b\nforward c\ndid 2+2+1\n"
    assert joe.run(joe.argv("-n")) == Done(0, shown, b"")
    assert joe.run(joe.argv("-Nn")) == Done(0, shown, b"")
    assert joe.run(joe.argv("-n", "-N")) == deferred("Unable to chdir to maildir. (#4.2.1)")
    assert queue.messages == []
    assert sorted(os.listdir(joe.home)) == [".qmail"]


def test_a_local_part_may_look_like_an_option(joe: Joe) -> None:
    joe.put(".qmail-default", "./Mailbox\n")
    assert joe.run(joe.argv(local=b"-n", dash=b"-", ext=b"-n")) == did(1, 0, 0)


@pytest.mark.root
def test_root_gets_no_deliveries(tmp_path: Path) -> None:
    joe = Joe(str(tmp_path))
    joe.uid = joe.gid = 0
    assert joe.run(joe.argv()) == deferred("Not allowed to perform deliveries as root.")
    assert joe.run(joe.argv("-n")) == Done(0, b"mbox ./Mailbox\ndid 1+0+0\n", b"")
    assert os.listdir(joe.home) == []


def test_an_interrupt_defers(joe: Joe) -> None:
    """Python would exit 1 or 130, which C's spawner calls a failure for ever."""
    joe.put(".qmail", "|exec >&- 2>&-; kill -INT $PPID; while kill -0 $PPID; do :; done\n")
    done = joe.run(joe.argv())
    assert done.code == 111
    assert b"Traceback" not in done.err


def test_no_descriptors_left_defers(joe: Joe) -> None:
    joe.maildir()
    joe.put(".qmail", "./Maildir/\n")
    done = joe.run(joe.argv(), limits="ulimit -n 4")
    assert done == deferred("Temporary error on maildir delivery. (#4.3.0)")
    assert joe.mails() == []
