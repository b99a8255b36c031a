"""The rows by name, in the order in which they are measured."""

from __future__ import annotations

from bench.rows import calm, curve, failure, fanout, hang, idle, latency, memory, redis, route, shutdown

ROWS = {
    "route": route,
    "redis": redis,
    "fanout": fanout,
    "failure": failure,
    "calm": calm,
    "latency": latency,
    "idle": idle,
    "memory": memory,
    "hang": hang,
    "shutdown": shutdown,
    "curve": curve,
}
