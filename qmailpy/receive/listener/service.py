"""A service: one of our protocol programs, as one command line asked for it, ready to hold sessions."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Protocol

    from qmailpy.disk.home import Home
    from qmailpy.skeletons.dialog import Dialog

    Converse = Callable[[Dialog], Coroutine[None, object, int]]

    class Maker(Protocol):
        """Makes a service."""

        def __call__(
            self, home: Home, program: list[bytes], environment: dict[bytes, bytes], /, *, renewing: bool
        ) -> "Service":
            """program: its command line; renewing: there is such a service already, which can go on.  Errors: Die."""


class Service:
    """One protocol, as one command line asked for it.

    name: of the program; converse: holds a session to its end, last words and all; farewell: for who must go before the
    first word, empty where nothing can be said; patience: seconds that a client has for each thing.
    """

    __slots__ = ("converse", "farewell", "name", "patience")

    def __init__(self, name: bytes, converse: "Converse", *, farewell: bytes, patience: float) -> None:
        """As above."""
        self.name, self.converse, self.farewell, self.patience = name, converse, farewell, patience
