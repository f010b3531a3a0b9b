"""Who waits, and what has news for him: what the files of a worker need of a session and of the worker itself.

Types only. A session is a Resident, a worker's common state is Serving; those who stand below both see no more of them
than this.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmailpy.system.epoll import Epoll
    from qmailpy.system.loop import Loop
    from qmailpy.system.wheel import Wheel

    class Waiter(Protocol):
        """A session that stops until somebody has something for it.  environment: of its connection."""

        environment: dict[bytes, bytes]

        @property
        def network(self) -> bytes:
            """The client's."""

        def resume(self, value: object, /) -> None:
            """What it waits for has come."""

        def fail(self, error: Exception, /) -> None:
            """It will not come."""

        async def pause(self) -> object:
            """Stop until resume() or fail(); the value that resume() is given."""

    class Events(Protocol):
        """What calls back in a worker."""

        loop: Loop
        epoll: Epoll
        wheel: Wheel
