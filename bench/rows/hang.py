"""A query that hangs for seven seconds must not be felt by anybody else: the worst ack of twenty other people.

On PostgreSQL, somebody holds the row of one person and of that person's session. This person sends a message at the
beginning and every second again; the others send twenty a second in all. The plain build is asked the same.
"""

from __future__ import annotations

import asyncio

import psycopg

from bench.interval import median_interval
from bench.load import Fleet
from bench.results import judge
from bench.servers import OURS, PLAIN, Kind, Server
from bench.session import Bench

OTHERS = 20
PER_S = 20.0
HANG_S = 7.0
AFTERWARDS_S = 1.0  # the window goes on: what had to wait is answered within it
PLAIN_ROUNDS = 2


async def run(bench: Bench) -> None:
    ours = await _measure(bench, OURS, bench.rounds)
    bench.add(judge("another user's worst ack while a query hangs, more than calm", median_interval(ours), "<= 0.05 s"))
    plain = await _measure(bench, PLAIN, min(bench.rounds, PLAIN_ROUNDS))
    bench.add(judge("the same in the plain build, s", median_interval(plain)))


async def _measure(bench: Bench, kind: Kind, rounds: int) -> list[float]:
    """Seconds by which the worst ack was later than in the calm window of the same round."""
    server = bench.servers.start(kind, "postgresql")
    fleet = await server.connect(OTHERS, people=server.people[1 : OTHERS + 1])
    await fleet.settle()
    later = []
    for number in range(rounds):
        calm = await _worst(fleet, bench.seconds(HANG_S))
        hung = await _while_hanging(server, fleet, bench.seconds(HANG_S))
        later.append(max(0.0, hung - calm))
        bench.say(f"  round {number + 1}/{rounds}: {kind.name}: calm {calm:.3f} s, hanging {hung:.3f} s")
    return later


async def _worst(fleet: Fleet, seconds: float) -> float:
    await fleet.paced(seconds, PER_S)
    return max(latency for socket in fleet.sockets for latency in socket.latencies)


async def _while_hanging(server: Server, fleet: Fleet, seconds: float) -> float:
    alice = Fleet(server.pids)
    await server.connect(1, fleet=alice, people=server.people[:1])
    await alice.settle()
    holding = asyncio.create_task(_hold(server, seconds))
    insisting = asyncio.create_task(_insist(alice))
    try:
        return await _worst(fleet, seconds + AFTERWARDS_S)
    finally:
        insisting.cancel()
        await holding
        await alice.close()


async def _hold(server: Server, seconds: float) -> None:
    assert server.filled is not None
    async with await psycopg.AsyncConnection.connect(server.filled.url) as holder:
        await holder.execute("SELECT 1 FROM auth_user WHERE username = 'person-0' FOR UPDATE")
        if server.kind.is_ours:
            session_id = server.people[0].session_id
            await holder.execute("SELECT 1 FROM chat_chatsession WHERE id = %s FOR UPDATE", [session_id])
        await asyncio.sleep(seconds)


async def _insist(alice: Fleet) -> None:
    await asyncio.sleep(0.3)  # until the rows are held
    while True:
        for socket in alice.sockets:
            socket.send()
        await asyncio.sleep(1.0)
