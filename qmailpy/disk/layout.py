"""The layout of a home: directories, files, owners and modes (spec/01, spec/02 1), as tables.

setup makes it, check verifies it, the tests read it. Owners are roles, groups are "qmail", "nofiles" or "root".
"""

SPLIT = 23  # sub-directories of mess, info, local, remote: N mod 23 (conf-split)
DEATH = 86400  # seconds after which a submission gives up; must stay below OSSIFIED
OSSIFIED = 129600  # seconds (36 h) after which a file nobody claims is litter
TCPTO_SIZE = 1024  # bytes of lock/tcpto: 64 records of 16
TCPTO6_SIZE = 2048  # bytes of lock/tcpto6: 64 records of 32

SPLIT_FOLDERS = ("mess", "info", "local", "remote")


class Entry:
    """One path of a home.

    kind: "dir", "file", "fifo"; size: bytes a new file gets (NUL); a mode of a file that exists is only checked.
    """

    __slots__ = ("group", "kind", "mode", "owner", "path", "size")

    def __init__(self, path: str, kind: str, owner: str, group: str, mode: int, size: int = 0) -> None:
        """path: relative to the home."""
        self.path, self.kind, self.owner = path, kind, owner
        self.group, self.mode, self.size = group, mode, size


def _split(name: str, owner: str, mode: int) -> list[Entry]:
    folders = [name, *(f"{name}/{part}" for part in range(SPLIT))]
    return [Entry(f"queue/{folder}", "dir", owner, "qmail", mode) for folder in folders]


HOME = [
    Entry(".", "dir", "root", "qmail", 0o755),
    *(
        Entry(name, "dir", "root", "qmail", 0o755)
        for name in (
            "bin",
            "boot",
            "control",
            "doc",
            "lib",
            "man",
            "man/man1",
            "man/man5",
            "man/man7",
        )
    ),
    Entry("man/man8", "dir", "root", "qmail", 0o755),
    Entry("users", "dir", "root", "qmail", 0o755),
    Entry("alias", "dir", "alias", "qmail", 0o2755),
    # the door: anybody may connect to its socket, only qmailq may put one there
    Entry("door", "dir", "qmailq", "qmail", 0o755),
    Entry("door/lock", "file", "qmailq", "qmail", 0o600),
    # qmail-send's own socket: only the roles of group qmail come as far as that
    Entry("door/send", "dir", "qmails", "qmail", 0o750),
    # qmail-authd's socket: only servers' accounts come as far as that, and qmail-authd looks who it is
    Entry("auth", "dir", "root", "nofiles", 0o750),
    Entry("auth/lock", "file", "root", "root", 0o600),
    # anybody may leave a message, nobody may list them
    Entry("drop", "dir", "qmailq", "qmail", 0o1733),
    Entry("drop/aside", "dir", "qmailq", "qmail", 0o700),
]

QUEUE = [
    Entry("queue", "dir", "qmailq", "qmail", 0o750),
    Entry("queue/pid", "dir", "qmailq", "qmail", 0o700),
    Entry("queue/intd", "dir", "qmailq", "qmail", 0o700),
    Entry("queue/todo", "dir", "qmailq", "qmail", 0o750),
    *_split("mess", "qmailq", 0o750),
    *_split("info", "qmails", 0o700),
    *_split("local", "qmails", 0o700),
    *_split("remote", "qmails", 0o700),
    Entry("queue/bounce", "dir", "qmails", "qmail", 0o700),
    Entry("queue/orders", "dir", "qmails", "qmail", 0o700),
    Entry("queue/lock", "dir", "qmailq", "qmail", 0o750),
    Entry("queue/lock/sendmutex", "file", "qmails", "qmail", 0o600),
    Entry("queue/lock/trigger", "fifo", "qmails", "qmail", 0o622),
    Entry("queue/lock/tcpto", "file", "qmailr", "qmail", 0o644, TCPTO_SIZE),
    Entry("queue/lock/tcpto6", "file", "qmailr", "qmail", 0o644, TCPTO6_SIZE),
]
