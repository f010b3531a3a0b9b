"""What a sender wishes on its way out: from qmail-send by qmail-rspawn to the peer, and who then has to tell him."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.rules import report, trace
from qmailpy.wire.delivery import NARROW, WIDE, Command
from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters
from tests.remote_support import GOOD, Line, Peer
from tests.send_support import LOCAL, REMOTE, Sender, Store
from tests.spawn_support import Spawner, new_home, queued
from tests.support import PATH, RecordingQueue, bare_home, wait_for, write

Start = Callable[..., Sender]
WISHES = b"RET=HDRS ENVID=e1 NOTIFY=SUCCESS ORCPT=rfc822;old@x.example"
TAKEN = b"192.0.2.7 accepted message.\nRemote host said: 250 ok\n"


@pytest.fixture
def told(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(f"{tmp_path}/told")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(bare_home(f"{tmp_path}/home"))


@pytest.fixture
def start(store: Store, told: RecordingQueue) -> Iterator[Start]:
    running: list[Sender] = []

    def starter(*words: str) -> Sender:
        slots = (1000, 1000) if "wide" in words else (120, 120)
        running.append(Sender(store.home, environment=told.environment, words=words, slots=slots))
        return running[-1].wait_started()

    yield starter
    for sender in running:
        sender.close()


def wishes(*recipients: bytes) -> Parameters:
    each = [RecipientParameters.parse(text) for text in recipients]
    return Parameters(MessageParameters.parse(b"RET=HDRS ENVID=e1"), each)


ASKED = wishes(b"NOTIFY=SUCCESS ORCPT=rfc822;old@x.example")


def test_our_own_spawner_of_remote_deliveries_is_told_and_no_other(start: Start, store: Store) -> None:
    both = wishes(b"NOTIFY=NEVER", b"NOTIFY=SUCCESS ORCPT=rfc822;old@x.example")
    store.put([LOCAL, REMOTE], parameters=both)
    store.put([REMOTE], parameters=ASKED)
    sender = start("wide")
    assert sender.local.command().wished == b""
    assert [sender.remote.command().wished for _ in range(2)] == [WISHES, WISHES]


def test_on_the_classic_wire_nobody_is_told(start: Start, store: Store) -> None:
    number = store.put([REMOTE], parameters=ASKED)
    sender = start()
    wait_for(sender.remote.has_command, "the command")
    heard = os.read(sender.remote.commands, 65536)
    assert heard == b"\0%d/%d\0" % (number % 23, number) + heard.split(b"\0")[2] + b"\0" + REMOTE + b"\0"


@pytest.mark.parametrize("straight", [True, False])
def test_where_the_next_host_tells_him_we_do_not(
    start: Start, store: Store, told: RecordingQueue, straight: bool
) -> None:
    sender = start("wide")
    number = store.put([REMOTE, *([] if straight else [b"z@z.example"])], parameters=ASKED)
    sender.remote.serve(b"K", TAKEN + report.PASSED_ON)
    if not straight:
        sender.remote.serve(b"K", TAKEN)
    sender.log.wait("end", msg=str(number))
    again = store.put([REMOTE], parameters=ASKED)
    sender.remote.serve(b"K", TAKEN)
    sender.log.wait("report", msg=str(again), what="success")
    wait_for(lambda: not store.files(), "an empty queue")
    [(text, _)] = told.messages
    assert b"Action: relayed\n" in text


def test_a_dialogue_is_told_though_nothing_else_is(start: Start, store: Store) -> None:
    sender = start("wide", "traces=remote")
    number = store.put([REMOTE])
    command = sender.remote.command()
    for event, said in ((b"connect", b"no"), (b"dialogue", b"MAIL FROM:<a@b>\ntrace: forged"), (b"answer", b"no")):
        fields: dict[str, bytes | int] = {"by": b"qmail-remote", "event": event, "peer": b"192.0.2.7", "said": said}
        sender.remote.report(command.slot, b"T", trace.encode(fields))
    sender.remote.report(command.slot, b"K", TAKEN)
    sender.log.wait("end", msg=str(number))
    [line] = [line for line in sender.lines() if line.startswith("trace: ")]
    assert line.startswith(f"trace: msg={number}.")
    assert line.endswith(
        r' by=qmail-remote event=dialogue delivery=1 peer=192.0.2.7 said="MAIL FROM:<a@b>\x0atrace: forged"'
    )


def test_qmail_trace_has_the_dialogue_in_its_story(store: Store, tmp_path: Path) -> None:
    log = write(
        f"{tmp_path}/log",
        "new msg 457\ninfo msg 457: bytes 100 from <a@b> qp 12 uid 0\n"
        "starting delivery 1: msg 457 to remote c@d.example\n"
        'trace: msg=457.123 by=qmail-remote event=dialogue delivery=1 peer=192.0.2.7 said="MAIL FROM:<a@b>"\n'
        'trace: msg=457.123 by=qmail-remote event=dialogue delivery=1 peer=192.0.2.7 heard="250 ok"\n'
        "delivery 1: success: ok/\nend msg 457\n",
    )
    done = subprocess.run(
        [f"{store.home}/bin/qmail-trace", "457", log], capture_output=True, check=True, timeout=60, env={"PATH": PATH}
    )
    assert b"we say: MAIL FROM:<a@b>\n" in done.stdout
    assert b"192.0.2.7 says: 250 ok\n" in done.stdout


# qmail-rspawn


@pytest.fixture
def home(tmp_path: Path) -> str:
    return new_home(tmp_path)


def offering(line: Line) -> None:
    line.say(GOOD["greeting"])
    line.hear()
    line.say(b"250-peer\r\n250 DSN\r\n")
    for step in ("MAIL", "RCPT", "DATA"):
        line.hear()
        line.say(GOOD[step])
    line.hear_body()
    line.say(GOOD["dot"])
    line.hear_all()


def deliver(home: str, wide: bool, *words: str, **extra: str) -> bytes:
    """The text of the report."""
    path = queued(home)
    spawner = Spawner(home, "qmail-rspawn", *(["wide", *words] if wide else []), **extra)
    try:
        command = Command(3, path, b"s@x.example", b"joe@there.example", wished=WISHES)
        assert spawner.process.stdin is not None
        spawner.process.stdin.write(command.encode(WIDE if wide else NARROW))
        [told] = spawner.hear(1)
        assert (told.slot, told.letter) == (3, b"K"), told.text
        assert spawner.end() == 0
    finally:
        spawner.kill()
    return told.text


@pytest.mark.parametrize("words", [(), ("traces",)])
@pytest.mark.parametrize("environment", [{}, {"QMAILEXEC": "1"}], ids=["resident", "exec"])
def test_the_peer_is_told_by_the_worker_and_by_an_executed_qmail_remote(
    home: str, environment: dict[str, str], words: tuple[str, ...]
) -> None:
    with Peer(offering) as peer:
        write(f"{home}/control/smtproutes", f":127.0.0.1:{peer.port}\n")
        text = deliver(home, True, *words, **environment)
    assert report.is_passed_on(text)
    [heard] = peer.heard
    assert b"MAIL FROM:<s@x.example> RET=HDRS ENVID=e1\r\n" in heard
    assert b"RCPT TO:<joe@there.example> NOTIFY=SUCCESS ORCPT=rfc822;old@x.example\r\n" in heard


@pytest.mark.parametrize(("wide", "wished"), [(True, WISHES.decode()), (False, "none")])
def test_a_qmail_remote_of_somebody_elses_is_called_as_ever(home: str, wide: bool, wished: str) -> None:
    script = '#!/bin/sh\nprintf "r\\0K%s %s|%s\\n\\0" "$#" "$*" "${QMAILWISHED-none}"\n'
    program = write(f"{home}/theirs", script, 0o755)
    text = deliver(home, wide, QMAILREMOTE=program, QMAILWISHED="of another delivery")
    assert text.decode() == f"3 there.example s@x.example joe@there.example|{wished}\n"
