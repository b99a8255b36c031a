"""A thousand signed-in connections: what an idle one costs in memory, and what they do to the cost of a message.

Memory is resident memory of a new server each time, from 20 connections that have sent something to 1 000 more.
Processor time is compared at the same rate of messages, once over 20 connections and once over 1 000.
"""

from __future__ import annotations

import asyncio

from bench import machine
from bench.interval import median_interval, ratio_interval
from bench.results import judge
from bench.servers import OURS
from bench.session import Bench

FEW, MANY = 20, 1_000
PER_S = 500.0
SECONDS = 4.0
SETTLE_S = 1.5


async def run(bench: Bench) -> None:
    few, many = bench.servers.start(OURS), bench.servers.start(OURS)
    fleets = {"few": await few.connect(FEW), "many": await many.connect(MANY)}
    for fleet in fleets.values():
        await fleet.settle()
    taken: dict[str, list[float]] = {name: [] for name in fleets}
    for number, order in bench.alternate(list(fleets)):
        for name in order:
            taken[name].append((await fleets[name].paced(bench.seconds(SECONDS), PER_S)).cpu_us)
        told = ", ".join(f"{len(fleets[name].sockets)}: {taken[name][-1]:.0f}" for name in taken)
        bench.say(f"  round {number + 1}/{bench.rounds}: us per message at {PER_S:.0f}/s over connections {told}")
    ratio = ratio_interval(taken["many"], taken["few"])
    bench.add(judge(f"CPU per message at {MANY} vs {FEW} connections", ratio, "<= 1.2 x"))
    for fleet in fleets.values():
        await fleet.close()
    bench.servers.stop()
    sizes = []
    for number in range(bench.rounds):
        sizes.append(await _idle_kb(bench))
        bench.say(f"  round {number + 1}/{bench.rounds}: {sizes[-1]:.1f} kB per idle connection")
    bench.add(judge("idle authenticated connection", median_interval(sizes), "<= 28 kB"))


async def _idle_kb(bench: Bench) -> float:
    server = bench.servers.start(OURS)
    people = server.people
    fleet = await server.connect(FEW)
    await fleet.in_turn(1.0)
    await asyncio.sleep(SETTLE_S)
    before = machine.rss_bytes(server.pids[0])
    count = len(people) - FEW
    await server.connect(count, fleet=fleet, people=people[FEW:])
    await asyncio.sleep(SETTLE_S)
    grown = machine.rss_bytes(server.pids[0]) - before
    await fleet.close()
    bench.servers.stop()
    return grown / count / 1000
