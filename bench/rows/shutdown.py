"""SIGTERM with a thousand connections: how each of them ends, and how long it takes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

from bench.interval import median_interval
from bench.results import judge
from bench.servers import OURS
from bench.session import Bench

CONNECTIONS = 1_000
LONGEST_S = 20.0


async def run(bench: Bench) -> None:
    torn, seconds = [], []
    for number in range(bench.rounds):
        server = bench.servers.start(OURS)
        fleet = await server.connect(CONNECTIONS)
        await fleet.in_turn(0.2, sockets=fleet.sockets[:50])
        began = time.monotonic()
        server.processes[0].send_signal(signal.SIGTERM)
        while server.processes[0].is_running and time.monotonic() < began + LONGEST_S:
            await asyncio.sleep(0.02)
        seconds.append(time.monotonic() - began)
        await asyncio.sleep(0.2)  # what is still on its way to us
        codes = Counter(socket.close_code for socket in fleet.sockets)
        torn.append(float(CONNECTIONS - codes[4000]))
        await fleet.close()
        bench.servers.stop()
        bench.say(f"  round {number + 1}/{bench.rounds}: {seconds[-1]:.1f} s, close codes {dict(codes)}")
    what = f"SIGTERM with {CONNECTIONS} connections"
    bench.add(judge(f"{what}: closed otherwise than with 4000", median_interval(torn), "<= 0 sockets"))
    bench.add(judge(f"{what}: exit", median_interval(seconds), "<= 10 s"))
