"""Names in the queue (spec/00 7): the split ones are DIR/(N mod 23)/N, the others DIR/N."""

from qmailpy.disk.home import Home
from qmailpy.disk.layout import SPLIT


class Paths:
    """Where everything of one queue is.  number: a message's, which is the inode of its mess file."""

    __slots__ = ("root",)

    def __init__(self, home: Home) -> None:
        """home: whose queue."""
        self.root = home.queue

    def folder(self, name: bytes) -> bytes:
        """A directory of the queue: pid, intd, todo, bounce, lock, mess, mess/7, ..."""
        return b"%s/%s" % (self.root, name)

    def split(self, name: bytes, number: int) -> bytes:
        """name: mess, info, local or remote."""
        return b"%s/%s/%d/%d" % (self.root, name, number % SPLIT, number)

    def split_folder(self, name: bytes, number: int) -> bytes:
        """The directory that split() is in: what must be fsynced."""
        return b"%s/%s/%d" % (self.root, name, number % SPLIT)

    def mess(self, number: int) -> bytes:
        """The message."""
        return self.split(b"mess", number)

    def message(self, message_id: bytes) -> bytes:
        """The message of this id, as message_id() made it; a spawner has checked that it is one."""
        return b"%s/mess/%s" % (self.root, message_id)

    def info(self, number: int) -> bytes:
        """The sender, and in its mtime the birth."""
        return self.split(b"info", number)

    def intd(self, number: int) -> bytes:
        """The envelope being written."""
        return b"%s/intd/%d" % (self.root, number)

    def todo(self, number: int) -> bytes:
        """The envelope, accepted."""
        return b"%s/todo/%d" % (self.root, number)

    def bounce(self, number: int) -> bytes:
        """What could not be delivered, in words."""
        return b"%s/bounce/%d" % (self.root, number)

    def lock(self, name: bytes) -> bytes:
        """sendmutex, trigger or tcpto."""
        return b"%s/lock/%s" % (self.root, name)

    def relative(self, path: bytes) -> bytes:
        """A path of this queue as the log names it."""
        return path[len(self.root) + 1 :]

    @staticmethod
    def message_id(number: int) -> bytes:
        """The path below mess/ that the spawners are told (spec/03 2)."""
        return b"%d/%d" % (number % SPLIT, number)
