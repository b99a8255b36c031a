"""Figures of failures, for Prometheus. Labels are closed sets: nothing a client sends becomes a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

FAILURES = Counter("chat_failures", "Failures told to somebody or recorded.", ["code", "category", "stage"])
FRAMES_DROPPED = Counter("chat_failure_frames_dropped", "Error frames that no outbox had room for.")
ROWS_DROPPED = Counter("chat_failure_rows_dropped", "Failures logged and counted, but not stored.")
ROWS_WAITING = Gauge("chat_failure_rows_waiting", "Failures that are not stored yet.")
SINK_FAULTS = Counter("chat_failure_sink_faults", "Faults inside the recorder itself.", ["sink"])
for _sink in ("describe", "log", "metric", "row"):
    SINK_FAULTS.labels(_sink)  # there from the start, at 0: else an alarm on its increase misses the first fault
