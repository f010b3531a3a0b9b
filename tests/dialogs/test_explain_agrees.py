"""What qmail-explain says is what happens: each address explained, then really delivered by qmail-lspawn, and compared.

The test is in qmail-send's place: it routes the address by qmail-send's own rule and gives it to qmail-lspawn, in an
embedded home with users/cdb, accounts, alias, virtual domains, aliases, .forward and a default delivery. Forwards go
into a queue that records. Addresses are what a stranger may choose, so some of them are hostile.
"""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk import cdb
from qmailpy.disk.home import Home
from qmailpy.rules import rewrite, users
from qmailpy.rules.existing import KNOWN, REFUSED, UNKNOWN
from qmailpy.skeletons import domains
from qmailpy.wire.delivery import LOCAL
from tests.places import identity
from tests.policy_support import existing
from tests.spawn_support import Spawner, new_home, queued
from tests.support import DOMAIN, PATH, RecordingQueue, give, read, write

DEFAULT = "|qmail-dotforward .forward\n./Maildir/"
SENDER = "s@x.example"
RAN = '|echo {} >> "$QMAILHOME/ran"'

FILES = {
    "control/virtualdomains": "virt.example:alias-v\n.sub.example:USER-sub\nexempt.sub.example:\n",
    "control/percenthack": "hack.example\n",
    "control/locals": f"{DOMAIN}\nhack.example\n",
    "home/.qmail-all": f"./Mailbox\n./Maildir/\n&ann@far.example\nbob@{DOMAIN}\n" + RAN.format("all") + "\n",
    "home/.qmail-list": "&one@far.example\n&two@far.example\n",
    "home/.qmail-list-owner": "./Mailbox\n",
    "home/.qmail-verp": "&one@far.example\n",
    "home/.qmail-verp-owner": "./Mailbox\n",
    "home/.qmail-verp-owner-default": "./Mailbox\n",
    "home/.qmail-empty": "",
    "home/.qmail-drop": "#\n",
    "home/.qmail-blank": "\n./Mailbox\n",
    "home/.qmail-half": "./Mailbox\n./Box\r\n&ann@far.example\n",
    "home/.qmail-plus": "+list\n&ann@far.example\n./Mailbox\n",
    "home/.qmail-a-default": RAN.format("'default'$DEFAULT") + "\n",
    "home/.qmail-sub-default": RAN.format("sub") + "\n./Mailbox\n",
    "home/.qmail-fwd": "|forward ann@far.example bob@far.example\n",
    "home/.qmail-aliased": "|qmail-aliases -p\n./Mailbox\n",
    "home/.forward": "",
    "home/.forward+work": "carol@far.example, \\USER\n",
    "home/.forward+away": 'carol@far.example, "' + RAN.format("away").replace('"', '\\"') + '"\n',
    "home/.qmail-work": "|qmail-dotforward .forward\n./Mailbox\n",
    "home/.qmail-away": "|qmail-dotforward .forward\n./Mailbox\n",
    "home/.qmail-open": "./Mailbox\n",
    "alias/.qmail-help": "&USER\n",
    "alias/.qmail-john:doe": "&john@far.example\n",
    "alias/.qmail-v-default": "./Mailbox\n",
    "alias/.qmail-default": "|qmail-aliases\n",
    "alias/aliases": "office: ann@far.example, \\USER, staff\nstaff: bob@far.example, office, |echo staff >> "
    '"$QMAILHOME/ran"\nowner-office: root\nloop: loop2\nloop2: loop\nme: me\ngone: "error:550 no longer here"\n'
    "void: /dev/null\nUSER-aliased: \\USER-aliased, dan@far.example\nfile: @HOME/alias/Mailbox\n",
}
ADDRESSES = [
    "USER",
    "USER@far.example",
    "User-All",
    "USER-list",
    "USER-List",
    "USER-verp",
    "USER-empty",
    "USER-drop",
    "USER-blank",
    "USER-half",
    "USER-plus",
    "USER-a-B.c",
    "USER-fwd",
    "USER-aliased",
    "USER-work",
    "USER-away",
    "USER-open",
    "USER-nobody",
    "help",
    "John.Doe",
    "Office",
    "office+ext",
    "staff",
    "loop",
    "me",
    "gone",
    "void",
    "file",
    "nobody-at-all",
    "x@virt.example",
    "X-Y@VIRT.example",
    "x@a.sub.example",
    "x@exempt.sub.example",
    f"USER%{DOMAIN}@hack.example",
    "USER%far.example@hack.example",
    "boss",
    "Boss",
    "sales-East.1",
    "sales",
    "alias-help",
    # a stranger's choice
    "|touch pwned",
    f"|touch pwned@{DOMAIN}",
    "/etc/passwd",
    f"./Mailbox@{DOMAIN}",
    f"../../x@{DOMAIN}",
    "USER-../../home/Mailbox",
    "-f",
    "--",
    "*",
    ":include:/etc/passwd",
    "\\USER",
    '"$(touch pwned)"',
    "USER-`touch pwned`",
    "USER-a-`touch pwned`; touch pwned",
    "USER-a-b\nc",
    "x\ny",
    "x\ry",
    "\x1b[2J",
    "USER-\xe9\xff",
    "a@b",
    f"office@far.example@{DOMAIN}",
    f"@{DOMAIN}",
    "USER-" + "x" * 900,
    "x" * 1000,
    "USER-" + "-".join("x" * 100),
]


