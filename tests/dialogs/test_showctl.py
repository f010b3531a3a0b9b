"""qmail-showctl: every sentence, byte for byte."""

import os
import shutil
import subprocess

import pytest

from tests.support import CHECKOUT, bare_home, write

PRINTING = (
    ("qmail-showctl",),
    ("qmail-qstat",),
    ("qmail-inject", "-n"),
    ("sendmail", "--help"),
)

DEFAULTS = """qmail home directory: {home}.
user-ext delimiter: -.
paternalism (in decimal): 2.
silent concurrency limit: 120.
subdirectory split: 23.
user ids: {uid}, {uid}, {uid}, {uid}, {uid}, {uid}, {uid}, {uid}.
group ids: {gid}, {gid}.

badmailfrom: (Default.) Any MAIL FROM is allowed.

bouncefrom: (Default.) Bounce user name is MAILER-DAEMON.

bouncehost: (Default.) Bounce host name is mx.example.org.

concurrencylocal: (Default.) Local concurrency is 10.

concurrencyremote: (Default.) Remote concurrency is 20.

databytes: (Default.) SMTP DATA limit is 0 bytes.

defaultdomain: (Default.) Default domain name is mx.example.org.

defaulthost: (Default.) Default host name is mx.example.org.

doublebouncehost: (Default.) 2B recipient host: mx.example.org.

doublebounceto: (Default.) 2B recipient user: postmaster.

envnoathost: (Default.) Presumed domain name is mx.example.org.

helohost: (Default.) SMTP client HELO host name is mx.example.org.

idhost: (Default.) Message-ID host name is mx.example.org.

localiphost: (Default.) Local IP address becomes mx.example.org.

locals: (Default.) Messages for me are delivered locally.

me: My name is mx.example.org.

percenthack: (Default.) The percent hack is not allowed.

plusdomain: (Default.) Plus domain name is mx.example.org.

qmqpservers: (Default.) No QMQP servers.

queuelifetime: (Default.) Message lifetime in the queue is 604800 seconds.

rcpthosts: (Default.) SMTP clients may send messages to any recipient.

morercpthosts: (Default.) No rcpthosts; morercpthosts is irrelevant.

morercpthosts.cdb: (Default.) No effect.

smtpgreeting: (Default.) SMTP greeting: 220 mx.example.org.

smtproutes: (Default.) No artificial SMTP routes.

timeoutconnect: (Default.) SMTP client connection timeout is 60 seconds.

timeoutremote: (Default.) SMTP client data timeout is 1200 seconds.

timeoutsmtpd: (Default.) SMTP server data timeout is 1200 seconds.

virtualdomains: (Default.) No virtual domains.

embedded: This home lives the embedded way: one uid has every role.
"""


@pytest.fixture
def home(tmp_path: object) -> str:
    path = bare_home(f"{tmp_path}/home")
    os.unlink(f"{path}/control/locals")
    return path


def show(home: str, code: int = 0) -> str:
    done = subprocess.run(
        [f"{home}/bin/qmail-showctl"],
        env={"QMAILHOME": home},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, b"")
    return done.stdout.decode("ascii")


def test_the_defaults(home: str) -> None:
    assert show(home) == DEFAULTS.format(home=home, uid=os.geteuid(), gid=os.getegid())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("badmailfrom", "a@b\n@c\n", "badmailfrom: \na@b not accepted in MAIL FROM.\n@c not accepted in MAIL FROM.\n"),
        ("bouncefrom", "x \n", "bouncefrom: Bounce user name is x.\n"),
        ("concurrencylocal", "12x\n", "concurrencylocal: Local concurrency is 12.\n"),
        ("concurrencyremote", "no\n", "concurrencyremote: (Default.) Remote concurrency is 20.\n"),
        ("databytes", "007\n", "databytes: SMTP DATA limit is 7 bytes.\n"),
        ("dnsbl", "bl.example\n=x\n", "dnsbl: \nClients are looked up in bl.example.\nClients are looked up in =x.\n"),
        ("dnsbl", "bl.example\n=x\n", "Oops! line 2 is left out: it has no name of a zone.\n"),
        ("idhost", "", "idhost: Message-ID host name is .\n"),
        ("recipients", "ann\n", "Oops! line 1 is left out: an entry is user@domain or @domain.\n"),
        ("recipients", "a@b\n", "Oops! users/recipients.cdb is older, or is not there: run qmail-recipients.\n"),
        ("recipientcheck", "450", "recipientcheck: Unknown recipients are answered with (0: taken) 450.\n"),
        (
            "locals",
            "a\n# b\n\nc",
            "locals: \nMessages for a are delivered locally.\nMessages for c are delivered locally.\n",
        ),
        ("locals", "", "locals: \n\nme: "),
        ("percenthack", "h\n", "percenthack: \nThe percent hack is allowed for user%host@h.\n"),
        ("qmqpservers", "192.0.2.1\n", "qmqpservers: \nQMQP server: 192.0.2.1.\n"),
        ("queuelifetime", "60\n", "queuelifetime: Message lifetime in the queue is 60 seconds.\n"),
        ("rcpthosts", "h\n", "rcpthosts: \nSMTP clients may send messages to recipients at h.\n"),
        ("rcpthosts", "h\n", "morercpthosts: (Default.) No effect.\n"),
        ("morercpthosts", "h\n", "morercpthosts: \nNo rcpthosts; doesn't matter that morercpthosts has h.\n"),
        ("morercpthosts", "h\n", "Oops! morercpthosts exists but morercpthosts.cdb doesn't.\n"),
        ("morercpthosts.cdb", "", "Oops! morercpthosts.cdb exists but morercpthosts doesn't.\n"),
        ("smtpgreeting", "hi there\n", "smtpgreeting: SMTP greeting: 220 hi there.\n"),
        ("smtproutes", "a:b\n", "smtproutes: \nSMTP route: a:b\n"),
        ("virtualdomains", "a:\xe4\n", "virtualdomains: \nVirtual domain: a:??\n"),
        ("zebra", "", "\nzebra: I have no idea what this file does.\n"),
        ("queuebytes", "7\n", "\nqueuebytes: Largest message that is taken into the queue is 7 bytes (0 for any).\n"),
        ("queuebytes", "", "\nqueuebytes: (Default.) Largest message that is taken into the queue is 1073741824 bytes"),
        ("helohost", "# me\nmx\n", "SMTP client HELO host name is # me.\nOops! line 1 begins with #, and that is the"),
        ("timeoutconnect", "# s\n9\n", " 60 seconds.\nOops! line 1 does not begin with a digit: the file counts as "),
        ("databytes", "5M\n", " 5 bytes.\nOops! only the digits at the beginning of line 1 count: 5.\n"),
        ("outgoingfamily", "5\n", "Oops! line 1 is none of 0, 4 and 6, and counts as 0.\n"),
        ("bounceformat", "mime\n", "Oops! line 1 is neither qsbmf nor dsn.\n"),
        ("bouncecontent", "whole\n", "Oops! line 1 is neither full nor headers.\n"),
        ("concurrencydomain", "a:x\n", "Oops! has a line that is not a domain, a colon and a number.\n"),
        ("holddomains", "!a\n", "Oops! has exceptions only, and nothing that they are from.\n"),
        ("smtproutes", "relay\n", "SMTP route: relay\nOops! line 1 has no colon and is ignored.\n"),
    ],
)
def test_a_value(home: str, name: str, content: str, words: str) -> None:
    write(f"{home}/control/{name}", content)
    assert words in show(home)


