"""A crowd of SMTP servers that let everybody in and then take for ever: half of them say a byte a second, half nothing.

One process on one port of every loopback address. A byte on its standard input makes it hang up on everybody there,
or, with a digit d, on 10**d of them; it says how many it has by writing a line each time the number changes.
"""

import asyncio
import contextlib
import os
import resource
import ssl
import subprocess
import sys
from collections.abc import Iterator

from tests.support import CHECKOUT, wait_for

PACE = 1.0  # seconds between two bytes
EVERYBODY = b"*"


class Crowd:
    """What a test sees of it.  held: connections that it has now."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.port = process, port
        self.held = 0
        self._rest = b""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

    def _look(self) -> int:
        assert self._process.stdout is not None
        piece = self._process.stdout.read()
        if piece:
            *lines, self._rest = (self._rest + piece).split(b"\n")
            self.held = int(lines[-1]) if lines else self.held
        return self.held

    def wait(self, count: int, seconds: float = 30.0) -> None:
        """Until exactly so many are there."""
        wait_for(lambda: self._look() == count, lambda: f"{count} connections, there are {self.held}", seconds)

    def hang_up(self, which: bytes = EVERYBODY) -> None:
        """On everybody; b"0": on one, b"1": on ten."""
        assert self._process.stdin is not None
        self._process.stdin.write(which)
        self._process.stdin.flush()


@contextlib.contextmanager
def crowd(certificate: str = "", key: str = "") -> Iterator[Crowd]:
    """certificate, key: with them it is silent only after a handshake, and EHLO."""
    words = [sys.executable, "-P", "-B", __file__, *([certificate, key] if certificate else [])]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": CHECKOUT}
    ) as process:
        try:
            assert process.stdout is not None
            yield Crowd(process, int(process.stdout.readline()))
        finally:
            process.kill()


def memory(pid: int) -> float:
    """MB of a process: its own, and its share of what others have too (PSS)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def address(number: int) -> str:
    """Where one of a million of them listens."""
    return f"x@[127.{2 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}]"


# --- the process itself ---


class _Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, peers: "dict[_Peer, None]", context: ssl.SSLContext | None) -> None:
        self._peers, self._context = peers, context
        self.transport: asyncio.Transport | None = None
        self._heard = b""
        self._secret = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._secret:
            return
        self._peers[self] = None
        _say(len(self._peers))
        if self._context is not None:
            transport.write(b"220 slow\r\n")
        elif len(self._peers) % 2:
            self._drip(b"220-" + b"slow " * 1000)

    def _drip(self, words: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing() and words:
            self.transport.write(words[:1])
            asyncio.get_running_loop().call_later(PACE, self._drip, words[1:])

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if self._context is None or self.transport is None or not self._heard.endswith(b"\n") or self._secret:
            return
        if self._heard.startswith(b"STARTTLS"):
            self._secret = True
            self.transport.write(b"220 go\r\n")
            self._task = asyncio.create_task(self._secure(self._context))
        else:
            self.transport.write(b"250-slow\r\n250 STARTTLS\r\n")
        self._heard = b""

    async def _secure(self, context: ssl.SSLContext) -> None:
        assert self.transport is not None
        with contextlib.suppress(OSError):
            self.transport = await asyncio.get_running_loop().start_tls(self.transport, self, context, server_side=True)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._peers.pop(self, self) is None:
            _say(len(self._peers))


def _say(count: int) -> None:
    os.write(1, b"%d\n" % count)


async def _serve(words: list[str]) -> None:
    context = None
    if words:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*words)
    peers: dict[_Peer, None] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Peer(peers, context), "0.0.0.0", 0, backlog=2000)
    gone = loop.create_future()

    def hear() -> None:
        piece = os.read(0, 1)
        if not piece:
            gone.set_result(None)
            return
        most = 10 ** int(piece) if piece.isdigit() else len(peers)
        for peer in list(peers)[:most]:
            if peer.transport is not None:
                peer.transport.abort()

    loop.add_reader(0, hear)
    _say(server.sockets[0].getsockname()[1])
    await gone


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(_serve(sys.argv[1:]))