class Ground:
    """The home, its qmail-lspawn, and what a delivery leaves."""

    def __init__(self, folder: Path) -> None:
        self.home = new_home(folder)
        self.queue = RecordingQueue(f"{folder}/queued")
        self.spawner = Spawner(self.home, "qmail-lspawn", DEFAULT, **self.queue.environment)
        self.user = self.spawner.user
        for path, text in FILES.items():
            path = f"{self.home}/{path}"  # noqa: PLW2901
            text = text.replace("USER", self.user).replace("@HOME", self.home)  # noqa: PLW2901
            write(path, text)
        write(f"{self.home}/home/.qmail-open", "./Mailbox\n", 0o666)
        os.utime(f"{self.home}/alias/aliases", (1, 1))
        who = b"%d\0%d\0%s/home\0" % (self.spawner.uid, os.stat(f"{self.home}/home").st_gid, self.home.encode())
        table = [
            (users.WILDCARDS_KEY, b"-"),
            (b"!boss\0", b"boss\0" + who + b"-\0drop"),
            (b"!sales-", b"sales\0" + who + b"-\0a-"),
        ]
        cdb.write(f"{self.home}/users/cdb.tmp".encode(), f"{self.home}/users/cdb".encode(), table)
        os.chmod(f"{self.home}/users/cdb", 0o644)
        if os.getuid() == 0:
            give(self.home, self.spawner.uid, os.stat(f"{self.home}/queue").st_gid)
        self.message = queued(self.home)
        if os.getuid() == 0:
            give(f"{self.home}/queue", self.spawner.uid, os.stat(f"{self.home}/queue").st_gid)
        self.slot = 0
        asked = [os.fsencode(address.replace("USER", self.user)) for address in ADDRESSES]
        answers = existing(self.home, asked, self.spawner.uid, os.stat(f"{self.home}/queue").st_gid)
        self.existing = dict(zip(asked, answers, strict=True))

    def explain(self, address: str) -> list[dict[str, str | int]]:
        done = subprocess.run(
            [f"{self.home}/bin/qmail-explain", "-jn", "-d", DEFAULT, "-f", SENDER, "--", os.fsencode(address)],
            capture_output=True,
            check=False,
            env={"PATH": PATH, "QMAILHOME": self.home},
            **identity(self.spawner.uid, os.stat(f"{self.home}/queue").st_gid),
        )
        assert done.stderr == b"", done
        steps: list[dict[str, str | int]] = json.loads(done.stdout)["steps"]
        return steps

    def routed(self, address: str) -> tuple[int, bytes]:
        home = Home(self.home.encode())
        return rewrite.route(os.fsencode(address), domains.read(home, DOMAIN.encode()))

    def deliver(self, key: bytes) -> tuple[bytes, bytes]:
        """Letter and text of the report."""
        self.slot += 1
        self.spawner.ask(self.slot % 200, key, self.message, SENDER.encode())
        report = self.spawner.hear(1)[0]
        self.spawner.reports.clear()
        return report.letter, report.text

    def effects(self) -> dict[str, object]:
        """What was left, taken away."""
        maildir = f"{self.home}/home/Maildir/new"
        found: dict[str, object] = {
            "maildir": len(os.listdir(maildir)),
            "forwards": [(self._sender(each), self._recipients(each)) for _, each in self.queue.messages],
        }
        for name in os.listdir(maildir):
            os.unlink(f"{maildir}/{name}")
        for name in ("home/Mailbox", "alias/Mailbox"):
            found[name] = os.path.exists(f"{self.home}/{name}") and read(f"{self.home}/{name}").count(b"\nSubject: ")
            Path(f"{self.home}/{name}").unlink(missing_ok=True)
        found["ran"] = os.path.exists(f"{self.home}/ran") and read(f"{self.home}/ran").count(b"\n")
        Path(f"{self.home}/ran").unlink(missing_ok=True)
        for name in os.listdir(self.queue.folder):
            if name != "queue":
                os.unlink(f"{self.queue.folder}/{name}")
        return {key: value for key, value in found.items() if value}

    @staticmethod
    def _sender(envelope: bytes) -> str:
        return envelope.split(b"\0")[0][1:].decode()

    @staticmethod
    def _recipients(envelope: bytes) -> list[str]:
        return [each[1:].decode() for each in envelope.rstrip(b"\0").split(b"\0")[1:]]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    ground = Ground(tmp_path_factory.mktemp("agrees"))
    yield ground
    ground.spawner.kill()
    shutil.rmtree(ground.home)


