"""qmail-queuecheck: what it finds, what it does about it, and that it keeps away from a queue that is in use."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inject_support import Done, run
from tests.queue_check_support import Scene
from tests.queue_support import open_door
from tests.send_support import LOCAL, MESSAGE, Sender
from tests.support import RecordingQueue, bare_home, read, write


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(bare_home(str(tmp_path / "home")))


def check(scene: Scene, *words: str) -> Done:
    return run(scene.home, "qmail-queuecheck", *words)


def aside(scene: Scene) -> list[str]:
    """What was set aside, without the time in the name."""
    folder = f"{scene.home}/queue/aside"
    return sorted(name.partition(".")[2] for name in os.listdir(folder)) if os.path.isdir(folder) else []


def test_a_queue_in_order_is_left_as_it_is(scene: Scene) -> None:
    scene.store.put([LOCAL], pull=False)
    scene.taken_up(local=b"Ta@x\0", bounce=b"<b@x>:\nno\n\n")
    before = scene.store.files()
    for words in ((), ("--mend",), ("-n", "--mend")):
        done = check(scene, *words)
        assert (done.code, done.out, done.err) == (0, b"messages: 2\n", b"")
    assert scene.store.files() == before
    assert not os.path.exists(f"{scene.home}/queue/aside")


# what happens to a message in S5, what is said, what is set aside, and which files it keeps
def _lose(name: str) -> Callable[[Scene, int], None]:
    return lambda scene, number: os.unlink(scene.path(name, number))


def _content(name: str, content: bytes) -> Callable[[Scene, int], None]:
    return lambda scene, number: (write(scene.path(name, number), content, 0o600), None)[1]


def _misplace(name: str) -> Callable[[Scene, int], None]:
    def happen(scene: Scene, number: int) -> None:
        os.rename(scene.path(name, number), f"{scene.home}/queue/{name}/{(number + 1) % 23}/{number}")

    return happen


WHOLE = {"mess", "info", "local", "remote", "bounce"}
ACCIDENTS: dict[str, tuple[Callable[[Scene, int], None], str, set[str], set[str]]] = {
    "the text is lost": (_lose("mess"), "has lost its text", WHOLE - {"mess"}, set()),
    "the sender is lost": (_lose("info"), "its sender is lost", WHOLE - {"info"}, set()),
    "the sender is torn": (_content("info", b"Fme"), "its sender in info/ is torn", WHOLE, set()),
    "recipients are torn": (_content("local", b"Ta@x\0Tb"), "in the middle of a recipient", {"local"}, WHOLE),
    "recipients are noise": (_content("local", b"Ta@x\0\x01\0"), "recipients in local/ make no sense", WHOLE, set()),
    "text elsewhere": (_misplace("mess"), "is in the wrong directory", set(), WHOLE),
    "sender elsewhere": (_misplace("info"), "is in the wrong directory", set(), WHOLE),
    "modes": (lambda scene, number: os.chmod(scene.path("info", number), 0o640), "mode 0640", set(), WHOLE),
    "an envelope that was never whole": (
        lambda scene, number: (write(scene.path("todo", number), b"u1\0p1\0Fme"), None)[1],
        "its envelope in todo/ is torn",
        WHOLE | {"todo"},
        set(),
    ),
}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_an_accident_is_told_and_mended_and_nothing_is_deleted(scene: Scene, accident: str) -> None:
    happen, said, set_aside, kept = ACCIDENTS[accident]
    other = scene.taken_up(remote=b"Tc@y\0")
    number = scene.taken_up(local=b"Ta@x\0Db@x\0", remote=b"Tc@y\0", bounce=b"<b@x>:\nno\n\n")
    happen(scene, number)
    before = scene.store.files()
    done = check(scene)
    assert (done.code, done.err) == (1, b"")
    assert said in done.out.decode()
    assert b"1 things are wrong; nothing was changed" in done.out
    assert scene.store.files() == before
    done = check(scene, "--mend")
    assert (done.code, done.err) == (0, b"")
    assert said in done.out.decode()
    split = {f"{name}.{number % 23}.{number}" for name in ("mess", "info", "local", "remote")}
    names = {name for name in split | {f"todo.{number}", f"bounce.{number}"} if name.partition(".")[0] in set_aside}
    assert set(aside(scene)) == names
    assert scene.store.state(number) == kept
    assert scene.store.state(other) == {"mess", "info", "remote"}
    scene.check_legal()
    assert check(scene).code == 0


# what is left of a message, as files of spec/02 2 and what is in them -> how many findings, what is set aside
REMAINS: dict[str, tuple[dict[str, bytes], int, set[str]]] = {
    "accepted, without its text": ({"todo": b"u1\0p1\0Fa@b\0Tc@d\0", "intd": b""}, 1, {"todo", "intd"}),
    "taken up, without its text": ({"info": b"Fa@b\0"}, 1, {"info"}),
    "recipients alone": ({"local": b"Tc@d\0", "remote": b"Tc@d\0"}, 1, {"local", "remote"}),
    "a bounce alone": ({"bounce": b"<c@d>:\nno\n\n"}, 1, {"bounce"}),
    "an order alone": ({"orders": b"h1 \0"}, 1, {"orders"}),
    "a bounce of what is not taken up": (
        {"mess": b"x", "todo": b"u1\0p1\0Fa@b\0Tc@d\0", "bounce": b"<c@d>:\nno\n\n"},
        1,
        {"bounce"},
    ),
    "an empty envelope": ({"mess": b"x", "todo": b""}, 1, {"mess", "todo"}),
    "an envelope without recipients": ({"mess": b"x", "todo": b"u1\0p1\0Fa@b\0"}, 0, set()),
    "being written": ({"mess": b"x"}, 0, set()),
    "its envelope being written": ({"mess": b"x", "intd": b"u1"}, 0, set()),
    "taken up by halves": ({"mess": b"x", "todo": b"u1\0p1\0Fa@b\0Tc@d\0", "info": b"F", "local": b"Tc"}, 0, set()),
    "finished but for its sender": ({"mess": b"x", "info": b"Fa@b\0", "bounce": b"<c@d>:\nno\n\n"}, 0, set()),
    "an order of what is not taken up": (
        {"mess": b"x", "todo": b"u1\0p1\0Fa@b\0Tc@d\0", "orders": b"h1 \0"},
        0,
        set(),
    ),
}


@pytest.mark.parametrize("remains", REMAINS)
def test_every_state_that_is_none_is_told_and_goes_aside(scene: Scene, remains: str) -> None:
    files, count, set_aside = REMAINS[remains]
    number = scene.store.put([LOCAL], pull=False)
    for name in ("mess", "intd", "todo"):
        if name not in files:
            os.unlink(scene.path(name, number))
    for name, content in files.items():
        mode = 0o644 if name in ("mess", "intd", "todo") else 0o600
        os.chmod(write(scene.path(name, number), content), mode)
    told = json.loads(check(scene, "--json").out)
    assert (len(told["findings"]), told["mended"]) == (count, False), told
    done = check(scene, "--mend")
    assert (done.code, done.err) == (0, b"")
    assert {name.partition(".")[0] for name in aside(scene)} == set_aside
    assert check(scene).code == 0


@pytest.mark.parametrize("mode", ["0666", "0000"])
@pytest.mark.parametrize("name", ["mess", "todo", "info", "local", "bounce", "orders"])
def test_a_wrong_mode_is_told_and_mended_for_every_kind_of_file(scene: Scene, name: str, mode: str) -> None:
    taken = scene.taken_up(local=b"Ta@x\0", bounce=b"<b@x>:\nno\n\n")
    new = scene.store.put([LOCAL], pull=False)
    number = new if name in ("mess", "todo") else taken
    if name == "orders":
        write(scene.path(name, number), b"h1 \0")
    os.chmod(scene.path(name, number), int(mode, 8))
    said = b"mode %s: make it uid " % mode.encode()
    assert check(scene).out.count(said) == (2 if name == "todo" else 1)  # intd/N is the same file
    assert check(scene, "--mend").code == 0
    scene.check_legal()
    assert check(scene).code == 0


@pytest.mark.parametrize("name", ["trigger", "sendmutex", "tcpto"])
def test_a_lock_that_is_something_else_is_told(scene: Scene, name: str) -> None:
    path = f"{scene.home}/queue/lock/{name}"
    os.unlink(path)
    os.mkdir(path)
    assert check(scene).code == 1
    assert check(scene, "--mend").code == 111, "it might be somebody's"
    os.rmdir(path)
    assert check(scene).code == 1
    assert check(scene, "--mend").code == 0
    assert check(scene).code == 0


def test_torn_recipients_are_cut_off_and_the_others_wait_as_long_as_before(scene: Scene) -> None:
    number = scene.taken_up(local=b"Ta@x\0Tb@x")
    scene.store.age("local", number, 5000)
    when = scene.store.mtime("local", number)
    assert check(scene, "--mend").code == 0
    assert scene.store.read("local", number) == b"Ta@x\0"
    assert scene.store.mtime("local", number) == when
    (name,) = os.listdir(f"{scene.home}/queue/aside")
    assert read(f"{scene.home}/queue/aside/{name}") == b"Ta@x\0Tb@x"


STRAYS = {
    "a name": lambda queue: write(f"{queue}/todo/core", b"x"),
    "a zero before": lambda queue: write(f"{queue}/mess/1/024", b"x"),
    "a link": lambda queue: os.symlink("/etc/passwd", f"{queue}/mess/1/24"),
    "a directory": lambda queue: os.mkdir(f"{queue}/info/1/24"),
    "a pipe": lambda queue: os.mkfifo(f"{queue}/bounce/24"),
    "nothing numeric beside the parts": lambda queue: write(f"{queue}/mess/notes", b"x"),
    "an envelope alone": lambda queue: write(f"{queue}/intd/24", b"x"),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_what_is_no_file_of_a_message_goes_aside(scene: Scene, stray: str) -> None:
    STRAYS[stray](f"{scene.home}/queue")  # type: ignore[no-untyped-call]
    assert check(scene).code == 1
    done = check(scene, "--mend")
    assert (done.code, done.err) == (0, b"")
    assert len(aside(scene)) == 1
    assert check(scene).code == 0
    assert os.path.exists("/etc/passwd")


def test_one_file_under_two_numbers_becomes_two(scene: Scene) -> None:
    """A program that joins equal files once made two messages' recipients one: a mark in one was in both."""
    first, second = scene.taken_up(local=b"Ta@x\0"), scene.taken_up(local=b"Ta@x\0")
    scene.join("local", first, second)
    scene.join("info", first, second)
    assert check(scene).code == 1
    assert check(scene, "--mend").code == 0
    for name in ("local", "info"):
        assert os.stat(scene.path(name, first)).st_ino != os.stat(scene.path(name, second)).st_ino
        assert scene.store.read(name, second) == scene.store.read(name, first)
    assert check(scene).code == 0


