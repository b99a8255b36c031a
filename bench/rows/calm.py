"""Healthy people while half of all messages fail: their p99 from sending to ack, against a calm time of the same rate.

Sixty connections are healthy; sixty others send as much, well in the calm windows and to an unknown session in the
others. All of it at a third of what the server can do.
"""

from __future__ import annotations

from itertools import chain

from bench.interval import median_interval, percentile, ratio_interval
from bench.load import Fleet, Socket
from bench.results import judge
from bench.rows.failure import UNKNOWN_SESSION
from bench.servers import OURS
from bench.session import Bench

HEALTHY = 60
SHARE = 1 / 3
SECONDS = 6.0


async def run(bench: Bench) -> None:
    server = bench.servers.start(OURS)
    fleet = await server.connect(2 * HEALTHY)
    healthy, others = fleet.sockets[:HEALTHY], fleet.sockets[HEALTHY:]
    rate = (await fleet.in_turn(bench.seconds(2.0))).per_s * SHARE
    await server.connect(HEALTHY, fleet=fleet, message=UNKNOWN_SESSION)
    failing = fleet.sockets[2 * HEALTHY :]
    taken: dict[str, list[float]] = {"calm": [], "failing": []}
    neighbours = {"calm": others, "failing": failing}
    for number, order in bench.alternate(list(taken)):
        for name in order:
            taken[name].append(await _p99(fleet, healthy, neighbours[name], rate, bench.seconds(SECONDS)))
        told = ", ".join(f"{name} {values[-1] * 1000:.1f} ms" for name, values in taken.items())
        bench.say(f"  round {number + 1}/{bench.rounds}: p99 of the healthy at {rate:.0f}/s: {told}")
    ratio = ratio_interval(taken["failing"], taken["calm"])
    bench.add(judge("healthy p99 while half of all messages fail vs calm", ratio, "<= 1.25 x"))
    bench.record["calm"] = {name: median_interval(values).value * 1000 for name, values in taken.items()}


async def _p99(fleet: Fleet, healthy: list[Socket], others: list[Socket], rate: float, seconds: float) -> float:
    await fleet.paced(seconds, rate, sockets=list(chain(*zip(healthy, others, strict=True))))
    return percentile([latency for socket in healthy for latency in socket.latencies], 0.99)
