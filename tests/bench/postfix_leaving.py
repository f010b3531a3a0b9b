"""Postfix's way from its queue to an smtp-sink, for tests/bench/leaving: as it comes, and only what that part costs.

In namespaces of our own, as root. Its processes for that are qmgr, smtp and scache, and trivial-rewrite, which cleanup
asks too; smtpd, cleanup and the rest stand for our door, and apart.
"""

import os
import shutil
import subprocess
import time

from tests import namespaces
from tests.bench import leaving
from tests.neighbours import POSTFIX_SERVICES, is_answered, make_spool, started
from tests.support import PATH, free_port, wait_for, write

LEAVING = ("qmgr", "smtp", "scache", "trivial-rewrite")
WARM = 100  # messages before the count begins
_MASTER = "/usr/lib/postfix/sbin/master"
_SOURCE = "/usr/sbin/smtp-source"
_MAIN_CF = """\
compatibility_level = 3.6
myhostname = mx.example.org
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
queue_directory = {spool}
data_directory = {data}
maillog_file =
relayhost = [127.0.0.1]:{sink}
max_use = 1000000
"""
_MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
relay unix - - n - - smtp
scache unix - - n - 1 scache
"""


def run(scratch: str, folder: str, count: int) -> None:
    """Its table, or why there is none."""
    if not (os.path.exists(_MASTER) and os.path.exists(_SOURCE)):
        print("Postfix is not installed: nothing to compare with")
        return
    if not os.path.isdir(f"{scratch}/etc"):
        namespaces.make_etc(scratch)
    sink, port, spool, data = free_port(), free_port(), f"{folder}/postfix", f"{folder}/postfix-data"
    os.makedirs(data)
    shutil.chown(data, "postfix")
    make_spool(spool)
    write("/etc/postfix/main.cf", _MAIN_CF.format(spool=spool, data=data, sink=sink))
    write("/etc/postfix/master.cf", _MASTER_CF.format(port=port) + POSTFIX_SERVICES)
    words, environment = [_MASTER, "-d"], {"PATH": PATH, "MAIL_CONFIG": "/etc/postfix"}
    with leaving.sink(sink), started(words, env=environment) as master:
        wait_for(lambda: is_answered("127.0.0.1", port), "postfix")
        send(port, spool, WARM)
        before, begin = leaving.spent(master.pid), time.monotonic()
        send(port, spool, count)
        seconds, after = time.monotonic() - begin, leaving.spent(master.pid)
    cost: dict[str, float] = {}
    for (name, pid), value in after.items():
        cost[name] = cost.get(name, 0.0) + value - before.get((name, pid), 0.0)
    print(f"Postfix, as it comes: {count / seconds:.0f} messages/s")
    for name in LEAVING:
        print(f"    {name:16}{cost.get(name, 0.0) * 1000 / count:6.3f}")
    print(f"  {'together':16}{sum(cost.get(name, 0.0) for name in LEAVING) * 1000 / count:8.3f}")
    rest = sum(value for name, value in cost.items() if name not in LEAVING)
    print(f"  {'and the others':16}{rest * 1000 / count:8.3f}\n", flush=True)


def send(port: int, spool: str, count: int) -> None:
    """So many, 20 at a time, until its queue is empty."""
    words = [_SOURCE, "-s", "20", "-m", str(count), "-l", "2000", "-f", "a@mx.example.org", "-t", "b@far.example"]
    subprocess.run([*words, f"127.0.0.1:{port}"], check=True)
    folders = [f"{spool}/{name}" for name in ("maildrop", "incoming", "active")]
    wait_for(lambda: not any(os.listdir(folder) for folder in folders), "postfix to deliver all", 300)
    assert not any(files for _, _, files in os.walk(f"{spool}/deferred")), "postfix has deferred mail"
