"""The whole system on a disk that fills up for real: mail is refused for now, nothing is lost or torn, and it goes on.

No reserve is kept here, which would keep it from coming so far (tests/dialogs/test_door_reserve).
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.places import Place, classic
from tests.queue_check_support import Scene
from tests.support import wait_for

pytestmark = pytest.mark.root

FILES = 500  # on the second disk


@pytest.fixture(params=["ext4", "tmpfs"])  # the first runs out of bytes, the second of files as well
def place(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Place]:
    """A system whose queue has a disk of its own, of a few megabytes."""
    with contextlib.closing(classic({})) as place:
        queue, image = f"{place.home}/queue", f"{tmp_path}/disk"
        words = ["mount", "-t", "tmpfs", "-o", f"size=3m,nr_inodes={FILES}", "small"]
        if request.param == "ext4":
            with open(image, "wb") as file:
                file.truncate(6 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "400", image], check=True)
            make_loop_devices()
            words = ["mount", "-o", "loop", image]
        os.rename(queue, f"{place.home}/empty")
        os.mkdir(queue)
        if subprocess.run([*words, queue], capture_output=True, check=False).returncode != 0:
            pytest.skip("no loop device here")
        subprocess.run(["cp", "-a", f"{place.home}/empty/.", queue], check=True)
        status = os.stat(f"{place.home}/empty")
        os.chown(queue, status.st_uid, status.st_gid)
        os.chmod(queue, status.st_mode & 0o7777)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{queue}/lost+found")
        for name in ("queuereserve", "queuereservefiles"):
            place.control(name, "0\n")
        yield place


def make_loop_devices() -> None:
    """A machine of the tests' own has none."""
    with contextlib.suppress(FileExistsError):
        os.mknod("/dev/loop-control", stat.S_IFCHR | 0o600, os.makedev(10, 237))
    for at in range(64):
        with contextlib.suppress(FileExistsError):
            os.mknod(f"/dev/loop{at}", stat.S_IFBLK | 0o600, os.makedev(7, at))


def fill(place: Place) -> None:
    """Every byte that is free; and where there are not many, every file."""
    path = f"{place.home}/queue/filler"
    os.makedirs(path, exist_ok=True)
    descriptor = os.open(f"{path}/bytes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, b"x" * size)
                    os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if os.statvfs(path).f_files == FILES:
        with contextlib.suppress(OSError):
            for at in range(len(os.listdir(path)), FILES):
                os.mknod(f"{path}/{at}")


def inject(place: Place, mark: str, *recipients: str, size: int = 100) -> bool:
    """Whether it was accepted; if not it was refused for now, with a reason."""
    to = ",".join(recipients)
    done = place.run("qmail-inject", stdin=f"to: {to}\nsubject: {mark}\n\n{'x' * size}\nend of {mark}\n".encode())
    assert done.code in (0, 111), done.errors
    assert done.code == 0 or b"disk" in done.errors or b"#4.3.0" in done.errors, done.errors
    return done.code == 0


def test_mail_is_refused_for_now_and_nothing_is_lost_or_torn(place: Place) -> None:
    place.user_file(".qmail-later", "|test -e go || exit 111\n./Maildir/\n")
    later = f"{place.user}-later@mx.example.org"
    place.start()
    waiting = [inject(place, "waiting", later, place.address)]  # in S5, half done
    place.log.wait("delivery", outcome="deferral")
    place.log.wait("delivery", outcome="success")
    assert place.daemons is not None
    place.daemons.send_signal(signal.SIGSTOP)  # qmail-send does not see what the door takes
    accepted = [f"many{at}" for at in range(12) if inject(place, f"many{at}", later, place.address, "nobody-here")]
    assert len(accepted) == 12
    large = 0
    while inject(place, f"large{large}", place.address, size=150_000):
        accepted.append(f"large{large}")
        large += 1
        assert large < 60
    fill(place)
    assert not inject(place, "refused", place.address)
    place.daemons.send_signal(signal.SIGCONT)
    place.log.wait("warning")  # what has many recipients cannot be taken up, as that is written down
    place.mail(1 + large)  # what has one needs no room, and makes some
    wait_for(lambda: len(place.in_queue("mess")) == 13, "the end of these")
    fill(place)
    assert not inject(place, "refused", place.address)
    place.stop()
    fill(place)
    after = place.log.count()
    place.start()
    place.log.wait("warning", after=after)
    assert not inject(place, "refused", place.address)
    place.stop()
    found = place.run("qmail-queuecheck", uid=0)
    assert (found.code, found.output.splitlines()[-1]) == (0, b"messages: 13"), found.output
    assert not any(line.kind == "?" or "internal error" in line.text for line in place.log.lines)

    shutil.rmtree(f"{place.home}/queue/filler")
    os.mkdir(f"{place.user_home}/go")
    place.start()
    place.daemons.send_signal(signal.SIGALRM)
    assert inject(place, "after", place.address)
    accepted.append("after")
    wait_for(place.queue_is_empty, lambda: f"an empty queue, not {place.in_queue()}\n{place.log.text()}")
    place.stop()
    Scene(place.home).check_legal()
    assert place.run("qmail-queuecheck", uid=0).output == b"messages: 0\n"
    assert waiting == [True]
    check_mail(place, accepted)


def check_mail(place: Place, accepted: list[str]) -> None:
    """All of it is there, as often as it must be, and whole; nothing else is."""
    marks: dict[str, int] = {}
    for text in place.mail():
        subject = next(line for line in text.split(b"\n") if line.lower().startswith(b"subject: "))[9:].decode()
        marks[subject] = marks.get(subject, 0) + 1
        assert subject == "failure notice" or text.endswith(b"\nend of %s\n" % subject.encode()), "nothing is torn"
    notices = marks.pop("failure notice")
    twice = {"waiting", *(f"many{at}" for at in range(12))}
    right = {mark: count >= 1 + (mark in twice) for mark, count in marks.items()}
    assert right == dict.fromkeys({*accepted, "waiting"}, True)
    assert notices >= 12, "each of those who wrote to nobody is told"
