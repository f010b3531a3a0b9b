"""Programs that send mail through sendmail, unchanged: each is told by its own configuration which one."""

import contextlib
import os
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.places import Place, embedded
from tests.support import DOMAIN, has_program, write

BODY = "first line\n.\nlast line\n"  # a lone dot ends nothing


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("clients")
    os.chmod(folder, 0o711)
    with contextlib.closing(embedded(str(folder / "home"), {})) as found:
        found.alias_file(".qmail-default", "#\n")  # other recipients, and bounces, are thrown away
        found.start()
        yield found
        found.stop()


class Client:
    """Runs a program as the user, and takes what then arrives."""

    def __init__(self, place: Place, folder: Path) -> None:
        os.chmod(folder, 0o711)
        self.place, self.folder = place, str(folder)
        self.sendmail = place.program("sendmail")
        self.before = len(os.listdir(f"{place.user_home}/Maildir/new"))

    def file(self, name: str, content: str, mode: int = 0o644) -> str:
        return write(f"{self.folder}/{name}", content, mode)

    def run(self, *argv: str, stdin: str = "", **extra: str) -> None:
        done = self.place.run(*argv, stdin=stdin.encode(), uid=None, **extra)
        assert done.code == 0, f"{argv} exited {done.code}: {done.output!r} {done.errors!r}"

    def arrived(self) -> EmailMessage:
        mail = self.place.mail(self.before + 1)
        assert len(mail) == self.before + 1
        return message_from_bytes(mail[-1], policy=policy.default)


@pytest.fixture
def client(place: Place, tmp_path: Path) -> Client:
    return Client(place, tmp_path)


def program(name: str, package: str) -> str:
    if not has_program(name):
        pytest.skip(f"needs {name} (Debian: {package})")
    return name


def body_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def sent_by(message: EmailMessage) -> str:
    """The envelope's sender."""
    return str(message["Return-Path"]).strip("<>")


def test_bsd_mailx(client: Client) -> None:
    name = program("bsd-mailx", "bsd-mailx")
    rc = client.file("mailrc", f"set sendmail={client.sendmail}\nset noautoinbox\n")
    client.run(f"/usr/bin/{name}", "-s", "from mailx", client.place.user, stdin=BODY, MAILRC=rc)
    got = client.arrived()
    assert (got["Subject"], body_of(got)) == ("from mailx", BODY)
    assert got["To"] == client.place.address
    assert client.place.address in got["From"]


def test_smartds_way_of_calling_mail(client: Client) -> None:
    name = program("bsd-mailx", "bsd-mailx")
    rc = client.file("mailrc", f"set sendmail={client.sendmail}\n")
    script = f'/usr/bin/{name} -s "$SMARTD_SUBJECT" $SMARTD_ADDRESS <<EOF\n$SMARTD_FULLMESSAGE\nEOF\n'
    client.run(
        *("/bin/sh", "-c", script),
        MAILRC=rc,
        SMARTD_SUBJECT="SMART error (Health) detected on host: box",
        SMARTD_ADDRESS=client.place.address,
        SMARTD_FULLMESSAGE="The following warning/error was logged by the smartd daemon:\n\nDevice: /dev/sda",
    )
    got = client.arrived()
    assert got["Subject"] == "SMART error (Health) detected on host: box"
    assert body_of(got).endswith("Device: /dev/sda\n")


def test_s_nail(client: Client) -> None:
    name = program("s-nail", "s-nail")
    rc = client.file("s-nailrc", f"set mta={client.sendmail} sendwait\nset from=other@{DOMAIN}\n")
    client.run(
        f"/usr/bin/{name}",
        "-s",
        "grüße",
        "-c",
        "x@localhost",
        client.place.address,
        stdin=BODY,
        MAILRC=rc,
        LANG="C.UTF-8",
    )
    got = client.arrived()
    assert (got["Subject"], body_of(got)) == ("grüße", BODY)
    assert got["From"] == f"other@{DOMAIN}"
    assert got["Cc"] is not None


def test_mutt(client: Client) -> None:
    name = program("mutt", "mutt")
    attachment = client.file("attachment.bin", "\x01\x02")
    rc = client.file(
        "muttrc",
        f'set sendmail="{client.sendmail} -oem -oi"\nset record=""\nset from="Me <me@{DOMAIN}>"\nset use_from\n',
    )
    words = ("-F", rc, "-s", "from mutt", "-b", client.place.address, "-a", attachment, "--", f"list@{DOMAIN}")
    client.run(f"/usr/bin/{name}", *words, stdin=BODY, MAIL="/dev/null")
    got = client.arrived()
    assert (got["Subject"], body_of(got)) == ("from mutt", BODY)
    assert (got["To"], got["Bcc"]) == (f"list@{DOMAIN}", None)
    assert [part.get_filename() for part in got.iter_attachments()] == ["attachment.bin"]


