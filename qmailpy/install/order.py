"""What setup, check and the embedded way do, in their order.

Each takes the checkout, the home, and the table of programs (name -> mode): this is an organ, and the table stands
above it. Each says what it does, one line at a time, through the function it is given.
"""

import os
import socket
import stat

from qmailpy.disk.home import Home
from qmailpy.disk.layout import SPLIT_FOLDERS
from qmailpy.install import accounts, around, interpreter, naming, owners, verify
from qmailpy.install.gather import Goods, gather, require_path
from qmailpy.install.library import Library, name_of
from qmailpy.install.placed import RECORD, Placer, write_file
from qmailpy.install.tree import Tree, entries
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Say = Callable[[str], None]
    Programs = Mapping[str, int]

ALIASES = (b"postmaster", b"mailer-daemon", b"root")  # addresses that every mail system has (spec/08 5)

# what a directory that will become a home may hold besides a home's own names: an administrator's, a file system's
MAY_BE_THERE = {"run", "down", "rc", "log", "supervise", "smtpd", "home", "lost+found"}

EMBEDDED = b"""This home lives the embedded way: it belongs to one ordinary user, and that uid has every role of qmail.
No root, no accounts, no port under 1024. Programs see it by this file together with the owner of queue/.

Mail for the user (and for user-anything) is delivered by home/: home/.qmail, home/.qmail-anything, home/Maildir/.
Mail for every other local address is delivered by alias/.qmail-ADDRESS.

Nothing reads these words; removing the file makes the programs look for the accounts alias, qmaild, ... instead.
"""


def setup(checkout: bytes, home: bytes, programs: "Programs", say: "Say", force: "Collection[str] | None" = ()) -> None:
    """The classic way: accounts, directories, library, programs.  Errors: Die TEMP; what was done stays done."""
    home = require_path(home)
    if not identity.is_root():
        raise Die(TEMP, b"the classic way needs root: sudo make setup (without root: tools/setup.py --embedded DIR)")
    if b" " in home:
        raise Die(TEMP, b"the home of a classic installation must not have a blank in its path: " + home)
    _refuse_checkout(checkout, home)
    refuse_strange(home)
    goods = gather(checkout, home, programs)
    path = interpreter.of_line(goods.interpreter) or b""
    if (closed := interpreter.closed_at(path)) is not None:
        raise Die(
            TEMP,
            path
            + b" cannot be run by qmail's accounts: "
            + closed
            + b" is closed to them; make the virtual environment "
            b"from another Python (rm -r .venv; make setup PYTHON=/usr/bin/python3)",
        )
    accounts.create(home, say)
    _put_in_place(home, goods, owners.classic(), say, force)
    say(f"setup: {os.fsdecode(home)} is complete")
    _say_what_is_next(home, say)


def _refuse_checkout(checkout: bytes, home: bytes) -> None:
    if os.path.realpath(home) == os.path.realpath(checkout):
        raise Die(TEMP, b"the checkout cannot be a home: choose another QMAILHOME than " + home)


def refuse_strange(home: bytes) -> None:
    """A directory that is something else must not become a home: setup changes owners and modes of what it finds.

    A home has control/ and queue/mess/, or the record of an earlier setup; a directory with nothing but what a setup
    (even one that was killed) or an administrator puts there may become one.  Errors: Die TEMP; nothing was touched.
    """
    try:
        names = {os.fsdecode(name) for name in os.listdir(home)}
        mode = os.stat(home).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Die(TEMP, b"unable to look into " + home + b": " + words(error)) from None
    if os.path.isdir(home + b"/control") and os.path.isdir(Home(home).queue + b"/" + SPLIT_FOLDERS[0].encode()):
        return
    if os.path.isfile(home + b"/" + RECORD):
        return
    strange = sorted(names - {entry.path.partition("/")[0] for entry in entries()} - MAY_BE_THERE)
    if strange:
        raise Die(TEMP, home + b" is no qmail home, and not empty: it has " + os.fsencode(strange[0]))
    if mode & (stat.S_IWOTH | stat.S_ISVTX):
        raise Die(TEMP, home + b" is a directory for everybody: it cannot become a home")


def _put_in_place(home: bytes, goods: Goods, who: owners.Owners, say: "Say", force: "Collection[str] | None") -> None:
    """The same for both ways: directories, queue, library, then what loads it."""
    work = Tree(home, who, say)
    work.make(entries())
    if work.made:
        say(f"made {work.made} directories and queue files")
    library = Library(home, who, say)
    library.lock()
    try:
        library.install(goods)
        placer = Placer(home, who, say, force)
        placer.place(goods.placed)
        say(f"bin/, boot/, man/, doc/: {placer.written} of {len(goods.placed)} files written")
    finally:
        library.unlock()


def _say_what_is_next(home: bytes, say: "Say") -> None:
    shown = os.fsdecode(home)
    if not around.is_in_manual_path(home):
        say(f"manual pages: {around.manual_path(home)}")
    for line in around.holders(home):
        say(f"sendmail: {line}")
    steps = []
    if not os.path.exists(home + b"/control/me"):
        steps.append(f"{shown}/bin/config-fast your.full.host.name   (or {shown}/bin/config, which asks the DNS)")
    missing = [name.decode() for name in ALIASES if not os.path.exists(home + b"/alias/.qmail-" + name)]
    if missing:
        steps.append(
            f"cd {shown}/alias; for a in {' '.join(missing)}; do echo YOU >.qmail-$a; done   (YOU: who reads it)"
        )
    if steps:
        steps.append(f"a way to start it: {shown}/boot/, and INSTALL.md")
    for number, step in enumerate(steps, 1):
        say(f"next, {number}: {step}")


