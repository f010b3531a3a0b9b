"""`sendmail -t` beside Postfix's and dma's: run in turn, each as an ordinary user, until the message is on disk.

The three take turns, so that whatever else the machine does meets all of them; each figure is a median, and a ratio is
the median of the ratios within the turns. CPU is user and system time of the program that is run and of those that it
waits for. It is not all that a message costs: ours is then in the queue, through the door, whose time stands in the
line below; Postfix's is in maildrop/, and pickup and cleanup are still to come; dma's is in its spool.
Postfix's daemons do not run, and nobody sends.

Both others have a configuration and a spool of their own here, on the disk that our home is on, in namespaces that end
with the bench. dma cannot be installed beside Postfix: its package is unpacked.
"""

import contextlib
import glob
import json
import os
import shutil
import statistics
import subprocess
import time
from typing import Any

from tests import namespaces
from tests.neighbours import make_spool
from tests.support import PATH, write

TURNS = 40
POSTFIX, DMA, OURS = "Postfix", "dma", "qmailpy"
TO = "someone@there.example"
LIST = "contenders"
_DOWNLOAD = 60  # seconds
_MAIN_CF = """\
compatibility_level = 3.6
myhostname = mx.example.org
queue_directory = {spool}
data_directory = {data}
maillog_file =
inet_interfaces = loopback-only
"""


class Contender:
    """argv: its sendmail -t, or reason: why there is none; spool: where each message leaves files, if we can look."""

    def __init__(self, name: str, argv: list[str] | None = None, reason: str = "", spool: str = "") -> None:
        self.name, self.argv, self.reason, self.spool = name, argv, reason, spool


def fetch_dma(scratch: str) -> str:
    """Outside of namespaces, where there is a network.  Result: where its package is unpacked, or why it is not."""
    folder = f"{scratch}/dma"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "no apt-get and dpkg-deb here"
    os.mkdir(folder)
    os.chmod(folder, 0o777)  # apt-get fetches as a user of its own
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["apt-get", "-q", "download", "dma"], cwd=folder, capture_output=True, check=False, timeout=_DOWNLOAD
        )
    packages = glob.glob(f"{folder}/dma_*.deb")
    if not packages:
        return "apt-get download dma has brought nothing"
    done = subprocess.run(["dpkg-deb", "-x", packages[0], f"{folder}/tree"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "its package cannot be unpacked"


def prepare(scratch: str, folder: str, trouble: str) -> None:
    """In namespaces of our own, as root: configurations and spools.  trouble: of fetch_dma()."""
    namespaces.make_etc(scratch)
    found = [_postfix(folder), Contender(DMA, reason=trouble) if trouble else _dma(scratch, folder)]
    write(f"{folder}/{LIST}", json.dumps([vars(one) for one in found]))


def _postfix(folder: str) -> Contender:
    if not os.path.exists("/usr/sbin/postdrop") or shutil.which("postconf", path=PATH) is None:
        return Contender(POSTFIX, reason="it is not installed")
    spool, data = f"{folder}/postfix", f"{folder}/postfix-data"
    os.makedirs(data)
    make_spool(spool)
    write("/etc/postfix/main.cf", _MAIN_CF.format(spool=spool, data=data))
    program = os.path.realpath("/usr/sbin/sendmail")
    with open(program, "rb") as file:
        if b"postdrop" not in file.read():
            return Contender(POSTFIX, reason="/usr/sbin/sendmail is another's")
    return Contender(POSTFIX, [program, "-t", "-i"])


def _dma(scratch: str, folder: str) -> Contender:
    """It changes to the group mail by its set-gid bit, and writes into a spool of that group."""
    program, spool = f"{folder}/dma", f"{folder}/dma-spool"
    try:
        shutil.copy(f"{scratch}/dma/tree/usr/sbin/dma", program)
        os.mkdir(spool)
        for path, mode in ((program, 0o2755), (spool, 0o2775)):
            shutil.chown(path, "root", "mail")
            os.chmod(path, mode)
    except (OSError, LookupError) as error:
        return Contender(DMA, reason=f"it cannot be placed: {error}")
    write("/etc/dma/dma.conf", f"SPOOLDIR {spool}\nDEFER\nMAILNAME mx.example.org\n")
    write("/etc/dma/auth.conf", "")
    write("/etc/mailname", "mx.example.org\n")
    return Contender(DMA, [program, "-t", "-i"], spool=spool)


def contenders(folder: str, ours: str) -> list[Contender]:
    """All three, ours first.  ours: our sendmail."""
    try:
        with open(f"{folder}/{LIST}", encoding="utf-8") as file:
            others = [Contender(**one) for one in json.load(file)]
    except FileNotFoundError:
        reason = "it needs namespaces of its own: only for root"
        others = [Contender(name, reason=reason) for name in (POSTFIX, DMA)]
    return [Contender(OURS, [ours, "-t", "-i"]), *others]


def compare(all_of_them: list[Contender], body: bytes, environment: dict[str, str], turns: int = TURNS) -> None:
    """The turns, and their table on descriptor 1.  A contender that fails once is told of, and out."""
    message = f"To: {TO}\n".encode() + body
    taken: dict[str, list[tuple[float, float]]] = {one.name: [] for one in all_of_them}
    playing = [one for one in all_of_them if one.argv]
    for one in list(playing):
        trouble = _run(one, message, environment)[2]  # the first time it is read from disk: does not count
        if trouble:
            one.reason = trouble
            playing.remove(one)
    for turn in range(turns):
        for at in range(len(playing)):
            one = playing[(turn + at) % len(playing)]
            wall, cpu, trouble = _run(one, message, environment)
            one.reason = one.reason or trouble
            taken[one.name].append((wall, cpu))
    for one in playing:
        if one.spool and len(os.listdir(one.spool)) < turns:
            one.reason = f"of {turns} messages it has kept {len(os.listdir(one.spool))} files"
    _show(all_of_them, taken, turns)


def _run(one: Contender, message: bytes, environment: dict[str, str]) -> tuple[float, float, str]:
    """Milliseconds until it ends, milliseconds of CPU, and what it said where it failed."""
    assert one.argv is not None
    begin = time.monotonic()
    process = subprocess.Popen(
        one.argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(message)
        process.stdin.close()
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    trouble = f"it exits {process.returncode}: {said[:200]!r}" if process.returncode else ""
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000, trouble


def _show(all_of_them: list[Contender], taken: dict[str, list[tuple[float, float]]], turns: int) -> None:
    print(f"sendmail -t, one after the other in {turns} turns: medians, milliseconds a message")
    rival = taken.get(POSTFIX) or []
    for one in all_of_them:
        times = taken[one.name]
        if one.reason or not times:
            print(f"  {one.name:10} not measured: {one.reason}")
            continue
        wall, cpu = (statistics.median(each) for each in zip(*times, strict=True))
        line = f"  {one.name:10} until it returns{wall:8.2f}   CPU{cpu:8.2f}"
        if rival and one.name != POSTFIX and not _reason_of(POSTFIX, all_of_them):
            walls, cpus = ([own[at] / other[at] for own, other in zip(times, rival, strict=True)] for at in (0, 1))
            line += f"   Postfix's x{statistics.median(walls):5.2f}, CPU x{statistics.median(cpus):5.2f}"
        print(line)
    print("  pass: <= 1.2 x Postfix's; aim: <= Postfix's", flush=True)


def _reason_of(name: str, all_of_them: list[Contender]) -> Any:
    return next(one.reason for one in all_of_them if one.name == name)
