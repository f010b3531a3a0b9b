"""Queues that something has happened to: copied, shuffled, joined, torn."""

import os
import shutil
import subprocess

from tests.send_support import MESSAGE, SENDER, Store
from tests.support import read, write

SIDES = ("todo", "info", "local", "remote", "bounce", "orders")
LOST = b"lost"
_SPLIT = ("mess", "info", "local", "remote")


def place(name: str, number: int) -> str:
    """The directory of a message's file."""
    return f"{name}/{number % 23}" if name in _SPLIT else name


class Scene:
    """A home, and its queue by hand."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.store = Store(home)

    def path(self, name: str, number: int) -> str:
        """Where this file of a message is.  name: mess, info, todo, ..."""
        return f"{self.home}/queue/{place(name, number)}/{number}"

    def taken_up(self, *, local: bytes = b"", remote: bytes = b"", bounce: bytes = b"") -> int:
        """A message in S5.  Result: its number."""
        number = self.store.put([b"x@y"], pull=False, text=b"%s%d\n" % (MESSAGE, len(self.store.files())))
        for name in ("todo", "intd"):
            os.unlink(self.path(name, number))
        for name, content in (("info", b"F%s\0" % SENDER), ("local", local), ("remote", remote), ("bounce", bounce)):
            if content:
                write(self.path(name, number), content, 0o600)
        return number

    def numbers(self) -> list[int]:
        """Of all messages."""
        return sorted(int(name.rpartition("/")[2]) for name in self.store.files() if name.startswith("mess/"))

    def shuffle(self) -> None:
        """Everything of a message gets the number of the next one."""
        numbers = self.numbers()
        following = dict(zip(numbers, numbers[1:] + numbers[:1], strict=True))
        for name in ("mess", "intd", *SIDES):
            for old in numbers:
                if os.path.exists(self.path(name, old)):
                    os.rename(self.path(name, old), f"{self.home}/{following[old]}")
            for new in numbers:
                if os.path.exists(f"{self.home}/{new}"):
                    os.rename(f"{self.home}/{new}", self.path(name, new))

    def join(self, name: str, first: int, second: int) -> None:
        """As a program that looks for equal files does: they become one."""
        os.unlink(self.path(name, second))
        os.link(self.path(name, first), self.path(name, second))

    def copy_of(self, other: "Scene") -> None:
        """The queue of another home, as cp -a makes it: everything has another inode."""
        shutil.rmtree(f"{self.home}/queue")
        subprocess.run(["cp", "-a", f"{other.home}/queue", f"{self.home}/queue"], check=True)

    def new_disk(self) -> None:
        """The queue is a copy of itself from now on."""
        os.rename(f"{self.home}/queue", f"{self.home}/before")
        subprocess.run(["cp", "-a", f"{self.home}/before", f"{self.home}/queue"], check=True)
        shutil.rmtree(f"{self.home}/before")

    def check_legal(self) -> None:
        """Each file of a message has the number of the message's inode, in its place, with its owner and mode."""
        right = set()
        for name in self.store.files():
            kind, _, number = name.partition("/")[0], *name.rpartition("/")[1:]
            if kind == "mess":
                assert os.stat(f"{self.home}/queue/{name}").st_ino == int(number), name
                right.add(number)
        for name in self.store.files():
            kind, number = name.partition("/")[0], name.rpartition("/")[2]
            if kind == "pid":
                continue
            assert number in right, f"{name} without mess"
            assert f"{self.home}/queue/{name}" == self.path(kind, int(number))
            mode = 0o644 if kind in ("mess", "intd", "todo") else 0o600
            assert os.stat(f"{self.home}/queue/{name}").st_mode & 0o777 == mode, name
        assert os.listdir(f"{self.home}/queue/lock").count("sendmutex") == 1
        assert "sendmutex.mending" not in os.listdir(f"{self.home}/queue/lock")


def contents(home: str) -> dict[bytes, dict[str, bytes]]:
    """By a message's text, what is there of it.  What was set aside is found by its old number."""
    texts: dict[str, bytes] = {}
    sides: list[tuple[str, str, bytes]] = []
    for folder, _, names in os.walk(f"{home}/queue"):
        for name in names:
            path = f"{folder}/{name}"
            kind, number = path.removeprefix(f"{home}/queue/").partition("/")[0], name
            if kind == "aside":
                kind, number = name.split(".")[1], "aside " + name.split(".")[2 + (name.split(".")[1] in _SPLIT)]
            if kind == "mess":
                texts[number] = read(path)
            elif kind in SIDES:
                sides.append((number, kind, read(path)))
    found: dict[bytes, dict[str, bytes]] = {text: {} for text in texts.values()}
    for number, kind, content in sides:
        text = texts.get(number) or texts.get(number.removeprefix("aside "))
        if text is None:
            found.setdefault(LOST, {})[f"{kind} {content!r}"] = content
        elif len(content) >= len(found[text].get(kind, b"")):
            found[text][kind] = content
    return found
