"""The same route over Redis, with two processes on PostgreSQL: processor time of both together, per message.

The row that is judged has one device per session, as the route has; every message is still published, for the process
cannot know that nobody listens elsewhere. The other one has a second device of each session on the other process.
"""

from __future__ import annotations

from bench.interval import median_interval, ratio_interval
from bench.results import judge
from bench.rows.route import CONNECTIONS, Runner, compare, cpu
from bench.servers import BARE, OURS
from bench.session import Bench


async def run(bench: Bench) -> None:
    bare = bench.servers.start(BARE)
    ours = bench.servers.start(OURS, "postgresql", processes=2, redis=bench.servers.start_redis())
    pairs = [person for person in ours.people[: CONNECTIONS // 2] for _ in range(2)]
    alone = ours.people[CONNECTIONS // 2 : CONNECTIONS // 2 + CONNECTIONS]
    runners = [
        Runner("d", bare, await bare.connect(CONNECTIONS)),
        Runner("ours", ours, await ours.connect(CONNECTIONS, people=alone)),
        Runner("ours-pairs", ours, await ours.connect(CONNECTIONS, people=pairs)),
    ]
    samples = await compare(bench, runners)
    d = cpu(samples["d"])
    ratio = ratio_interval(cpu(samples["ours"]), d)
    bench.add(judge("route over Redis, two processes, postgresql: CPU vs (d)", ratio, "<= 0.80 x"))
    ratio = ratio_interval(cpu(samples["ours-pairs"]), d)
    bench.add(judge("the same, with a second device on the other process", ratio))
    bench.record["redis"] = {name: median_interval(cpu(taken)).value for name, taken in samples.items()}
