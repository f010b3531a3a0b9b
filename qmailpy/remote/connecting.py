"""The first address that lets us in, quickly (RFC 8305, in the manner of mail).

The addresses of one exchanger are tried one after the other, and the next one is not kept waiting for longer than QUICK
by one that does not answer. A worse exchanger is tried only when all addresses of a better one have failed: it is not
the place where mail belongs. No exchanger is begun with after ALTOGETHER: those that did not answer are remembered, so
that the next delivery begins with others.
"""

import asyncio

from qmailpy.remote import telling
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.story import UNTOLD
from qmailpy.rules.exchangers import Address, together
from qmailpy.system import clock
from qmailpy.system.net import Stream
from qmailpy.verdict import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Reached = tuple[Address, Stream]

QUICK = 2.0  # seconds
ALTOGETHER = 10  # times the patience for one: a list of silent exchangers must not hold a delivery's slot for an hour


class Way:
    """How each of them is tried.

    port: theirs; patience: seconds for each; longest: as Equipment.is_dead's; sources: addresses of ours to come from,
    canonical text; the first one of the family counts; story: of the delivery.
    """

    __slots__ = ("longest", "patience", "port", "sources", "story")

    def __init__(self, port: int, patience: float, longest: int = 0, sources: "Sequence[bytes]" = ()) -> None:
        """As above."""
        self.port, self.patience, self.longest, self.sources = port, patience, longest, sources
        self.story = UNTOLD

    def source(self, ip: bytes) -> bytes:
        """Where a connection to this address comes from; empty: as the kernel likes."""
        is_ipv6 = b":" in ip
        return next((source for source in self.sources if (b":" in source) == is_ipv6), b"")


async def first_of(equipment: Equipment, addresses: list[Address], way: Way) -> "Reached | None":
    """Who lets us in, and the connection; None: nobody.  Errors: net.NotOurs."""
    until = clock.monotonic() + ALTOGETHER * way.patience
    for group in together(addresses):
        if clock.monotonic() >= until:
            break
        alive = [address for address in group if not equipment.is_dead(address.ip, way.longest)]
        if way.story.is_on:
            telling.skipped(way.story, group, alive)
        if len(alive) == 1:  # as usual: without a task of its own
            stream = await _try(equipment, alive[0], way)
            if stream is not None:
                return alive[0], stream
        elif alive:
            reached = await _race(equipment, alive, way)
            if reached is not None:
                return reached
    return None


async def _try(equipment: Equipment, address: Address, way: Way) -> Stream | None:
    try:
        stream = await equipment.connect(address.ip, way.port, way.patience, way.source(address.ip))
    except TimeoutError:
        equipment.remember_timeout(address.ip)
        if way.story.is_on:
            telling.failed(way.story, address, b"timeout")
        return None
    except OSError as error:
        equipment.remember_answer(address.ip)
        if way.story.is_on:
            telling.failed(way.story, address, words(error))
        return None
    equipment.remember_answer(address.ip)
    return stream


async def _race(equipment: Equipment, addresses: list[Address], way: Way) -> "Reached | None":
    waiting = list(reversed(addresses))
    running: dict[asyncio.Task[Stream | None], Address] = {}
    begun: dict[Address, float] = {}
    try:
        while waiting or running:
            if waiting:
                address = waiting.pop()
                begun[address] = clock.monotonic()
                running[asyncio.create_task(_try(equipment, address, way))] = address
            done, _ = await asyncio.wait(
                running, timeout=QUICK if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in sorted(done, key=lambda task: addresses.index(running[task])):
                stream = task.result()
                address = running.pop(task)
                if stream is not None:
                    return address, stream
        return None
    finally:
        for task, address in running.items():
            if task.cancel() and clock.monotonic() - begun[address] >= QUICK:
                equipment.remember_timeout(address.ip)  # it did not answer while another one did
        await _close_all(running)


async def _close_all(running: "Iterable[asyncio.Task[Stream | None]]") -> None:
    """Those who came too late."""
    for stream in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(stream, Stream):
            stream.close()