def test_git_send_email(client: Client) -> None:
    program("git", "git")
    if not os.path.exists("/usr/lib/git-core/git-send-email"):
        pytest.skip("needs git send-email (Debian: git-email)")
    patch = client.file(
        "0001-change.patch",
        f"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A U Thor <author@{DOMAIN}>\n"
        "Date: Sat, 21 Nov 2026 10:00:00 +0000\nSubject: [PATCH] Change a thing\n\nWhy.\n---\n a | 1 +\n\n"
        "diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+y\n-- \n2.39\n",
    )
    config = client.file(
        "gitconfig",
        f"[user]\n name = Committer\n email = committer@{DOMAIN}\n[sendemail]\n smtpServer = {client.sendmail}\n"
        " confirm = never\n suppresscc = all\n envelopeSender = auto\n",
    )
    words = ("send-email", f"--to={client.place.address}", f"--from=committer@{DOMAIN}", patch)
    client.run("/usr/bin/git", *words, GIT_CONFIG_GLOBAL=config, GIT_CONFIG_NOSYSTEM="1")
    got = client.arrived()
    assert got["Subject"] == "[PATCH] Change a thing"
    assert f"From: A U Thor <author@{DOMAIN}>" in body_of(got)
    assert sent_by(got) == f"committer@{DOMAIN}"
    assert "git-send-email" in got["X-Mailer"]


CRON = (
    "From: root (Cron Daemon)\nTo: {to}\nSubject: Cron <root@box> true\nMIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\n"
    "ünd done\n.\n"
)
CRONS = {
    "Debian's cron": ("-i", "-FCronDaemon", "-B8BITMIME", "-oem", "{to}"),
    "cronie": ("-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"),
    "systemd-cron": ("-i", "-B8BITMIME", "{to}"),
    "busybox crond": ("-ti",),
    "anacron": ("-FAnacron", "-odi", "{to}"),
    "at": ("-i", "{to}"),
}


@pytest.mark.parametrize("name", CRONS)
def test_crons_ways_of_calling(client: Client, name: str) -> None:
    to = client.place.user
    words = [word.format(to=to) for word in CRONS[name]]
    client.run(client.sendmail, *words, stdin=CRON.format(to=to), LANG="C")
    got = client.arrived()
    assert got["Subject"] == "Cron <root@box> true"
    assert f"root@{DOMAIN}" in got["From"]
    assert got["To"] == client.place.address
    assert got.get_content() == "ünd done\n.\n"
    if "-f" in words:
        assert sent_by(got) == f"root@{DOMAIN}"


PERL = r"""
open(my $mail, "|-", "$ENV{SENDMAIL} -t -oi") or die;
print $mail "From: web\@$ENV{DOMAIN}\nTo: $ENV{TO}\nBcc: x\@$ENV{DOMAIN}\nSubject: perl\n\nfirst line\n.\nlast line\n";
close($mail) or die "exit $?";
"""
MIME_LITE = r"""
use MIME::Lite;
my $text = "first line\n.\nlast line\n";
my $mail = MIME::Lite->new(From => "web\@$ENV{DOMAIN}", To => $ENV{TO}, Subject => "perl", Data => $text);
MIME::Lite->send("sendmail", "$ENV{SENDMAIL} -t -oi -oem");
$mail->send or die;
"""


@pytest.mark.parametrize("script", [PERL, MIME_LITE], ids=["open", "MIME::Lite"])
def test_perl(client: Client, script: str) -> None:
    program("perl", "perl")
    if script == MIME_LITE and client.place.run("/usr/bin/perl", "-MMIME::Lite", "-e", "1").code:
        pytest.skip("needs MIME::Lite (Debian: libmime-lite-perl)")
    words = {"SENDMAIL": client.sendmail, "DOMAIN": DOMAIN, "TO": client.place.address}
    client.run("/usr/bin/perl", "-e", script, **words)
    got = client.arrived()
    assert (got["Subject"], got["From"], got["Bcc"]) == ("perl", f"web@{DOMAIN}", None)
    assert body_of(got) == BODY


PHP = 'exit(mail(getenv("TO"), "php", "first line\\n.\\nlast line", "From: web@" . getenv("DOMAIN"){more}) ? 0 : 1);'


@pytest.mark.parametrize("parameters", ["", ', "-fbounces@" . getenv("DOMAIN")'])
def test_phps_mail(client: Client, parameters: str) -> None:
    program("php", "php-cli")
    code = PHP.replace("{more}", parameters)
    path = f"sendmail_path={client.sendmail} -t -i"
    client.run("/usr/bin/php", "-d", path, "-r", code, DOMAIN=DOMAIN, TO=client.place.address)
    got = client.arrived()
    assert (got["Subject"], got["From"], body_of(got)) == ("php", f"web@{DOMAIN}", BODY)
    if parameters:
        assert sent_by(got) == f"bounces@{DOMAIN}"


def test_php_hears_of_a_failure(client: Client) -> None:
    program("php", "php-cli")
    done = client.place.run(
        *("/usr/bin/php", "-d", f"sendmail_path={client.sendmail} -t -i"),
        *("-r", 'exit(mail("x@localhost", "x", "y", "From: (") ? 0 : 1);'),
    )
    assert done.code == 1
