"""make setup check, as root on a machine of its own: accounts, owners, wrappers, several homes, and taking it away."""

import grp
import os
import pwd
import stat
import subprocess

import pytest

from qmailpy.disk.layout import HOME as ENTRIES
from qmailpy.disk.layout import QUEUE
from qmailpy.programs.table import PROGRAMS
from tests.privilege.setup_support import HOME, faults, order
from tests.support import CHECKOUT, NOBODY, read, run_setup, write

pytestmark = pytest.mark.root

USERS = {
    "alias": ("nofiles", f"{HOME}/alias"),
    "qmaild": ("nofiles", HOME),
    "qmaill": ("nofiles", HOME),
    "qmailp": ("nofiles", HOME),
    "qmailq": ("qmail", HOME),
    "qmailr": ("qmail", HOME),
    "qmails": ("qmail", HOME),
}


def test_a_fresh_machine_needs_nothing_else() -> None:
    write("/etc/skel/.qmail", "./Mailbox\n")
    os.umask(0o077)
    done = subprocess.run(
        ["make", "-C", CHECKOUT, "-o", ".venv/.ready", "setup", "check"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert f"check: {HOME} is as it should be" in done.stdout.decode()
    assert "config-fast" in done.stdout.decode()
    for user, (group, home) in USERS.items():
        entry = pwd.getpwnam(user)
        assert (entry.pw_gid, entry.pw_dir) == (grp.getgrnam(group).gr_gid, home)
        assert entry.pw_shell.endswith(("nologin", "false"))
    assert os.listdir(f"{HOME}/alias") == []  # nothing from /etc/skel


def test_owners_and_modes_are_those_of_the_tables() -> None:
    run_setup()
    owner = {user: pwd.getpwnam(user).pw_uid for user in [*USERS, "root"]}
    group = {name: grp.getgrnam(name).gr_gid for name in ("qmail", "nofiles", "root")}
    for entry in (*ENTRIES, *QUEUE):
        status = os.lstat(f"{HOME}/{entry.path}")
        found = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        assert found == (owner[entry.owner], group[entry.group], entry.mode), entry.path
    for name, program in PROGRAMS.items():
        status = os.lstat(f"{HOME}/bin/{name}")
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, group["qmail"], program.mode), name


def test_no_file_anywhere_has_a_privilege_bit_and_none_belongs_to_nofiles() -> None:
    run_setup()
    for folder, _, files in os.walk(HOME):
        for name in files:
            status = os.lstat(f"{folder}/{name}")
            assert not status.st_mode & 0o6000, name
            assert status.st_gid != grp.getgrnam("nofiles").gr_gid, name


# What is broken, and words of the line that check must print; those of one list, different things, are broken at once
BREAKS = [
    [
        ("chown 0:0 queue/todo", "queue/todo has wrong owner"),
        ("chown qmails queue/mess/7", "queue/mess/7 has wrong owner"),
        ("chgrp 0 queue/lock/trigger", "queue/lock/trigger has wrong group"),
        ("chown qmailr queue/lock/sendmutex", "sendmutex has wrong owner"),
        ("chmod 00755 alias", "alias has wrong mode: is 0755, should be 2755"),
        ("chmod 777 door", "door has wrong mode"),
        ("rmdir queue/remote/22", "queue/remote/22 does not exist"),
        ("truncate -s 0 queue/lock/tcpto", "queue/lock/tcpto has wrong size: is 0, should be 1024"),
        ("chown qmailq bin/qmail-queue", "bin/qmail-queue has wrong owner"),
        ("rm bin/qmail-lspawn", "bin/qmail-lspawn does not exist"),
        ("rm boot/home", "boot/home does not exist"),
        ("rm lib/current/qmailpy/__init__.py", "qmailpy/__init__.py does not exist"),
    ],
    [
        ("chmod 644 queue/lock/sendmutex", "sendmutex has wrong mode: is 0644, should be 0600 (chmod 0600 "),
        ("chmod 700 drop", "drop has wrong mode"),
        ("rm queue/lock/trigger", "queue/lock/trigger does not exist"),
        ("chmod 4755 bin/qmail-queue", "bin/qmail-queue has wrong mode: is 4755, should be 0755"),
        ("chown qmailq lib/current/qmailpy/verdict.py", "verdict.py has wrong owner"),
    ],
    [("rm lib/current", "lib/current does not exist")],
    [("rm -r lib/current/setproctitle", "setproctitle")],
    [("chmod 666 lib/current/qmailpy/verdict.py", "verdict.py has wrong mode")],
    [("rm lib/installed", "lib/installed does not exist")],
]


def test_check_names_each_broken_thing_and_setup_repairs_it() -> None:
    run_setup()
    for broken in BREAKS:
        for command, _ in broken:
            subprocess.run(["sh", "-ec", command], cwd=HOME, check=True)
        found = faults()
        for _, words in broken:
            assert [line for line in found if words in line], (words, found)
        assert len(broken) == 1 or len(found) == len(broken), found
        run_setup()
        assert faults() == [], broken


def test_check_names_broken_accounts() -> None:
    run_setup()
    subprocess.run(["usermod", "-g", "qmail", "qmaild"], check=True, capture_output=True)
    assert [line for line in faults() if line.startswith("check: user qmaild has wrong group: is ")]
    subprocess.run(["usermod", "-g", "nofiles", "-o", "-u", str(pwd.getpwnam("qmaill").pw_uid), "qmaild"], check=True)
    assert [line for line in faults() if "has the same uid as" in line]
    subprocess.run(["userdel", "qmaild"], check=True, capture_output=True)
    assert [line for line in faults() if line.startswith("check: user qmaild does not exist")]
    run_setup()
    assert pwd.getpwnam("qmaild").pw_gid == grp.getgrnam("nofiles").gr_gid


def test_a_link_that_a_role_put_into_the_queue_is_not_followed() -> None:
    run_setup()
    before = os.stat("/etc").st_uid, os.stat("/etc").st_mode
    os.rmdir(f"{HOME}/queue/mess/3")
    os.symlink("/etc", f"{HOME}/queue/mess/3")
    os.lchown(f"{HOME}/queue/mess/3", pwd.getpwnam("qmailq").pw_uid, -1)
    code, text = order("--home", HOME)
    assert code == 111
    assert f"setup: fatal: unable to make {HOME}/queue/mess/3" in text
    assert (os.stat("/etc").st_uid, os.stat("/etc").st_mode) == before


def test_a_second_name_for_a_queue_file_is_refused() -> None:
    run_setup()
    os.unlink(f"{HOME}/queue/lock/tcpto")
    write(f"{HOME}/victim", "secret")
    os.link(f"{HOME}/victim", f"{HOME}/queue/lock/tcpto")
    code, text = order("--home", HOME)
    assert (code, "has a second name" in text) == (111, True)
    assert os.stat(f"{HOME}/victim").st_uid == 0


def test_setup_never_touches_control_aliases_users_or_mail() -> None:
    run_setup()
    qmailq = pwd.getpwnam("qmailq").pw_uid
    mine = {
        "control/me": b"x\n",
        "control/locals": b"",
        "alias/.qmail-root": b"joe\n",
        "users/assign": b".\n",
        "queue/mess/3/3": b"mail",
    }
    for name, content in mine.items():
        os.chmod(write(f"{HOME}/{name}", content), 0o640)
        os.chown(f"{HOME}/{name}", qmailq, 1)
    run_setup()
    for name, content in mine.items():
        status = os.stat(f"{HOME}/{name}")
        assert (read(f"{HOME}/{name}"), status.st_uid, status.st_gid, status.st_mode & 0o777) == (
            content,
            qmailq,
            1,
            0o640,
        )


def test_a_wrapper_survives_every_setup_until_it_is_forced() -> None:
    run_setup()
    wrapper = '#!/bin/sh\nexec /usr/local/bin/filter /var/qmail/bin/qmail-remote.real "$@"\n'
    write(f"{HOME}/bin/qmail-remote", wrapper, 0o755)
    assert "kept /var/qmail/bin/qmail-remote" in run_setup()
    assert read(f"{HOME}/bin/qmail-remote").decode() == wrapper
    assert faults() == []
    run_setup("--force", "qmail-remote")
    assert b"Starts qmail-remote" in read(f"{HOME}/bin/qmail-remote")


def test_uninstall_removes_programs_and_nothing_of_anybodys() -> None:
    run_setup()
    write(f"{HOME}/bin/qmail-remote", "#!/bin/sh\n", 0o755)
    write(f"{HOME}/control/me", "mx.example.org\n")
    write(f"{HOME}/queue/mess/3/3", "mail")
    code, text = order("--home", HOME, "--uninstall")
    assert code == 0, text
    assert sorted(os.listdir(HOME)) == ["alias", "auth", "bin", "control", "door", "drop", "queue", "users"]
    assert os.listdir(f"{HOME}/bin") == ["qmail-remote"]
    assert read(f"{HOME}/queue/mess/3/3") == b"mail"
    assert pwd.getpwnam("qmails")
    run_setup("--force")
    assert faults() == []


def test_several_homes_live_on_one_machine() -> None:
    second = "/var/spool/second"
    run_setup()
    run_setup("--home", second)
    assert faults() == []
    assert faults(second) == []
    for home in (HOME, second):
        subprocess.run(
            [f"{home}/bin/config-fast", f"{os.path.basename(home)}.example.org"],
            env={},
            check=True,
            capture_output=True,
        )
        shown = subprocess.run(
            [f"{home}/bin/qmail-showctl"], env={}, user=NOBODY, capture_output=True, check=True
        ).stdout
        assert shown.startswith(f"qmail home directory: {home}.\n".encode())
        assert f"me: My name is {os.path.basename(home)}.example.org.\n".encode() in shown
    elsewhere = {"QMAILHOME": second}
    shown = subprocess.run([f"{HOME}/bin/qmail-showctl"], env=elsewhere, capture_output=True, check=True).stdout
    assert b"me: My name is second.example.org.\n" in shown


def test_an_installed_home_needs_neither_checkout_nor_environment() -> None:
    """Its launchers run for anybody, with an empty environment, from a directory full of traps."""
    run_setup()
    os.mkdir("/home/trap")
    for name in ("posix.py", "qmailpy.py", "sitecustomize.py", "socket.py"):
        write(f"/home/trap/{name}", "raise SystemExit(3)\n")
    done = subprocess.run(
        [f"{HOME}/bin/qmail-showctl"],
        cwd="/home/trap",
        env={"PYTHONPATH": "/home/trap"},
        user=NOBODY,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert CHECKOUT.encode() not in read(f"{HOME}/bin/qmail-showctl")
