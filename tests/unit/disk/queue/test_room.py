"""Whether the queue's disk has room, asked of the kernel now and then."""

import posix
from types import SimpleNamespace

import pytest

from qmailpy.disk.queue import room
from qmailpy.disk.queue.room import Room
from qmailpy.system import clock
from qmailpy.wire.door import Refusal


class Disk:
    """A disk of so many bytes and inodes; asked: how often it was looked at."""

    def __init__(self) -> None:
        self.size, self.free, self.files_free, self.files = 10000, 1000, 10, 100
        self.asked, self.now, self.broken = 0, 50.0, False

    def statvfs(self, _path: bytes) -> SimpleNamespace:
        self.asked += 1
        if self.broken:
            raise FileNotFoundError
        return SimpleNamespace(
            f_bavail=self.free, f_blocks=self.size, f_frsize=1, f_favail=self.files_free, f_files=self.files
        )


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(room, "posix", SimpleNamespace(statvfs=made.statvfs, statvfs_result=posix.statvfs_result))
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    return made


def test_bytes_and_inodes_are_kept_back(disk: Disk) -> None:
    for reserve, files, size, has in (
        (1000, 10, 0, True),
        (1001, 10, 0, False),
        (1000, 11, 0, False),
        (900, 10, 100, True),
        (900, 10, 101, False),
        (0, 0, 1000, True),
    ):
        assert Room(b"/queue", reserve, files).has(size) is has
    disk.files = disk.files_free = 0  # as btrfs says
    assert Room(b"/queue", 0, 10).has()


def test_the_disk_is_asked_once_a_second(disk: Disk) -> None:
    asked = Room(b"/queue", 500, 0)
    for _ in range(100):
        assert asked.has()
    assert disk.asked == 1
    disk.free = 100
    disk.now += 0.9
    assert asked.has()
    disk.now += 0.2
    assert not asked.has()
    with pytest.raises(Refusal) as raised:
        asked.require()
    assert (raised.value.code, b"almost full" in raised.value.text) == (53, True)
    assert disk.asked == 2


def test_a_small_disk_keeps_back_a_tenth_of_it(disk: Disk) -> None:
    for free, files_free, has in ((1000, 10, True), (999, 10, False), (1000, 9, False)):
        disk.free, disk.files_free = free, files_free
        assert Room(b"/queue").has() is has
    disk.size = disk.files = 1 << 40
    for free, files_free, has in ((8 << 20, 100, True), ((8 << 20) - 1, 100, False), (8 << 20, 99, False)):
        disk.free, disk.files_free = free, files_free
        assert Room(b"/queue").has() is has


def test_a_disk_that_cannot_be_asked_has_room(disk: Disk) -> None:
    disk.broken = True
    assert Room(b"/queue", 1 << 60, 0).has()
