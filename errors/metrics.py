"""Counters of failures, for Prometheus. Labels are closed sets: nothing a client sends becomes a label."""

from __future__ import annotations

from prometheus_client import Counter

FAILURES = Counter("chat_failures", "Failures told to somebody or recorded.", ["code", "category", "stage"])
FRAMES_DROPPED = Counter("chat_failure_frames_dropped", "Error frames that no outbox had room for.")
ROWS_DROPPED = Counter("chat_failure_rows_dropped", "Failures logged and counted, but not stored.")
SINK_FAULTS = Counter("chat_failure_sink_faults", "Faults inside the recorder itself.", ["sink"])
