"""One failure against one good message: processor time, with log line, metric and stored record.

Two failures that happen in life: a message to a session that is not there (found out in the database), and a message
without content (refused by the decoder). Both, and the good one, come from 120 connections of the same server.
"""

from __future__ import annotations

import sqlite3

from bench.interval import median_interval, ratio_interval
from bench.results import judge
from bench.rows.route import CONNECTIONS, Runner, compare, cpu
from bench.servers import OURS, Server
from bench.session import Bench

UNKNOWN_SESSION = {**OURS.message, "session_id": "3f1c7a52-0000-4000-8000-000000000000"}
WITHOUT_CONTENT = {**OURS.message, "content": ""}


async def run(bench: Bench) -> None:
    server = bench.servers.start(OURS)
    runners = [
        Runner("good", server, await server.connect(CONNECTIONS)),
        Runner("unknown session", server, await server.connect(CONNECTIONS, message=UNKNOWN_SESSION)),
        Runner("without content", server, await server.connect(CONNECTIONS, message=WITHOUT_CONTENT)),
    ]
    samples = await compare(bench, runners)
    good = cpu(samples["good"])
    for name in ("unknown session", "without content"):
        assert all(sample.refused == sample.messages for sample in samples[name]), "a failure was acknowledged"
        ratio = ratio_interval(cpu(samples[name]), good)
        bench.add(judge(f"one failure ({name}) vs one good message: CPU", ratio, "<= 1.5 x"))
    failed = sum(runner.fleet.answered_badly() for runner in runners)
    share = _stored(server) / failed * 100
    bench.add(judge("failures told that have a stored record, %", median_interval([share])))
    bench.record["failure"] = {name: median_interval(cpu(taken)).value for name, taken in samples.items()}


def _stored(server: Server) -> int:
    """Rows of failures, once what is queued has been written (SIGTERM writes it)."""
    for process in server.processes:
        process.end()
    assert server.filled is not None
    with sqlite3.connect(server.filled.url.removeprefix("sqlite:///")) as connection:
        return int(connection.execute("SELECT count(*) FROM errors_routingfailure").fetchone()[0])
