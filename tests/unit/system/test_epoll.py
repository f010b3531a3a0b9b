"""The loop over an epoll does what it does over poll; connections tell once of each change."""

import os
import socket

import pytest

from qmailpy.system import epoll
from qmailpy.system.epoll import Epoll
from qmailpy.system.loop import Loop


def test_the_loops_own_verbs_work_over_it() -> None:
    loop = Loop(Epoll())
    read_end, write_end = os.pipe()
    seen: list[str] = []
    try:

        def writable() -> None:
            seen.append("writable")
            loop.on_write(write_end, None)

        loop.on_write(write_end, writable)
        loop.on_read(read_end, lambda: seen.append(os.read(read_end, 10).decode()))
        loop.turn(1)
        os.write(write_end, b"x")
        loop.turn(1)
        assert seen == ["writable", "x"]
        loop.forget(read_end)
        os.write(write_end, b"y")
        loop.turn(0.01)
        assert seen == ["writable", "x"]
        loop.forget(read_end)  # once more does no harm
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_connection_tells_once_of_each_change() -> None:
    watch = Epoll()
    loop = Loop(watch)
    ours, theirs = socket.socketpair()
    events: list[int] = []
    with ours, theirs:
        ours.setblocking(False)
        watch.follow(ours.fileno())
        loop.dispatch(ours.fileno(), events.append)
        loop.turn(0)
        assert events == []
        theirs.send(b"x")
        loop.turn(1)
        loop.turn(0)
        assert len(events) == 1
        assert events[0] & epoll.READABLE
        theirs.send(b"y")
        loop.turn(1)
        assert len(events) == 2
        watch.follow_writing(ours.fileno())
        loop.turn(1)
        assert events[-1] & epoll.WRITABLE
        theirs.close()
        loop.turn(1)
        assert events[-1] & epoll.ENDED
        loop.dispatch(ours.fileno(), None)
        watch.leave(ours.fileno())


def test_a_shared_socket_wakes_and_can_be_left() -> None:
    watch = Epoll()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        watch.share(listener.fileno())
        with socket.create_connection(listener.getsockname()):
            assert watch.poll(1000)
            watch.leave(listener.fileno())
            assert watch.poll(0) == []
            with pytest.raises(KeyError):
                watch.unregister(listener.fileno())
    watch.close()