def check(checkout: bytes | None, home: bytes, programs: "Programs", say: "Say") -> bool:
    """Verify a home.  checkout: also say whether it is the version installed.  Result: whether all is well.

    An embedded home is verified as such where control/embedded exists and the queue is not root's accounts'.
    """
    home = require_path(home)
    found = verify.Findings()
    is_embedded = os.path.exists(home + b"/control/embedded")
    if is_embedded:
        who = owners.embedded(os.stat(home).st_uid, os.stat(home).st_gid)
    else:
        found.faults, found.notes = accounts.faults(home)
        try:
            who = owners.classic()
        except Die:  # the missing accounts are among the faults; nothing else can be told without their numbers
            return _tell(home, found, say)
    verifier = verify.Verifier(home, who, programs, others_run=not is_embedded)
    expected = None if checkout is None else name_of(gather(checkout, home, programs, only_named=True))
    more = verifier.everything(expected)
    found.faults += more.faults
    found.notes += more.notes
    return _tell(home, found, say)


def _tell(home: bytes, found: verify.Findings, say: "Say") -> bool:
    for text in found.notes:
        say(f"check: note: {text}")
    for text in found.faults:
        say(f"check: {text}")
    if found.faults:
        say(f"check: {len(found.faults)} faults")
        return False
    say(f"check: {os.fsdecode(home)} is as it should be")
    return True


def embedded(
    checkout: bytes,
    home: bytes,
    programs: "Programs",
    say: "Say",
    *,
    uid: int | None = None,
    name: bytes | None = None,
    force: "Collection[str] | None" = (),
) -> None:
    """The embedded way: a complete home that belongs to one user.  Errors: Die TEMP.

    uid: whose (only root may say another than its own); it becomes that user for good before it writes anything in
    the home. name: the host's full name for control/me; else this machine's.
    """
    home = require_path(home)
    if identity.is_root() and not uid:
        raise Die(TEMP, b"no mail is delivered as root, so no embedded home can be root's: say whose it is, --uid N")
    _refuse_checkout(checkout, home)
    refuse_strange(home)
    goods = gather(checkout, home, programs)
    if uid and identity.is_root():
        become(home, uid)
    if uid is not None and uid != identity.my_uid():
        raise Die(TEMP, b"only root can make a home for uid %d" % uid)
    if os.path.isdir(home) and os.stat(home).st_uid != identity.my_uid():
        raise Die(TEMP, home + b" belongs to uid %d, not to uid %d" % (os.stat(home).st_uid, identity.my_uid()))
    who = owners.embedded(identity.my_uid(), identity.my_gid())
    path = interpreter.of_line(goods.interpreter) or b""
    if not os.access(path, os.X_OK):
        raise Die(TEMP, path + b" cannot be run by uid %d: make .venv from another Python" % identity.my_uid())
    _put_in_place(home, goods, who, say, force)
    _fill(Home(home), who, name or machine_name())
    say(f"setup: {os.fsdecode(home)} is a complete embedded home of uid {identity.my_uid()}")


def become(home: bytes, uid: int) -> None:
    """Root makes the home's directory for this user, and then is that user for good.  Errors: Die TEMP."""
    gid = owners.group_of(uid)
    try:
        if not os.path.isdir(home):
            os.makedirs(os.path.dirname(home), 0o755, exist_ok=True)
            owners.make_directory_for(home, uid)
    except OSError as error:
        raise Die(TEMP, b"unable to make " + home + b": " + words(error)) from None
    if os.stat(home).st_uid != uid:
        raise Die(TEMP, home + b" belongs to uid %d, not to uid %d" % (os.stat(home).st_uid, uid))
    identity.become(uid, gid)


def machine_name() -> bytes:
    """A full host name for a home that nobody has configured: the machine's, or one that can never be real."""
    name = socket.gethostname().lower().encode("ascii", "replace")
    try:
        naming.require_name(name)
    except Die:
        name = b"localhost"
    return name if b"." in name else name + b".localdomain"


def _fill(home: Home, who: owners.Owners, name: bytes) -> None:
    """Control files, aliases and the user's Maildir, where they are missing."""
    uid, gid = who.uid["root"], who.gid["qmail"]
    user = identity.my_name()
    try:
        if not os.path.exists(home.control(b"embedded")):
            write_file(home.control(b"embedded"), EMBEDDED, 0o644, uid, gid)
        if not os.path.exists(home.control(b"me")):
            naming.put_all(home, name)
            for host in naming.localhosts(home):
                for list_name in naming.LISTS:
                    naming.append(home, list_name, host)
        for alias in ALIASES:
            path = home.at(b"alias", b".qmail-" + alias)
            if alias != user and not os.path.lexists(path):
                write_file(path, b"&" + user + b"\n", 0o644, uid, gid)
        for folder in (b"home", b"home/Maildir", b"home/Maildir/tmp", b"home/Maildir/new", b"home/Maildir/cur"):
            path = home.at(folder)
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
    except OSError as error:
        where = os.fsencode(error.filename or home.path)
        raise Die(TEMP, b"unable to make " + where + b": " + words(error)) from None
