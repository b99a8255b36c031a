"""How the cost grows, for the plot: per message with connections, per frame with members."""

from __future__ import annotations

from bench.interval import median_interval
from bench.load import Fleet
from bench.rows import fanout
from bench.rows.route import cpu
from bench.servers import BARE, CHANX, OURS, PLAIN, RAW, STOCK, Kind
from bench.session import Bench

ROUNDS = 3
SECONDS = 1.2
CONNECTIONS = (20, 120, 400, 1_000)
MEMBERS = (2, 10, 30, 100)
SLOW = 120  # connections; with more, a server that answers a hundred messages a second would take minutes
KINDS: tuple[tuple[str, Kind], ...] = (
    ("raw ASGI echo (a)", RAW),
    ("bare consumer echo (d)", BARE),
    ("switchboard", OURS),
    ("plain build", PLAIN),
    ("chanx", CHANX),
)


async def run(bench: Bench) -> None:
    bench.record["connections"] = await _connections(bench)
    bench.record["members"] = await _members(bench)


async def _connections(bench: Bench) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name, _ in KINDS}
    fleets: dict[str, Fleet] = {}
    servers = {name: bench.servers.start(kind) for name, kind in KINDS}
    for count in CONNECTIONS:
        for name, server in servers.items():
            if name in ("plain build", "chanx") and count > SLOW:
                fleets.pop(name, None)
                continue
            fleet = fleets.setdefault(name, Fleet(server.pids))
            have = len(fleet.sockets)
            await server.connect(count - have, fleet=fleet, people=server.people[have:count] or None)
        rounds: dict[str, list[float]] = {name: [] for name in fleets}
        for number in range(min(bench.rounds, ROUNDS)):
            for name in list(fleets) if number % 2 == 0 else list(reversed(fleets)):
                rounds[name] += cpu([await fleets[name].in_turn(bench.seconds(SECONDS))])
        for name, values in rounds.items():
            curves[name].append((count, median_interval(values).value))
        bench.say(f"  {count} connections: " + ", ".join(f"{name} {curves[name][-1][1]:.0f} us" for name in rounds))
    bench.servers.stop()
    return curves


async def _members(bench: Bench) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {"switchboard": [], "stock layer": []}
    for count in MEMBERS:
        ours = bench.servers.start(OURS, "postgresql", processes=2, redis=bench.servers.start_redis())
        stock = bench.servers.start(STOCK)
        fleets = {
            "switchboard": await ours.connect(count, people=[ours.people[0]] * count),
            "stock layer": await stock.connect(count),
        }
        await fanout.join(fleets["switchboard"])
        rounds: dict[str, list[float]] = {name: [] for name in fleets}
        for _ in range(min(bench.rounds, ROUNDS)):
            for name, fleet in fleets.items():
                fanned = await fanout.measure(fleet, bench.seconds(SECONDS), hears_itself=name == "stock layer")
                rounds[name].append(fanned.cpu_us)
        for name, values in rounds.items():
            curves[name].append((count, median_interval(values).value))
        bench.say(f"  {count} members: " + ", ".join(f"{name} {curves[name][-1][1]:.1f} us" for name in rounds))
        bench.servers.stop()
    return curves
