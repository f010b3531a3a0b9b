"""A message whose text goes, changes or cannot be read while it is on its way: it alone suffers, and nobody crashes."""

import os
import signal

from tests.places import Place
from tests.remote_support import Line, Peer
from tests.support import wait_for
from tests.world import WAYS, reports, world

LARGE = 16 << 20  # bytes: far more than sockets hold
UNABLE = "qmail-spawn_unable_to_open_message._(#4.3.0)/"


@WAYS
def test_texts_that_cannot_be_sent_keep_nobody_waiting(place: Place, tmp_path: object) -> None:
    """One has vanished, one is another's, one is no file, one is closed to all: each is tried again, later."""
    place.control("holddomains", "far.example\n")
    place.start()
    numbers = {}
    for name in ("gone", "whose", "folder", "shut", "well"):
        after = place.log.count()
        place.send(f"{name}@far.example")
        numbers[name] = place.log.wait("held", after=after).msg
    texts = {name: text_of(place, number) for name, number in numbers.items()}
    aside = {name: f"{place.home}/{name}" for name in ("gone", "folder")}  # so that no other gets their inodes
    for name, path in aside.items():
        os.rename(texts[name], path)
    os.mkdir(texts["folder"])
    os.chown(texts["whose"], place.uid, -1)
    os.chmod(texts["shut"], 0)
    with world(tmp_path) as sink:
        place.control("holddomains", "")
        send_again(place, signal.SIGHUP)
        place.send("next@far.example")
        place.log.ends(2)
        for _ in range(2):  # and again: it is the same each time
            after = place.log.count()
            send_again(place, signal.SIGALRM)
            for name in ("gone", "whose", "folder", "shut"):
                place.log.wait("starting", after=after, recipient=f"{name}@far.example")
            wait_for(lambda at=after: count(place, "deferral", at) == 4, place.log.text)  # type: ignore[misc]
        assert len(sink.mail(2)) == 2
    last = {recipient.partition("@")[0]: line for recipient, line in reports(place.log).items()}
    assert last["gone"].report == last["shut"].report == UNABLE
    assert last["whose"].report == "Sorry,_message_has_wrong_owner._(#4.3.5)/"
    assert last["folder"].report == "Sorry,_message_has_wrong_type._(#4.3.5)/"
    assert not [line for line in place.log.lines if "crashed" in line.text or "internal error" in line.text]
    place.stop()

    # mended, three of them go out; a new qmail-send does not try what has no text
    os.rmdir(texts["folder"])
    os.rename(aside["folder"], texts["folder"])
    os.chown(texts["whose"], place.uid_of("qmailq"), -1)
    os.chmod(texts["shut"], 0o644)
    before = place.log.count()
    place.start()
    with world(f"{tmp_path}/again") as sink:
        send_again(place, signal.SIGALRM)
        place.log.ends(3, before)
        assert len(sink.mail(3)) == 3
    (warning,) = [line.text for line in place.log.lines[before:] if line.kind == "warning"]
    assert warning == f"warning: unable to stat mess{texts['gone'].partition('/mess')[2]}; will try again later"
    place.stop()


def text_of(place: Place, number: str) -> str:
    (path,) = [path for path in place.in_queue("mess") if path.endswith(f"/{number}")]
    return f"{place.home}/queue/{path}"


def send_again(place: Place, number: int) -> None:
    assert place.daemons is not None
    place.daemons.send_signal(number)


def count(place: Place, outcome: str, after: int) -> int:
    return sum(line.kind == "delivery" and line.outcome == outcome for line in place.log.lines[after:])


@WAYS
def test_a_text_that_is_cut_off_while_it_is_sent_does_not_arrive(place: Place, tmp_path: object) -> None:
    """No end is said, so the other host has no message; this one waits, and other mail goes on."""
    cut: list[str] = []

    def script(line: Line) -> None:
        line.say(b"220 peer\r\n")
        for reply in (b"250 peer\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            line.hear()
            line.say(reply)
        line.hear(b"first line")
        os.truncate(cut[0], LARGE // 2)
        line.hear_all()

    with Peer(script) as peer, world(tmp_path) as sink:
        place.control("smtproutes", f"cut.example:127.0.0.1:{peer.port}\n")
        place.control("holddomains", "cut.example\n")
        place.start()
        place.send("ann@cut.example", "Subject: long\n\nfirst line\n" + ("x" * 63 + "\n") * (LARGE // 64))
        cut.append(text_of(place, place.log.wait("held").msg))
        place.control("holddomains", "")
        send_again(place, signal.SIGHUP)
        place.send("bob@far.example")
        sink.mail()
        place.log.wait("delivery", outcome="deferral")
        place.stop()
    assert reports(place.log)["ann@cut.example"].report == "Unable_to_read_message._(#4.3.0)/"
    assert len(peer.heard[0]) < LARGE
    assert b"\r\n.\r\n" not in peer.heard[0]
    assert not [line for line in place.log.lines if "crashed" in line.text or "internal error" in line.text]