def test_two_messages_of_one_text_become_two(scene: Scene) -> None:
    first, second = scene.taken_up(local=b"Ta@x\0"), scene.taken_up(local=b"Tb@x\0")
    scene.join("mess", first, second)
    assert check(scene, "--mend").code == 0
    scene.check_legal()
    assert len(scene.numbers()) == 2
    assert sorted(scene.store.read("local", number) for number in scene.numbers()) == [b"Ta@x\0", b"Tb@x\0"]


def test_a_queue_of_another_layout_becomes_ours(scene: Scene) -> None:
    """Another split, and todo/ that is split as well."""
    number = scene.taken_up(local=b"Ta@x\0")
    new = scene.store.put([LOCAL], pull=False)
    queue = f"{scene.home}/queue"
    for name in ("mess", "info", "local"):
        os.makedirs(f"{queue}/{name}/100")
        os.rename(scene.path(name, number), f"{queue}/{name}/100/{number}")
    for name in ("todo", "intd"):
        os.makedirs(f"{queue}/{name}/7")
        os.rename(scene.path(name, new), f"{queue}/{name}/7/{new}")
    assert check(scene).code == 1
    done = check(scene, "--mend")
    assert (done.code, done.err) == (0, b"")
    scene.check_legal()
    assert scene.store.state(number) == {"mess", "info", "local"}
    assert scene.store.state(new) == {"mess", "todo", "intd"}
    assert not os.path.exists(f"{queue}/mess/100")
    assert aside(scene) == []


