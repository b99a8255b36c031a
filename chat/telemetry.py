"""Counters of what goes well, for Prometheus. Labels are closed sets: nothing a client sends becomes a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MESSAGES = Counter("chat_messages", "Messages that were routed to their handler's end.", ["type"])
ROUTE_SECONDS = Histogram(
    "chat_route_seconds",
    "Time from the decoded message to the end of its handler.",
    ["type"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5),
)
CONNECTIONS = Gauge("chat_connections", "Open connections of this process.")
REPLIES_RUNNING = Gauge("chat_replies_running", "Replies being written in this process.")
