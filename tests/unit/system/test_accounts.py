"""Accounts: found as the C library finds them; a source that fails is not "no such account"."""

import ctypes
import errno
import os
import pwd

import pytest

from qmailpy.system import accounts


def test_every_account_of_this_machine_is_found_as_it_is() -> None:
    for entry in pwd.getpwall()[:20]:
        expected = (os.fsencode(entry.pw_name), entry.pw_uid, entry.pw_gid, os.fsencode(entry.pw_dir))
        assert accounts.find_user(os.fsencode(entry.pw_name)) == expected


@pytest.mark.parametrize("name", [b"", b"no-such-account-here", b"ro\0ot", b"\xff\xfe", b"x" * 100000])
def test_a_name_that_is_no_account_is_none(name: bytes) -> None:
    assert accounts.find_user(name) is None


def test_a_source_that_fails_is_an_error_and_not_an_unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        """A C library whose source of accounts is out of order."""

        def __init__(self, _: object) -> None: ...

        @staticmethod
        def getpwnam_r(*_: object) -> int:
            return errno.EIO

    monkeypatch.setattr(ctypes, "CDLL", Broken)
    with pytest.raises(OSError) as caught:
        accounts.find_user(b"root")
    assert caught.value.errno == errno.EIO
