"""The services as they have always been written: run files in qmail's home, linked for svscan, under tcpserver.

`smtpd/run` has envuidgid, softlimit and `tcpserver -UDHRQ 0 smtp`; its log is multilog's, or goes to syslog.
"""

import contextlib
import os
import re
import subprocess
import sys

import pytest

from tests.neighbours import Service, dns_server, needs, svscan, syslog
from tests.places import CLASSIC_HOME, Place, classic
from tests.reception_support import Client
from tests.support import CHECKOUT, SETUP, read, wait_for, write

pytestmark = pytest.mark.root

RUN = f"""#!/bin/sh
exec env - PATH="{CLASSIC_HOME}/bin:$PATH" qmail-start ./Maildir/ splogger qmail
"""
SMTPD = f"""#!/bin/sh
exec 2>&1
exec envuidgid qmaild softlimit -m {{memory}} \\
tcpserver -UDHRQ 0 smtp {CLASSIC_HOME}/bin/qmail-smtpd
"""
MULTILOG = """#!/bin/sh
exec setuidgid qmaill multilog t ./main
"""
SPLOGGER = f"""#!/bin/sh
exec setuidgid qmaill {CLASSIC_HOME}/bin/splogger smtpd
"""


class Services:
    """Both of them, linked."""

    def __init__(self, place: Place) -> None:
        self.place, self.folder = place, f"{CLASSIC_HOME}/smtpd"
        write(f"{CLASSIC_HOME}/run", RUN, 0o755)
        os.makedirs(f"{self.folder}/log/main")
        os.chown(f"{self.folder}/log/main", place.uid_of("qmaill"), 0)
        write(f"{self.folder}/run", SMTPD.format(memory=2000000), 0o755)
        write(f"{self.folder}/log/run", MULTILOG, 0o755)
        os.symlink(CLASSIC_HOME, "/etc/service/qmail")
        os.symlink(self.folder, "/etc/service/smtpd")
        self.smtpd, self.logger = Service("/etc/service/smtpd"), Service("/etc/service/smtpd/log")

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return read(f"{self.folder}/log/main/current").decode()
        return ""

    def connect(self) -> Client:
        def greeted() -> Client | None:
            with contextlib.suppress(OSError):
                client = Client("127.0.0.1", 25)
                if client.line().startswith("220 "):
                    return client
                client.close()
            return None

        client = wait_for(greeted, lambda: f"port 25: {self.smtpd.state()}\n{self.log()}")
        assert client is not None
        assert client.say("HELO far.example") == "250 mx.example.org"
        return client


def check() -> str:
    """What `make check` says."""
    words = [sys.executable, "-P", "-B", SETUP, "--home", CLASSIC_HOME, "--check"]
    done = subprocess.run(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout.decode()


def test_the_classic_services(tmp_path: object) -> None:
    """Without -l tcpserver asks the DNS, for each connection, what our own address is called: so there is one."""
    needs("svscan", "envuidgid", "softlimit", "tcpserver", "multilog", "setuidgid")
    place = classic({})
    with (
        dns_server(f"{tmp_path}/dns", {"127.in-addr.arpa": "1.0.0 IN PTR mx.example.org.\n"}),
        syslog() as heard,
        svscan(),
    ):
        services = Services(place)

        # the number of 1998 does not start anything; the log says what the system says, check what to write instead
        wait_for(lambda: "error while loading shared libraries" in services.log(), "the end of what has no memory")
        found = re.search(rf"{services.folder}/run: softlimit gives 2000000 bytes, .* \(softlimit -m (\d+)\)", check())
        assert found
        measured = re.search(r"softlimit -m (\d+)", read(f"{CLASSIC_HOME}/boot/daemontools/qmail-smtpd/run").decode())
        assert measured
        assert abs(int(measured[1]) - int(found[1])) <= 10_000_000  # it is a few pages more or less each time
        write(f"{services.folder}/run", SMTPD.format(memory=found[1]), 0o755)
        services.smtpd.svc("-t")

        # mail comes in, as qmaild; what is refused is in the log, with its time
        with services.connect() as client:
            assert client.mail("liar@far.example", place.address)[:7] == "250 ok "
            assert client.say("MAIL FROM:<a@b.example>") == "250 ok"
            assert client.say("RCPT TO:<ann@other.example>").startswith("553 ")
            (session,) = sessions(services.smtpd.pid)
            assert uids_of(session) == uids_of(services.smtpd.pid) == {place.uid_of("qmaild")}
            assert read(f"/proc/{session}/limits").decode().split("Max address space")[1].split()[0] == found[1]
        (text,) = place.mail(1)
        assert b" invoked from network); " in text
        assert b"\n  by mx.example.org with SMTP; " in text
        line = r"^@[0-9a-f]{24} qmail-smtpd: refused 127\.0\.0\.1 rule=rcpthosts .* to=<ann@other\.example> "
        wait_for(lambda: re.search(line, services.log(), re.MULTILINE), lambda: f"{line}: {services.log()}")

        # the log to syslog instead, and tcpserver goes on
        write(f"{services.folder}/log/run", SPLOGGER, 0o755)
        server = services.smtpd.pid
        services.logger.svc("-t")
        with services.connect() as client:
            assert client.say("MAIL FROM:<a@b.example>") == "250 ok"
            assert client.say("RCPT TO:<bob@other.example>").startswith("553 ")
        wait_for(
            lambda: any(b" smtpd: " in one and b"to=<bob@other.example>" in one for one in heard.received),
            lambda: f"the line in syslog: {heard.received}",
        )
        assert services.smtpd.pid == server
        services.smtpd.svc("-dx")
        services.logger.svc("-dx")
        Service("/etc/service/qmail").svc("-dx")


def sessions(server: int) -> list[int]:
    return [int(word) for word in read(f"/proc/{server}/task/{server}/children").split()]


def uids_of(pid: int) -> set[int]:
    (line,) = [line for line in read(f"/proc/{pid}/status").split(b"\n") if line.startswith(b"Uid:")]
    return {int(word) for word in line.split()[1:]}
