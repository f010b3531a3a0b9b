"""qmail-local killed before each of its system calls, and each of them failing: never a part of a message in new/.

The real program under strace, which says what it did and can make any single call fail or be the last. Counted are the
calls after the program has entered the user's home; what the interpreter does before that touches no mail.
"""

import collections
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.ready import installed
from tests.support import write

CALLS = (
    "chdir,openat,newfstatat,fstat,lseek,pread64,write,fsync,close,link,linkat,unlink,rename,flock,ftruncate,readlink"
)
MAIL = b"Return-Path: <a@b.org>\n" + DTLINE + MESSAGE
OLD = b"From old\nold\n\n"
SUCCESS = b"did 1+0+0\n"


class Traced:
    """One run under strace: its end, and its calls in the home, each as (name, which of this name, the whole line)."""

    def __init__(self, done: Done, text: str, home: str) -> None:
        self.done = done
        self.calls: list[tuple[str, int, str]] = []
        counts: collections.Counter[str] = collections.Counter()
        at_home = False
        for line in text.splitlines():
            if found := re.match(r"(\w+)\(", line):
                name = found.group(1)
                counts[name] += 1
                if at_home:
                    self.calls.append((name, counts[name], line))
                at_home = at_home or line.startswith(f'chdir("{home}")')

    def place(self, pattern: str) -> int:
        """Where the only call that matches stands."""
        found = [at for at, (_, _, line) in enumerate(self.calls) if re.match(pattern, line)]
        assert len(found) == 1, f"{len(found)} calls match {pattern}:\n" + "\n".join(line for *_, line in self.calls)
        return found[0]


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    joe = joe_in(str(tmp_path))
    joe.program = f"{installed(f'{tmp_path}/qmail', joe.uid)}/bin/qmail-local"
    os.mkdir(f"{tmp_path}/traces")
    joe.own(f"{tmp_path}/traces")
    return joe


def traced(joe: Joe, inject: str = "") -> Traced:
    path = f"{joe.folder}/traces/trace"
    options = ["-qq", "-y", "-o", path, "-e", f"trace={CALLS}", *(["-e", f"inject={inject}"] if inject else [])]
    message = write(f"{joe.folder}/message", MESSAGE)
    with open(message, "rb") as file:
        done = subprocess.run(
            ["strace", *options, *joe.argv()],
            stdin=file,
            capture_output=True,
            check=False,
            timeout=60,
            env=joe.environment,
            **joe.identity,
        )
    return Traced(Done(done.returncode, done.stdout, done.stderr), Path(path).read_text(errors="replace"), joe.home)


def fresh(joe: Joe, line: str) -> None:
    """A home with an empty Maildir and an mbox that holds something."""
    shutil.rmtree(joe.home)
    joe.mkdir("")
    joe.maildir()
    joe.put("Mailbox", OLD)
    joe.put(".qmail", line)


def new_mails(joe: Joe) -> list[bytes]:
    return [joe.file(f"Maildir/new/{name}") for name in os.listdir(f"{joe.home}/Maildir/new")]


def test_a_maildir_delivery_is_on_disk_before_it_is_reported(joe: Joe) -> None:
    fresh(joe, "./Maildir/\n")
    run = traced(joe)
    assert run.done == Done(0, SUCCESS, b"")
    order = [
        run.place(r"write\(\d+<.*/Maildir/tmp/"),
        run.place(r"fsync\(\d+<.*/Maildir/tmp/.*= 0$"),
        run.place(r"link(at)?\(.*/tmp/.*/new/.*= 0$"),
        run.place(r"fsync\(\d+<.*/Maildir/new>\) *= 0$"),
        run.place(r"write\(1<.*did 1\+0\+0"),
    ]
    assert order == sorted(order)


def test_an_mbox_delivery_is_on_disk_before_it_is_reported(joe: Joe) -> None:
    fresh(joe, "./Young\n")
    run = traced(joe)
    assert run.done == Done(0, SUCCESS, b"")
    written = [at for at, (_, _, line) in enumerate(run.calls) if re.match(r"write\(\d+<.*/Young>", line)]
    order = [
        run.place(r"flock\(\d+<.*/Young>"),
        *written,
        run.place(r"fsync\(\d+<.*/Young>\) *= 0$"),
        run.place(r"fsync\(\d+<.*/joe>\) *= 0$"),
        run.place(r"write\(1<.*did 1\+0\+0"),
    ]
    assert order == sorted(order)


@pytest.mark.slow
def test_killed_before_any_call_a_maildir_has_the_message_or_not(joe: Joe) -> None:
    fresh(joe, "./Maildir/\n")
    calls = traced(joe).calls
    assert len(calls) > 15
    states = set()
    for name, number, line in calls:
        fresh(joe, "./Maildir/\n")
        run = traced(joe, f"{name}:signal=KILL:when={number}")
        assert run.done.code in (-9, 137), line
        mails = new_mails(joe)
        assert mails in ([], [MAIL]), f"killed before {line}"
        if run.done.out:
            assert mails == [MAIL]
        states.add(bool(mails))
    assert states == {False, True}


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "ENOMEM", "EACCES"])
def test_whatever_fails_a_maildir_has_the_message_only_with_a_report_of_success(joe: Joe, error: str) -> None:
    fresh(joe, "./Maildir/\n")
    for name, number, line in traced(joe).calls:
        fresh(joe, "./Maildir/\n")
        done = traced(joe, f"{name}:error={error}:when={number}").done
        expected = [MAIL] if done.code == 0 else []
        assert new_mails(joe) == expected, f"{error} from {line}"
        assert done.code in (0, 111), f"{error} from {line}"
        assert b"internal error" not in done.err, f"{error} from {line}"


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "ENOLCK"])
def test_whatever_fails_an_mbox_has_the_message_only_with_a_report_of_success(joe: Joe, error: str) -> None:
    fresh(joe, "./Mailbox\n")
    for name, number, line in traced(joe).calls:
        fresh(joe, "./Mailbox\n")
        done = traced(joe, f"{name}:error={error}:when={number}").done
        content = joe.file("Mailbox")
        assert content.startswith(OLD)
        assert done.code in (0, 111), f"{error} from {line}"
        assert b"internal error" not in done.err, f"{error} from {line}"
        if done.code == 0:
            assert content.endswith(MAIL + b"\n"), f"{error} from {line}"
        else:
            assert content == OLD, f"{error} from {line}"


@pytest.mark.slow
def test_killed_before_any_call_an_mbox_keeps_what_it_had(joe: Joe) -> None:
    fresh(joe, "./Mailbox\n")
    for name, number, line in traced(joe).calls:
        fresh(joe, "./Mailbox\n")
        run = traced(joe, f"{name}:signal=KILL:when={number}")
        assert joe.file("Mailbox").startswith(OLD), f"killed before {line}"
        if run.done.out:
            assert joe.file("Mailbox").endswith(MAIL + b"\n"), f"killed before {line}"


def test_a_killed_deliverys_dot_lock_holds_the_next_one_up_for_no_moment(joe: Joe) -> None:
    fresh(joe, "./Mailbox\n")
    assert traced(joe, "fsync:signal=KILL:when=1").done.code in (-9, 137)
    assert os.path.exists(f"{joe.home}/Mailbox.lock")
    begun = time.monotonic()
    assert joe.run(joe.argv()).code == 0
    assert time.monotonic() - begun < 20, "it would wait 30 s for a lock, and then be deferred"
    assert joe.file("Mailbox").endswith(MAIL + b"\n")
    assert not os.path.exists(f"{joe.home}/Mailbox.lock")
