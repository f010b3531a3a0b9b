"""What everybody inside the door shares: the loop, the threads for the disk, control files, numbers, the log.

Conversations and the taking of drop/ use its public names; the server sees to it that it goes on when the process forks
or becomes another version.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.disk.queue.entering import Names
from qmailpy.disk.queue.room import Room, room_of
from qmailpy.receive.door.admission import Admission
from qmailpy.receive.door.committing import Committing
from qmailpy.receive.door.story import Story
from qmailpy.receive.door.telling import Telling
from qmailpy.system import clock, identity
from qmailpy.system.loop import Loop
from qmailpy.system.outlet import Outlet
from qmailpy.system.pool import Pool
from qmailpy.verdict import Die
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.pool import Done, Job

_LAST_LINES = 1.0  # seconds that the log has to take what is left when we end
_SERIAL_SPAN, _SERIALS_A_SECOND = 1 << 20, 1 << 10  # serials of a later start are other ones


class Inside:
    """State of one door."""

    def __init__(self, home: Home, admission: Admission, name: bytes, threads: int) -> None:
        """name: for the log; threads: for the disk."""
        self.home, self.admission, self._name, self._threads = home, admission, name, threads
        self.loop = Loop()
        self.largest, self.local_time = wire.DEFAULT_BYTES, False
        self.room = Room(home.queue)
        self._outlet = Outlet(name, self._later)
        self._begin_counting()
        self._pool = self._new_pool()
        self._deferred: list[tuple[Job, Done]] | None = None  # jobs, while there is no pool
        self.committing = Committing(self.submit, self._soon)
        self.telling, self.story = Telling(home), Story(home)

    def read_controls(self) -> None:
        """As they are now; what cannot be read stays as it was."""
        try:
            self.largest = control.integer(self.home, "queuebytes", wire.DEFAULT_BYTES)
            self.local_time = control.integer(self.home, "localtime", 0) > 0
            self.room = room_of(self.home)
        except Die as death:  # better with the old figure than closed
            self.log(b"warning: " + death.text)

    def submit(self, job: "Job", done: "Done") -> None:
        """Have a job done by the pool: done(error or None) comes in the loop's thread."""
        if self._deferred is None:
            self._pool.submit(job, done)
        else:
            self._deferred.append((job, done))

    def serial(self) -> int:
        """A qp for a message that has no process of its own here."""
        self._serial += 1
        return self._serial

    def log(self, line: bytes) -> None:
        """One line on descriptor 2; nobody waits for its reader."""
        self._outlet.say(self._name + b": " + line)

    def _soon(self, call: "Callable[[], None]") -> None:
        """When everything that has come in this turn is heard."""
        self.loop.after(0.0, call)

    def _later(self, seconds: float, call: "Callable[[], None]") -> None:
        self.loop.after(seconds, call)  # of the loop that there is then

    def _begin_counting(self) -> None:
        now = clock.now()
        self.names = Names(identity.my_pid(), now)
        self._serial = wire.SERIALS + now % _SERIAL_SPAN * _SERIALS_A_SECOND

    def _new_pool(self) -> Pool:
        pool = Pool(self._threads)
        self.loop.on_read(pool.ready, pool.finished)
        return pool

    # the process ends, forks, or becomes another one

    def end(self) -> None:
        """Nobody is inside any more."""
        self._pool.stop()
        self._pool.finished()
        self._outlet.finish(_LAST_LINES)

    def pause(self) -> None:
        """Do what is under way; from here on there is one thread, and jobs are kept."""
        self._deferred = []
        self._pool.stop()
        self._pool.finished()

    def go_on(self) -> None:
        """After pause(): nothing has become of it."""
        self.loop.forget(self._pool.ready)
        self._open_pool()

    def go_on_as_fork(self) -> None:
        """After pause(), in a fork of this process, to which everything belongs now."""
        self.loop.close()
        self.loop = Loop()
        self._begin_counting()
        self._open_pool()
        self._outlet.resume()

    def surrender(self) -> None:
        """After pause(): such a fork does what was left to do."""
        self.committing.surrender()
        self.admission.clear()
        self._deferred = []
        self._outlet.forget()

    def _open_pool(self) -> None:
        self._pool.close()
        self._pool = self._new_pool()
        jobs, self._deferred = self._deferred or [], None
        for job, done in jobs:
            self._pool.submit(job, done)