def test_directories_are_made_again(scene: Scene) -> None:
    os.rmdir(f"{scene.home}/queue/info/7")
    os.chmod(f"{scene.home}/queue/todo", 0o777)
    os.unlink(f"{scene.home}/queue/lock/sendmutex")
    os.unlink(f"{scene.home}/queue/lock/trigger")
    done = check(scene)
    assert done.code == 1
    assert done.out.count(b"queue/") >= 4
    assert check(scene, "--mend").code == 0
    assert (check(scene).code, check(scene).out) == (0, b"messages: 0\n")


def test_litter_is_told_and_left_to_qmail_send(scene: Scene) -> None:
    number = scene.taken_up()
    os.unlink(scene.path("info", number))
    assert check(scene).out == b"messages: 1\n"
    scene.store.age("mess", number, 37 * 3600)
    done = check(scene, "--mend")
    assert (done.code, scene.store.state(number)) == (0, {"mess"})
    assert b"note: mess/%d/%d was never accepted, or is finished" % (number % 23, number) in done.out


def test_drop_and_aside_are_told(scene: Scene) -> None:
    write(f"{scene.home}/drop/aside/strange", b"x")
    write(f"{scene.home}/drop/abcd", b"x")
    write(f"{scene.home}/queue/todo/core", b"x")
    check(scene, "--mend")
    done = check(scene)
    assert done.code == 0
    assert done.out.count(b"note: ") == 3


