"""The whole route: validate, limit, register, route, COMMIT, ack, deliver. Processor time per message, and the rate.

Every server has the same 120 connections at the same time, one message without an answer on each; they are loaded in
turn. Each of ours has a session of its own. What has no target shows where the others stand.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from bench.interval import median_interval, ratio_interval
from bench.load import Fleet, Sample, TooSlow
from bench.results import judge
from bench.servers import BARE, CHANX, OURS, PLAIN, RAW, Kind, Server
from bench.session import Bench

CONNECTIONS = 120
SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Runner:
    name: str
    server: Server
    fleet: Fleet


async def compare(bench: Bench, runners: list[Runner], seconds: float = SECONDS) -> dict[str, list[Sample]]:
    """Load servers in alternation; their samples, round by round. One that is too slow to be measured is left out."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    for runner in runners:
        await runner.fleet.settle()  # registrations, caches, database connections
    for number, order in bench.alternate(runners):
        for runner in order:
            try:
                samples[runner.name].append(await runner.fleet.in_turn(bench.seconds(seconds)))
            except TooSlow as exc:
                bench.say(f"  {runner.name} is left out: {exc}")
                runners.remove(runner)
                samples.pop(runner.name, None)
        told = ", ".join(f"{runner.name} {samples[runner.name][-1].cpu_us:.0f}" for runner in runners)
        bench.say(f"  round {number + 1}/{bench.rounds}: us per message: {told}")
    for runner in runners:
        last = samples[runner.name][-1]
        bench.say(
            f"  {runner.name}: {median_interval([s.per_s for s in samples[runner.name]]).value:.0f}/s, server used "
            f"{last.cpu_s / last.seconds:.0%} of its core, client {last.client_share:.0%}, refused {last.refused}"
        )
    return samples


def cpu(samples: list[Sample]) -> list[float]:
    return [sample.cpu_us for sample in samples]


def rate(samples: list[Sample]) -> list[float]:
    return [sample.per_s for sample in samples]


async def run(bench: Bench) -> None:
    kinds: list[tuple[str, Kind, str]] = [
        ("a", RAW, ""),
        ("d", BARE, ""),
        ("ours-sqlite", OURS, "sqlite"),
        ("ours-postgresql", OURS, "postgresql"),
        ("plain-sqlite", PLAIN, "sqlite"),
        ("plain-postgresql", PLAIN, "postgresql"),
        ("chanx-sqlite", CHANX, "sqlite"),
        ("chanx-postgresql", CHANX, "postgresql"),
    ]
    runners = []
    for name, kind, database in kinds:
        server = bench.servers.start(kind, database)
        runners.append(Runner(name, server, await server.connect(CONNECTIONS)))
    samples = await compare(bench, runners)
    for database in ("sqlite", "postgresql"):
        ours = samples[f"ours-{database}"]
        bench.add(judge(f"route, {database}: CPU vs (d)", ratio_interval(cpu(ours), cpu(samples["d"])), "<= 0.60 x"))
        bench.add(judge(f"route, {database}: CPU vs (a)", ratio_interval(cpu(ours), cpu(samples["a"])), "<= 1.8 x"))
        rates = ratio_interval(rate(ours), rate(samples["d"]))
        bench.add(judge(f"route, {database}: messages/s at {CONNECTIONS} connections vs (d)", rates, ">= 1.4 x"))
        for peer in ("plain", "chanx"):
            if f"{peer}-{database}" not in samples:
                continue
            theirs = ratio_interval(cpu(samples[f"{peer}-{database}"]), cpu(samples["d"]))
            bench.add(judge(f"route, {database}, {peer}: CPU vs (d)", theirs))
    bench.record["route"] = {
        name: {
            "cpu_us": median_interval(cpu(taken)).value,
            "per_s": median_interval(rate(taken)).value,
            "client_share": max(sample.client_share for sample in taken),
        }
        for name, taken in samples.items()
    }
