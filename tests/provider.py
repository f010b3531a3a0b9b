"""A mail provider: Postfix's smtpd for users who log in, by Dovecot's passwords; what it takes ends in a sink.

Only in a machine of a test's own (tests/namespaces.py).
"""

import contextlib
import os
import shutil
from collections.abc import Iterator

from tests.neighbours import POSTFIX_SERVICES, Sink, is_answered, make_spool, needs, smtp_sink, started
from tests.support import PATH, read, wait_for, write
from tests.tls_support import Server

ADDRESS = "198.51.100.25"

POSTFIX = """compatibility_level = 3.6
myhostname = smtp.example.org
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
maillog_file = /var/log/postfix.log
relayhost = [127.0.0.1]:2525
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = /run/auth/socket
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""
MASTER = """
198.51.100.25:25 inet n - n - - smtpd
  -o smtpd_tls_security_level=may
  -o smtpd_sasl_auth_enable=no
  -o mynetworks=0.0.0.0/0
  -o smtpd_relay_restrictions=permit_mynetworks,reject
198.51.100.25:587 inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
198.51.100.25:465 inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
"""
DOVECOT = """
base_dir = /run/dovecot
log_path = /run/auth/log
protocols =
ssl = no
auth_mechanisms = {mechanisms}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN /run/auth/passwd
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  unix_listener /run/auth/socket {{
    mode = 0666
  }}
}}
"""


@contextlib.contextmanager
def provider(server: Server, password: str, mechanisms: str = "plain login") -> Iterator[Sink]:
    """It runs at ADDRESS: ports 587 and 465 for joe, and 25 for everybody.  password: joe's; it has no colon."""
    needs("postfix", "dovecot", "smtp-sink")
    os.makedirs("/run/auth", exist_ok=True)
    write("/run/auth/passwd", f"joe:{{PLAIN}}{password}::::::\n")
    write("/run/auth/dovecot.conf", DOVECOT.format(mechanisms=mechanisms))
    write("/etc/postfix/main.cf", POSTFIX.format(certificate=server.certificate, key=server.key))
    write("/etc/postfix/master.cf", MASTER + POSTFIX_SERVICES)
    for name in ("main.cf", "master.cf"):  # Postfix waits two seconds for a file that may still be being written
        os.utime(f"/etc/postfix/{name}", (1, 1))
    make_spool("/var/spool/postfix")
    os.makedirs("/var/lib/postfix", exist_ok=True)
    shutil.chown("/var/lib/postfix", "postfix")
    with (
        smtp_sink("/run/sink", "127.0.0.1", 2525) as sink,
        started(["dovecot", "-F", "-c", "/run/auth/dovecot.conf"]),
        started(
            ["/usr/lib/postfix/sbin/master", "-d"],
            env={"PATH": PATH, "MAIL_CONFIG": "/etc/postfix"},
        ),
    ):
        wait_for(lambda: os.path.exists("/run/auth/socket"), "dovecot")
        wait_for(lambda: all(is_answered(ADDRESS, port) for port in (25, 587, 465)), "postfix")
        yield sink


def log() -> str:
    """What Postfix and Dovecot said."""
    paths = ("/var/log/postfix.log", "/run/auth/log")
    return "".join(read(path).decode(errors="replace") for path in paths if os.path.exists(path))
