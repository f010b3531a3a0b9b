"""Setup and the rest of the machine: another mail system, the manual, somebody else's directories, DNS."""

import contextlib
import os
import shutil
import subprocess

import pytest

from qmailpy.install import around
from tests.places import add_user, classic
from tests.privilege.setup_support import HOME, order
from tests.support import NOBODY, read, run_setup, write

pytestmark = pytest.mark.root


def test_another_mail_systems_sendmail_is_named_and_left_alone() -> None:
    os.unlink("/usr/sbin/sendmail") if os.path.lexists("/usr/sbin/sendmail") else None
    write("/usr/sbin/sendmail", "#!/bin/sh\n", 0o755)
    text = run_setup()
    assert "sendmail: /usr/sbin/sendmail is another program (/usr/sbin/sendmail): it was left alone" in text
    assert read("/usr/sbin/sendmail") == b"#!/bin/sh\n"
    os.unlink("/usr/sbin/sendmail")
    os.symlink(f"{HOME}/bin/sendmail", "/usr/sbin/sendmail")
    assert "sendmail: /usr/sbin/sendmail is ours" in run_setup()


def test_each_name_of_sendmail_needs_its_own_program() -> None:
    """Postfix has mailq as a link to ../sbin/sendmail: if only that one becomes ours, mailq waits for a message."""
    run_setup()
    os.symlink(f"{HOME}/bin/sendmail", "/run/mailq")
    (line,) = around.holders(HOME.encode(), (b"/run/mailq",))
    assert line.startswith(f"/run/mailq is another program ({HOME}/bin/sendmail): it was left alone (INSTALL.md")
    assert around.holders(HOME.encode(), (b"/run/newaliases",)) == [
        f"/run/newaliases does not exist: ln -s {HOME}/bin/newaliases /run/newaliases"
    ]


def test_uninstall_says_what_leads_into_the_home_and_touches_none_of_it() -> None:
    run_setup()
    for path, target in (
        ("/usr/sbin/sendmail", f"{HOME}/bin/sendmail"),
        ("/etc/service/qmail", HOME),
        ("/etc/service/door", f"{HOME}/boot/daemontools/qmail-queued"),
        ("/etc/service/other", "/etc"),
    ):
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)
    unit = write("/etc/systemd/system/qmail.service", f"[Service]\nExecStart={HOME}/bin/qmail-start ./Maildir/\n")
    write("/etc/systemd/system/other.service", "[Service]\nExecStart=/var/qmailer/x\n")
    code, text = order("--home", HOME, "--uninstall")
    lines = [line.removeprefix("uninstall: ") for line in text.splitlines() if " rm /" in line]
    assert (code, lines) == (
        0,
        [
            f"/usr/sbin/sendmail leads to {HOME}/bin/sendmail: rm /usr/sbin/sendmail",
            f"/etc/service/door leads to {HOME}/boot/daemontools/qmail-queued: rm /etc/service/door",
            f"/etc/service/qmail leads to {HOME}: rm /etc/service/qmail",
            f"{unit} names {HOME}: systemctl disable --now qmail.service; rm {unit}",
        ],
    )
    assert os.path.islink("/usr/sbin/sendmail")
    assert os.path.exists(unit)


def test_uninstall_waits_until_the_system_is_stopped() -> None:
    """Make uninstall beside running daemons once took their programs away without a word."""
    with contextlib.closing(classic({})) as place:
        place.start()
        code, text = order("--home", HOME, "--uninstall")
        assert code == 111
        assert text.startswith(f"setup: fatal: qmail-send and qmail-queued: still running in {HOME}; stop it first")
        assert text.count("\n") == 1
        place.send("joe")
        assert place.mail(1)
        place.stop()
        code, text = order("--home", HOME, "--uninstall")
        assert code == 0, text


def test_the_line_for_man_is_said_until_it_is_there() -> None:
    write("/etc/manpath.config", "# as Debian has it\n")
    assert "add the line 'MANDATORY_MANPATH /var/qmail/man' to /etc/manpath.config" in run_setup()
    write("/etc/manpath.config", "MANDATORY_MANPATH /var/qmail/man\n")
    assert "MANDATORY_MANPATH" not in run_setup()


def test_root_makes_an_embedded_home_for_a_user_and_writes_nothing_in_it_as_root() -> None:
    uid = add_user("joe")
    home = "/home/joe/mail"
    run_setup("--embedded", home, "--uid", str(uid), "--name", "mx.example.org")
    for folder, folders, files in os.walk(home):
        for name in [".", *folders, *files]:
            assert os.lstat(f"{folder}/{name}").st_uid == uid, f"{folder}/{name}"
    assert order("--embedded", home, "--check")[0] == 0
    assert read(f"{home}/alias/.qmail-postmaster") == b"&joe\n"
    code, text = order("--embedded", home, "--uid", str(NOBODY))
    assert (code, f"belongs to uid {uid}, not to uid {NOBODY}" in text) == (111, True)


@pytest.mark.parametrize("path", ["/tmp", "/usr", "/", "/home/joe", "/var/tmp/shared"])
def test_a_directory_that_is_no_home_is_refused_before_anything_is_touched(path: str) -> None:
    """QMAILHOME=/tmp once made everybody's /tmp a home, accounts and all."""
    add_user("joe")
    write("/home/joe/letter", "x")
    write("/tmp/queue/notes", "x")  # the name of one of ours does not make it a home
    os.mkdir("/var/tmp/shared")
    os.chmod("/var/tmp/shared", 0o1777)
    accounts = read("/etc/passwd"), read("/etc/group")
    before = os.stat(path)
    names = sorted(os.listdir(path))
    code, text = order("--home", path)
    after = os.stat(path)
    assert code == 111
    assert text.startswith("setup: fatal: ")
    assert "home" in text
    assert text.count("\n") == 1
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert sorted(os.listdir(path)) == names
    assert (read("/etc/passwd"), read("/etc/group")) == accounts
    shutil.rmtree("/tmp/queue")


def test_a_machine_without_useradd_is_told_what_to_do() -> None:
    for name in ("useradd", "groupadd"):
        os.unlink(f"/usr/sbin/{name}")
    code, text = order("--home", HOME)
    assert code == 111
    assert "make accounts" in text
    assert text.count("\n") == 1


def test_config_finds_the_names_of_the_machine() -> None:
    run_setup()
    done = subprocess.run([f"{HOME}/bin/config"], env={}, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"Your host's fully qualified name in DNS is mx.example.org.\n" in done.stdout
    assert b"192.0.2.1: Adding mx.example.org to control/locals...\n" in done.stdout
    assert read(f"{HOME}/control/rcpthosts") == read(f"{HOME}/control/locals") == b"localhost\nmx.example.org\n"


def test_config_apologises_on_a_machine_that_nobody_knows() -> None:
    run_setup()
    write("/etc/hosts", "127.0.0.1 localhost mx mx.example.org\n")
    done = subprocess.run([f"{HOME}/bin/config"], env={}, capture_output=True, check=False)
    assert done.returncode in (100, 111)
    assert b"Sorry, I couldn't find your host's canonical name in DNS.\n" in done.stdout
    assert not os.listdir(f"{HOME}/control") or os.listdir(f"{HOME}/control") == ["samples"]