def test_the_database_of_more_hosts_is_compared_by_time(home: str) -> None:
    for name in ("morercpthosts", "morercpthosts.cdb"):
        write(f"{home}/control/{name}", "")
    os.utime(f"{home}/control/morercpthosts", (2000, 2000))
    os.utime(f"{home}/control/morercpthosts.cdb", (1000, 1000))
    assert "morercpthosts.cdb: Oops! morercpthosts.cdb is older than morercpthosts.\n" in show(home)
    os.utime(f"{home}/control/morercpthosts.cdb", (2000, 2000))
    assert "morercpthosts.cdb: Modified recently enough; hopefully up to date.\n" in show(home)


def test_a_domain_that_is_local_and_virtual_is_said(home: str) -> None:
    write(f"{home}/control/locals", "a\nB\n")
    write(f"{home}/control/virtualdomains", "b:joe\n")
    words = "\nvirtualdomains: \nVirtual domain: b:joe\nOops! locals has b too, so its line here means nothing.\n"
    assert words in show(home)


def test_all_samples_together_leave_no_doubt(home: str) -> None:
    for name in set(os.listdir(f"{CHECKOUT}/control/samples")) - {"README", "embedded"}:
        shutil.copy(f"{CHECKOUT}/control/samples/{name}", f"{home}/control/{name}")
    text = show(home)
    lines = [line for line in text.splitlines() if "#" in line or ("Oops!" in line and ".cdb" not in line)]
    assert lines == []
    assert "no idea" not in text


def test_whoever_has_read_enough_ends_it_in_silence(home: str) -> None:
    """Qmail-showctl | head -1, and every other program that prints: the pipe's other end is closed before it writes."""
    for words in PRINTING:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [f"{home}/bin/{words[0]}", *words[1:]],
            env={"QMAILHOME": home},
            input=b"To: joe\n\n",
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (111, b""), words


def test_a_full_disk_under_the_output_is_one_line(home: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [f"{home}/bin/qmail-showctl"], env={"QMAILHOME": home}, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (111, b"qmail-showctl: fatal: unable to write: out of disk space\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_stranger_in_an_embedded_home_sees_its_owners_ids(home: str) -> None:
    os.chown(f"{home}/queue", 4711, 4712)
    for path in (home, os.path.dirname(home)):
        os.chmod(path, 0o755)
    done = subprocess.run(
        [f"{home}/bin/qmail-showctl"],
        env={"QMAILHOME": home},
        capture_output=True,
        check=False,
        user=12345,
        group=12345,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\nuser ids: " + b", ".join([b"4711"] * 8) + b".\ngroup ids: 4712, 4712.\n" in done.stdout


def test_a_file_that_cannot_be_read_is_said(home: str) -> None:
    os.mkdir(f"{home}/control/locals")
    assert "\nlocals: Oops! Trouble reading this file.\n" in show(home)


def test_without_control_me(home: str) -> None:
    os.unlink(f"{home}/control/me")
    text = show(home)
    assert "\nme: (Default.) My name is undefined! Uh-oh.\n" in text
    assert "\nhelohost: (Default.) SMTP client HELO host name is helohost.\n" in text


def test_without_a_control_directory(home: str) -> None:
    for name in os.listdir(f"{home}/control"):
        if name != "embedded":
            os.unlink(f"{home}/control/{name}")
    os.rename(f"{home}/control", f"{home}/control.away")
    done = subprocess.run(
        [f"{home}/bin/qmail-showctl"],
        env={"QMAILHOME": home},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (
        done.returncode == 111
    )  # without control/embedded it is a classic home, whose accounts may be missing as well
    assert b"Oops! Unable to chdir to control.\n" in done.stdout or b"unable to find user" in done.stderr