def test_many_findings_of_a_kind_are_cut_unless_all_are_wanted(scene: Scene) -> None:
    for at in range(30):
        write(f"{scene.home}/queue/todo/core{at}", b"x")
    assert check(scene).out.count(b"no name of a message") == 20
    assert b"... and 10 more like it" in check(scene).out
    assert check(scene, "-v").out.count(b"no name of a message") == 30
    told = json.loads(check(scene, "--json").out)
    assert len(told["findings"]) == 30
    assert set(told) == {"findings", "notes", "messages", "mended"}
    assert set(told["findings"][0]) == {"kind", "text", "cure"}


def test_usage(scene: Scene) -> None:
    for words in (("-x",), ("--foo",), ("queue",)):
        done = check(scene, *words)
        assert done.code == 100
        assert b"usage: qmail-queuecheck" in done.err


def test_it_keeps_away_from_a_queue_in_use(scene: Scene) -> None:
    scene.store.put([LOCAL], pull=False)
    scene.new_disk()
    with Sender(scene.home) as sender:
        sender.wait_started()
        done = check(scene, "--mend")
        assert (done.code, done.out) == (111, b"")
        assert done.err == b"qmail-queuecheck: fatal: qmail-send runs (pid %d): stop it first\n" % sender.pid
        assert check(scene).code == 1
    with open_door(scene.home):
        done = check(scene, "--mend")
        assert (done.code, done.out) == (111, b"")
        assert b"qmail-queued runs, and takes messages: stop it first" in done.err
    assert check(scene, "--mend").code == 0


def test_a_queue_that_was_copied_is_delivered_once_after_mending(scene: Scene) -> None:
    """Messages in S4 and S5, deferred and half done; then another disk; then everything arrives."""
    new = [f"new{at}@mx.example.org".encode() for at in range(5)]
    old = [f"old{at}@there.example".encode() for at in range(5)]
    with Sender(scene.home) as sender:
        scene.store.put([*old, LOCAL])
        done = [sender.remote.serve(b"K" if at < 2 else b"Z", b"x\n").recipient for at in range(5)]
        sender.local.serve(b"D", b"no such user\n")
        sender.log.wait("delivery", outcome="failure")
        assert sender.term() == 0
    for recipient in new:
        scene.store.put([recipient, b"x-" + recipient], pull=False)
    texts = sorted(read(scene.path("mess", number)) for number in scene.numbers())
    scene.new_disk()
    scene.shuffle()
    assert check(scene, "--mend").code == 0
    scene.check_legal()
    assert sorted(read(scene.path("mess", number)) for number in scene.numbers()) == texts
    again = []
    with Sender(scene.home, environment=RecordingQueue(f"{scene.home}.bounces").environment) as sender:
        again += [sender.local.serve().recipient for _ in range(2 * len(new))]
        sender.signal(14)
        again += [sender.remote.serve().recipient for _ in range(3)]
        sender.log.ends(len(new) + 1)
        assert sender.local.is_quiet()
        assert sender.remote.is_quiet(0.01)
        assert any(line.kind == "bounce" for line in sender.log.lines)
    assert sorted(again) == sorted([*new, *(b"x-" + each for each in new), *done[2:]])
    assert scene.store.files() == []


def test_an_interrupted_mending_keeps_qmail_send_away_until_it_is_finished(scene: Scene) -> None:
    number = scene.taken_up(local=b"Ta@x\0")
    queue = f"{scene.home}/queue"
    os.rename(f"{queue}/lock/sendmutex", f"{queue}/lock/sendmutex.mending")
    os.rename(scene.path("info", number), f"{queue}/info/{number % 23}/5.to.{number}")
    os.rename(scene.path("mess", number), f"{queue}/mess/{number % 23}/5.to.{number}")
    write(f"{queue}/lock/sendmutex", b"", 0o600)  # somebody has run setup
    sender = Sender(scene.home, announce=False)
    assert sender.wait() == 111
    assert "cannot start: unable to open mutex" in sender.log.text()
    sender.close()
    assert b"was interrupted, and qmail-send cannot start" in check(scene).out
    assert check(scene, "--mend").code == 0
    scene.check_legal()
    assert scene.store.state(number) == {"mess", "info", "local"}


def test_what_is_shown_is_printable(scene: Scene) -> None:
    write(f"{scene.home}/queue/todo/\x1b[2J", MESSAGE)
    assert b"todo/?[2J is no name of a message" in check(scene).out
    assert b"\x1b" not in check(scene, "--json").out
