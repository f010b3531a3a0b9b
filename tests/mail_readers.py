"""What reads the mail that we delivered: Dovecot, mutt, a shell at a terminal. Real ones, from Debian."""

import contextlib
import imaplib
import os
import pty
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.neighbours import is_answered, needs, started
from tests.support import PATH, read, wait_for, write

LMTP_PORT, IMAP_PORT = 24, 143
DOVECOT = """
base_dir = {folder}/run
log_path = {folder}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_format = %Ln
postmaster_address = postmaster@mx.example.org
hostname = mx.example.org
mail_privileged_group = mail
mbox_write_locks = dotlock fcntl
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = passwd
}}
namespace inbox {{
  inbox = yes
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    port = {port}
  }}
}}
{more}
"""


class Dovecot:
    """A Dovecot with its configuration in a directory of the test's."""

    def __init__(self, folder: str) -> None:
        self.folder, self.configuration, self.socket = folder, f"{folder}/dovecot.conf", f"{folder}/lmtp"

    def inbox(self, user: str) -> list[bytes]:
        """Every message in this user's inbox, as an IMAP client gets it, without CRs."""
        with imaplib.IMAP4("127.0.0.1", IMAP_PORT, timeout=20) as client:
            client.login(user, "secret")
            client.select("INBOX")
            _, numbers = client.search(None, "ALL")
            found = []
            for number in numbers[0].split():
                _, parts = client.fetch(number.decode(), "(BODY.PEEK[])")
                found.append(next(part[1] for part in parts if isinstance(part, tuple)).replace(b"\r\n", b"\n"))
        return found


def configure_dovecot(folder: str, location: str, more: str = "") -> Dovecot:
    """Its configuration only, for its delivery agent.  location: of mail_location."""
    os.makedirs(folder)
    os.chmod(folder, 0o755)
    more = f"mail_location = {location}\n{more}"
    write(f"{folder}/dovecot.conf", DOVECOT.format(folder=folder, port=LMTP_PORT, more=more))
    return Dovecot(folder)


@contextlib.contextmanager
def dovecot(folder: str, location: str, more: str = "") -> Iterator[Dovecot]:
    """Dovecot as IMAP and LMTP server for the machine's accounts."""
    needs("dovecot", "doveadm")
    server = configure_dovecot(folder, location, more)
    with started(["dovecot", "-F", "-c", server.configuration]):
        wait_for(
            lambda: is_answered("127.0.0.1", LMTP_PORT) and is_answered("127.0.0.1", IMAP_PORT),
            lambda: f"dovecot:\n{read(f'{folder}/log').decode(errors='replace')}",
        )
        yield server
    wait_for(lambda: not is_answered("127.0.0.1", LMTP_PORT), "the end of dovecot's listeners")


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, words: list[str], environment: Mapping[str, str], **options: Any) -> None:
        """options: for Popen."""
        self._ours, theirs = pty.openpty()
        self.shown = b""
        self._process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={"PATH": PATH, "TERM": "vt100", **environment},
            **options,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def look(self) -> bytes:
        """All that was shown by now."""
        with contextlib.suppress(OSError):
            while piece := os.read(self._ours, 65536):
                self.shown += piece
        return self.shown

    def wait_for(self, text: bytes) -> None:
        wait_for(lambda: text in self.look(), lambda: f"{text!r} in {self.shown!r}")

    def wait_for_exit(self, seconds: float = 20) -> int:
        """Its exit code; what it shows must be taken meanwhile."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            self.look()
            assert time.monotonic() < deadline, self.shown
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
        return self._process.returncode

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)
