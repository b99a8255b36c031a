"""Figures of what goes well, for Prometheus. Labels are closed sets: nothing a client sends becomes a label."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

CONNECTIONS = Gauge("chat_connections", "Open connections of this process.")
JOURNAL_WAITING = Gauge("chat_journal_waiting", "Messages and other writes that wait for their commit.")
PROVIDERS_ABANDONED = Gauge("chat_providers_abandoned", "Providers that go on although their replies have ended.")
QUERIES_WAITING = Gauge("chat_queries_waiting", "Look-ups of sockets that wait for a thread.")
REPLIES_RUNNING = Gauge("chat_replies_running", "Replies being written in this process.")

_REPLY_BOUNDS_S = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)

REPLIES = Counter("chat_replies", "Replies that have ended.", ["state", "model"])
REPLY_FIRST_WORD = Histogram(
    "chat_reply_first_word_seconds", "Time to a reply's first word.", ["model"], buckets=_REPLY_BOUNDS_S
)
REPLY_SECONDS = Histogram("chat_reply_seconds", "Time to a reply's end.", ["model"], buckets=_REPLY_BOUNDS_S)
REPLY_TOKENS = Counter("chat_reply_tokens", "Tokens read and written for replies.", ["kind", "model"])


def count_reply(
    state: str,
    model_id: str,
    *,
    first_token_ms: int | None,
    total_ms: int | None,
    prompt_tokens: int,
    completion_tokens: int,
) -> None:
    """Count a reply that has ended. `model_id` is one of the configuration, or empty."""
    REPLIES.labels(state, model_id).inc()
    if first_token_ms is not None:
        REPLY_FIRST_WORD.labels(model_id).observe(first_token_ms / 1000)
    if total_ms is not None:
        REPLY_SECONDS.labels(model_id).observe(total_ms / 1000)
    REPLY_TOKENS.labels("prompt", model_id).inc(prompt_tokens)
    REPLY_TOKENS.labels("completion", model_id).inc(completion_tokens)


_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)


class RouteSeconds(Collector):
    """`chat_route_seconds`: how many messages came to the end of their handler, and how long each took.

    Counted on the event loop only, so that counting takes no lock; a histogram of the library costs ten times as much.
    """

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, message_type: str, seconds: float) -> None:
        counts = self._counts.get(message_type)
        if counts is None:
            counts = self._counts[message_type] = [0] * (len(_BOUNDS_S) + 1)
            self._sums[message_type] = 0.0
        counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self._sums[message_type] += seconds

    def collect(self) -> Iterator[Metric]:
        text = "Time from the decoded message to the end of its handler."
        family = HistogramMetricFamily("chat_route_seconds", text, labels=["type"])
        for message_type, counts in tuple(self._counts.items()):
            total = 0
            buckets = []
            for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric([message_type], buckets, self._sums[message_type])
        yield family


ROUTE_SECONDS = RouteSeconds()
REGISTRY.register(ROUTE_SECONDS)
