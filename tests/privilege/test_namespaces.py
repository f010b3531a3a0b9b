"""The harness of root's tests: what such a test finds, and that nothing of it is seen outside."""

import os
import socket
import subprocess

import pytest

from tests import namespaces
from tests.places import add_user

pytestmark = pytest.mark.root


def test_it_runs_in_a_machine_of_its_own() -> None:
    assert namespaces.inside()
    assert os.getppid() == 1
    assert socket.gethostname() == namespaces.HOSTNAME
    assert os.listdir("/home") == []
    assert not os.path.lexists("/dev/log")
    assert os.listdir("/etc/service") == []


def test_accounts_are_added_to_a_copy() -> None:
    add_user("joe")
    assert subprocess.run(["id", "-u", "joe"], capture_output=True, check=True).stdout == b"1717\n"


def test_the_accounts_of_another_test_are_not_here() -> None:
    assert subprocess.run(["id", "joe"], capture_output=True, check=False).returncode != 0


def test_another_machine_answers_on_an_address_that_is_not_ours() -> None:
    far = ("198.51.100.25", 25)
    with socket.create_server(far) as listener, socket.create_connection(far, 5):
        connection, _ = listener.accept()
        connection.close()
    addresses = subprocess.run(["ip", "-o", "address"], capture_output=True, check=True).stdout
    assert b"198.51.100" not in addresses
    assert b"192.0.2.1" in addresses


def test_the_home_is_on_a_real_file_system_and_usr_sbin_can_be_changed() -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", "/var/qmail"], capture_output=True, check=True).stdout
    assert kind != b"tmpfs\n"
    before = len(os.listdir("/usr/sbin"))
    os.symlink("/var/qmail/bin/sendmail", "/usr/sbin/sendmail.new")
    os.rename("/usr/sbin/sendmail.new", "/usr/sbin/sendmail")
    assert len(os.listdir("/usr/sbin")) in (before, before + 1)
