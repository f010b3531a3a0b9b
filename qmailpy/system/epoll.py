"""epoll(7) in poll's clothes, for system/loop: a descriptor on which nothing happens costs nothing.

Beside poll's verbs there are two of its own: a connection is registered once, edge-triggered, and reports what changes
without ever being told again what is of interest; and a listening socket that several processes share wakes one of
them for each connection, not all.
"""

import errno
import select

READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR  # what is still to be read comes at once, then the end
_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_AT_ONCE = 256  # events of one turn: what is left comes with the next


class Epoll:
    """One epoll, of the process that has made it: a fork makes its own."""

    def __init__(self) -> None:
        """Errors: OSError."""
        self._epoll = select.epoll()
        self._known: set[int] = set()  # registered in poll's way

    def register(self, descriptor: int, events: int) -> None:
        """As poll: from now on these.  Errors: OSError."""
        if descriptor in self._known:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
            self._known.add(descriptor)

    def unregister(self, descriptor: int) -> None:
        """No more.  Errors: KeyError where it was not watched in poll's way."""
        self._known.remove(descriptor)
        try:
            self._epoll.unregister(descriptor)
        except OSError as error:  # closed before it was forgotten
            if error.errno not in (errno.EBADF, errno.ENOENT):
                raise

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        """Descriptors and what has happened there, in so long a time."""
        return self._epoll.poll(milliseconds / 1000, _AT_ONCE)

    def share(self, descriptor: int) -> None:
        """A listening socket that others watch too: one of all is woken for each connection.  Errors: OSError."""
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def follow(self, descriptor: int) -> None:
        """A connection: tell once of each change, READABLE or ENDED; closing it ends this.  Errors: OSError."""
        self._epoll.register(descriptor, _EDGES)

    def follow_writing(self, descriptor: int) -> None:
        """Of this connection also tell when it is WRITABLE again, now if it is.  Errors: OSError."""
        self._epoll.modify(descriptor, _EDGES | select.EPOLLOUT)

    def leave(self, descriptor: int) -> None:
        """Tell no more of what was shared or followed, though it stays open.  Errors: OSError."""
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Give it back."""
        self._epoll.close()
