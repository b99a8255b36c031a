"""From sending to ack at half of what the server can do: p99, on 120 connections."""

from __future__ import annotations

from bench.interval import median_interval, percentile
from bench.results import judge
from bench.rows.route import CONNECTIONS
from bench.servers import OURS
from bench.session import Bench

SECONDS = 5.0


async def run(bench: Bench) -> None:
    fleets = {}
    for database in ("sqlite", "postgresql"):
        fleets[database] = await bench.servers.start(OURS, database).connect(CONNECTIONS)
        await fleets[database].settle()
    taken: dict[str, list[float]] = {name: [] for name in fleets}
    for number, order in bench.alternate(list(fleets)):
        told = []
        for name in order:
            fleet = fleets[name]
            rate = (await fleet.in_turn(bench.seconds(1.5))).per_s / 2
            await fleet.paced(bench.seconds(SECONDS), rate)
            latencies = [latency for socket in fleet.sockets for latency in socket.latencies]
            taken[name].append(percentile(latencies, 0.99) * 1000)
            told.append(f"{name} {taken[name][-1]:.1f} ms at {rate:.0f}/s")
        bench.say(f"  round {number + 1}/{bench.rounds}: p99 {', '.join(told)}")
    for name, values in taken.items():
        bench.add(judge(f"p99 from send to ack at half saturation, {name}", median_interval(values), "<= 12 ms"))
