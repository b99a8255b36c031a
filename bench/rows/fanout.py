"""One session with 100 members: frames a second, and how many never arrive.

Ours runs as two processes over Redis, half of the members on each, and stores every message; the stock in-memory layer
runs as one process and stores nothing. Four members send, each with 25 messages under way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bench.interval import median_interval, ratio_interval
from bench.load import Fleet
from bench.results import judge
from bench.servers import OURS, STOCK
from bench.session import Bench

MEMBERS = 100
SENDERS, WINDOW = 4, 25
SECONDS = 2.0
SILENCE_S = 1.0  # without a frame: what has not come by then is lost


@dataclass(frozen=True, slots=True)
class Fanned:
    frames_per_s: float
    cpu_us: float  # per frame that arrived
    lost: float  # share of the frames that should have arrived


async def measure(fleet: Fleet, seconds: float, *, hears_itself: bool) -> Fanned:
    """One window of fan-out, and what was lost of it once nothing arrives any more."""
    sent, arrived = _sent(fleet), _arrived(fleet)
    sample = await fleet.in_turn(seconds, sockets=fleet.sockets[:SENDERS], window=WINDOW)
    last = -1
    while last != (last := _arrived(fleet)):
        await asyncio.sleep(SILENCE_S)
    members = len(fleet.sockets) - (0 if hears_itself else 1)
    expected = (_sent(fleet) - sent) * members
    return Fanned(
        sample.broadcasts / sample.seconds,
        sample.cpu_s / max(1, sample.broadcasts) * 1e6,
        1 - (last - arrived) / expected,
    )


def _sent(fleet: Fleet) -> int:
    return sum(socket.sent for socket in fleet.sockets)


def _arrived(fleet: Fleet) -> int:
    return sum(socket.broadcasts for socket in fleet.sockets)


async def run(bench: Bench) -> None:
    ours = bench.servers.start(OURS, "postgresql", processes=2, redis=bench.servers.start_redis())
    stock = bench.servers.start(STOCK)
    fleets = {
        "ours": await ours.connect(MEMBERS, people=[ours.people[0]] * MEMBERS),
        "stock": await stock.connect(MEMBERS),
    }
    await join(fleets["ours"])
    taken: dict[str, list[Fanned]] = {name: [] for name in fleets}
    for number, order in bench.alternate(list(fleets)):
        for name in order:
            fanned = await measure(fleets[name], bench.seconds(SECONDS), hears_itself=name == "stock")
            taken[name].append(fanned)
        told = ", ".join(f"{n} {t[-1].frames_per_s:,.0f}/s, lost {t[-1].lost:.1%}" for n, t in taken.items())
        bench.say(f"  round {number + 1}/{bench.rounds}: {told}")
        refusal = next((s.last_refusal for s in fleets["ours"].sockets if s.last_refusal), b"")
        assert not refusal, f"a message was refused: {refusal.decode()}"
    rates = {name: [fanned.frames_per_s for fanned in taken[name]] for name in taken}
    lost = {name: median_interval([fanned.lost * 100 for fanned in taken[name]]) for name in taken}
    what = f"fan-out, {MEMBERS} members"
    bench.add(judge(f"{what}: frames/s vs the stock layer", ratio_interval(rates["ours"], rates["stock"]), ">= 10 x"))
    bench.add(judge(f"{what}: lost", lost["ours"], "<= 0 %"))
    bench.add(judge(f"{what}: lost by the stock layer, %", lost["stock"]))
    costs = {name: [fanned.cpu_us for fanned in taken[name]] for name in taken}
    bench.add(judge(f"{what}: CPU per frame vs the stock layer", ratio_interval(costs["ours"], costs["stock"])))
    bench.record["fanout"] = {name: median_interval(rates[name]).value for name in rates}


async def join(fleet: Fleet) -> None:
    """Have every member register, and the processes join the layer's group."""
    for socket in fleet.sockets:
        socket.send()
    await fleet.drain()
    await asyncio.sleep(SILENCE_S)
