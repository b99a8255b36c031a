"""Memory that one bad client can take: one that never reads 100 MB, one that floods without waiting.

Each time a new server, warmed up with the same traffic from a client that behaves; what counts is by how much resident
memory then rises above that, at its highest.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from bench import machine
from bench.interval import median_interval
from bench.load import Fleet, Socket
from bench.results import judge
from bench.servers import OURS, Server
from bench.session import Bench

MIB = 1_048_576
LONG = {**OURS.message, "content": "語" * 9_900}  # the longest that is allowed, three bytes each
MESSAGE_BYTES = 30_000
TOTAL_BYTES = 100_000_000
WARM_UP_BYTES = 15_000_000
FLOOD_S = 12.0
SAMPLE_S = 0.05

Attack = Callable[[Server, Fleet, int], Awaitable[Socket]]


async def run(bench: Bench) -> None:
    total = TOTAL_BYTES // (10 if bench.is_quick else 1)
    attacks: tuple[tuple[str, Attack, str], ...] = (
        ("never reads 100 MB", _never_read, "<= 1 MiB"),
        ("floods", _flood, "<= 2 MiB"),
    )
    for what, attack, target in attacks:
        grown = []
        for number in range(bench.rounds):
            server = bench.servers.start(OURS)
            growth, told = await _growth(server, attack, total)
            grown.append(growth / MIB)
            bench.servers.stop()
            bench.say(f"  round {number + 1}/{bench.rounds}: a client that {what}: {grown[-1]:.2f} MiB; {told}")
        bench.add(judge(f"memory of a client that {what}", median_interval(grown), target))


async def _growth(server: Server, attack: Attack, total: int) -> tuple[float, str]:
    """Bytes by which the attack raises the server's memory at its highest, and what became of the attacker."""
    alice = server.people[0]
    fleet = await server.connect(1, people=[alice], message=LONG)
    sender = fleet.sockets[0]
    async with _highest(server.pids[0]) as warm:
        await _send(fleet, sender, WARM_UP_BYTES)
    async with _highest(server.pids[0]) as high:
        attacker = await attack(server, fleet, total)
    sent, taken = attacker.sent * MESSAGE_BYTES // 1_000_000, fleet.sockets[0].answered * MESSAGE_BYTES // 1_000_000
    end = f"closed with {attacker.close_code}" if attacker.close_code else "still open"
    await fleet.close()
    return max(0, high[0] - warm[0]), f"it sent {sent} MB, the other one {taken} MB; {end}"


@contextlib.asynccontextmanager
async def _highest(pid: int) -> AsyncIterator[list[int]]:
    """The highest resident memory while it is open, in a list of one."""
    high = [machine.rss_bytes(pid)]

    async def watch() -> None:
        while True:
            high[0] = max(high[0], machine.rss_bytes(pid))
            await asyncio.sleep(SAMPLE_S)

    task = asyncio.create_task(watch())
    try:
        yield high
    finally:
        task.cancel()


async def _send(fleet: Fleet, sender: Socket, total: int) -> None:
    """Long messages, a few under way at a time, until `total` bytes were sent and answered."""
    wanted = sender.sent + total // MESSAGE_BYTES

    def refill(socket: Socket) -> None:
        if socket.sent < wanted:
            socket.send()

    sender.refill = refill
    for _ in range(8):
        sender.send()
    while sender.answered < wanted and not sender.closed.done():
        await asyncio.sleep(SAMPLE_S)
    sender.refill = None


async def _never_read(server: Server, fleet: Fleet, total: int) -> Socket:
    """A second device of the same session takes nothing out of its socket while the first one sends."""
    (deaf,) = await server.connect_to(fleet, server.people[0], LONG)
    deaf.send()
    await fleet.drain()  # it is registered
    deaf.transport.pause_reading()
    raw = deaf.transport.get_extra_info("socket")
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    await _send(fleet, fleet.sockets[0], total)
    return deaf


async def _flood(server: Server, fleet: Fleet, total: int) -> Socket:
    """Another person sends as fast as the network takes it, and waits for nothing."""
    (flooder,) = await server.connect_to(fleet, server.people[1], LONG)
    ends = time.monotonic() + FLOOD_S
    while flooder.sent * MESSAGE_BYTES < total and time.monotonic() < ends and not flooder.closed.done():
        while flooder.transport.get_write_buffer_size() < 4 * MESSAGE_BYTES and not flooder.transport.is_closing():
            flooder.send()
        await asyncio.sleep(0)
    return flooder
