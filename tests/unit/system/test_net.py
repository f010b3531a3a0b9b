"""TCP and our own addresses: real sockets on loopback."""

import asyncio
import os
import socket
import threading

import pytest

from qmailpy.system import net
from tests.remote_support import Line, Peer
from tests.support import free_port


def test_the_addresses_of_our_interfaces_are_our_own() -> None:
    is_own = net.own_test()
    assert is_own(b"127.0.0.1")
    assert not is_own(b"198.51.100.250")
    assert not is_own(b"2001:db8::250")


def test_where_there_is_no_list_binding_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    is_own = net.own_test()
    assert is_own(b"127.0.0.1")
    assert not is_own(b"198.51.100.250") or open("/proc/sys/net/ipv4/ip_nonlocal_bind").read() == "1\n"  # noqa: SIM115


@pytest.mark.root
def test_an_address_that_is_only_routed_here_is_somebody_elses() -> None:
    is_own = net.own_test()  # tests/namespaces.py: one address on loopback, a network that only answers
    assert is_own(b"192.0.2.1")
    assert not is_own(b"198.51.100.1")


@pytest.mark.root
def test_second_addresses_and_ipv6_are_our_own() -> None:
    for address in ("192.0.2.77/24", "192.0.2.78/24", "2001:db8::77/128"):
        assert os.system(f"ip address add {address} dev lo") == 0
    is_own = net.own_test()
    assert all(is_own(address) for address in (b"192.0.2.77", b"192.0.2.78", b"2001:db8::77", b"127.0.0.1", b"::1"))


def run(work: object) -> None:
    asyncio.run(work)  # type: ignore[arg-type]


def test_what_a_peer_said_before_it_went_is_heard() -> None:
    async def work() -> None:
        stream = await net.connect(b"127.0.0.1", peer.port, 5)
        heard = b""
        while len(heard) < len(b"last words"):
            heard += await stream.receive()
        assert heard == b"last words"
        with pytest.raises(net.ConnectionLost):
            await stream.receive()
        with pytest.raises(net.ConnectionLost):
            await stream.send(b"hello?")
        stream.close(b"bye")

    with Peer(lambda line: line.say(b"last words")) as peer:
        run(work())


def test_a_flood_waits_in_the_kernel_not_in_our_memory() -> None:
    size = 20_000_000

    async def work() -> None:
        stream = await net.connect(b"127.0.0.1", peer.port, 5)
        heard = 0
        while heard < size:
            await asyncio.sleep(0)
            taken = await stream.receive()
            assert len(taken) <= net.ROOM * 2
            heard += len(taken)
        stream.close()

    with Peer(lambda line: line.say(b"x" * size)) as peer:
        run(work())


def test_last_words_are_said_and_the_connection_closed() -> None:
    async def work() -> None:
        stream = await net.connect(b"127.0.0.1", peer.port, 5)
        stream.close(b"QUIT\r\n")

    with Peer(Line.hear_all) as peer:
        run(work())
    assert peer.heard == [b"QUIT\r\n"]


def test_nobody_there_is_told_apart_from_no_answer() -> None:
    with pytest.raises(ConnectionRefusedError):
        run(net.connect(b"127.0.0.1", free_port(), 5))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(("127.0.0.1", port))
            with pytest.raises(TimeoutError):
                run(net.connect(b"127.0.0.1", port, 0.3))


def test_ipv6_is_called_too() -> None:
    async def work() -> None:
        stream = await net.connect(b"::1", peer.port, 5)
        assert await stream.receive() == b"hi"
        stream.close()

    with Peer(lambda line: line.say(b"hi"), socket.AF_INET6) as peer:
        run(work())


def test_who_waits_too_long_for_a_connection_is_told() -> None:
    async def work() -> None:
        stream = await net.connect(b"127.0.0.1", peer.port, 5)
        for _ in range(3):  # the same timer, again and again
            with stream.within(5):
                await stream.send(b"x")
            with pytest.raises(TimeoutError), stream.within(0.02):
                await stream.receive()
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        stream.close()

    with Peer(Line.hear_all) as peer:
        run(work())
    assert peer.heard == [b"xxx"]


def test_a_shorter_wait_after_a_longer_one_and_a_longer_one_after_a_shorter() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        within, begin = net.Within(loop), loop.time()
        with within(60):
            pass
        with pytest.raises(TimeoutError), within(0.02):
            await asyncio.sleep(60)
        with within(0.02):
            pass
        with within(60):
            await asyncio.sleep(0.05)  # the timer of before rings, and it is not time
        assert loop.time() - begin < 30
        within.stop()

    run(work())


def test_somebody_elses_cancelling_is_not_taken_for_the_end_of_patience() -> None:
    async def wait(within: net.Within) -> None:
        with within(60):
            await asyncio.sleep(60)

    async def work() -> None:
        within = net.Within(asyncio.get_running_loop())
        task = asyncio.create_task(wait(within))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        within.stop()

    run(work())


async def flood(stream: net.Stream) -> None:
    for _ in range(100):  # one write finds out, the next one hears of it
        await stream.send(b"x" * 100_000)


def test_what_came_before_a_broken_pipe_is_not_lost() -> None:
    async def work() -> None:
        stream = await net.connect(b"127.0.0.1", peer.port, 5)
        assert gone.wait(10)
        with pytest.raises(net.ConnectionLost):
            await flood(stream)
        assert stream.take() == b"554 no\r\n"
        stream.close()

    gone = threading.Event()

    def script(line: Line) -> None:
        line.say(b"554 no\r\n")
        line.connection.close()
        gone.set()

    with Peer(script) as peer:
        run(work())


def test_small_words_for_one_who_never_reads_do_not_pile_up() -> None:
    async def work() -> None:
        stream = await net.connect(b"127.0.0.1", peer.port, 5)
        said = 0
        while stream.is_quiet():
            stream.say(b"x" * 50_000)
            said += 50_000
            assert said < 100_000_000
        with pytest.raises(net.ConnectionLost):
            await stream.send(b"x")
        stream.close()
        over.set()

    def script(_: Line) -> None:
        over.wait(10)

    over = threading.Event()
    with Peer(script) as peer:
        run(work())