def of_the_first(steps: list[dict[str, str | int]]) -> Iterator[tuple[str, str]]:
    """Kind and text of the steps of the first delivery: what comes of its forwards is other deliveries'."""
    deepest = 1 << 30
    for step in steps:
        if int(step["depth"]) <= deepest:
            yield str(step["kind"]), str(step["text"])
            deepest = int(step["depth"]) if step["kind"] == "to" else 1 << 30


def foretold(steps: list[dict[str, str | int]]) -> tuple[bytes, dict[str, object]]:
    """The letter and the effects that an explanation announces."""
    letters = {"bounces": b"D", "waits": b"Z"}
    letter, sender, box = b"K", SENDER, ""
    counts: Counter[str] = Counter()
    forwards: list[str] = []
    for kind, text in of_the_first(steps):
        letter = letters.get(kind, letter)
        if kind == "user":
            box = "alias/Mailbox" if text.startswith("alias ") else "home/Mailbox"
        elif kind == "to":
            forwards.append(text)
        elif kind == "delivers":
            counts[box if text.startswith("mbox") else "maildir"] += 1
        elif kind == "runs":
            counts["ran"] += 1
        elif kind == "sender":
            sender = text.partition(" is the sender")[0]
            sender += "" if "@" in sender else f"@{DOMAIN}"
    effects: dict[str, object] = dict(counts)
    if forwards and letter == b"K":
        effects["forwards"] = [(sender, list(dict.fromkeys(forwards)))]
    return letter, effects


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_explained_is_what_is_done(ground: Ground, address: str) -> None:
    address = address.replace("USER", ground.user)
    steps = ground.explain(address)
    channel, key = ground.routed(address)
    remote = [step["text"] for step in steps if step["kind"] == "remote" and step["depth"] == 0]
    assert (remote == [os.fsdecode(key.rpartition(b"@")[2])]) == (channel != LOCAL)
    if channel != LOCAL:
        return
    letter, text = ground.deliver(key)
    answer = ground.existing[os.fsencode(address)]
    if answer[:1] in (UNKNOWN, REFUSED):  # a server refuses only what delivery refuses
        assert letter == b"D"
    elif letter == b"D":  # and all of it that it can know
        assert answer == KNOWN
        assert b"no mailbox here by that name" not in text
    assert b"internal error" not in text
    assert (letter, ground.effects()) == foretold(steps), (steps, text)
    reasons = [os.fsencode(str(step["text"])) for step in steps if step["kind"] in ("bounces", "waits")]
    assert not any(step["kind"] == "unknown" for step in steps)
    if letter != b"K":
        assert any(reason in text for reason in reasons[:1]), (reasons, text)
    names = [name for _, _, files in os.walk(ground.home) for name in files]
    assert "pwned" not in names, "an address became a command"
