"""`Bench`: what every row is given -- servers to start, how many rounds, where to tell progress and keep the record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench import results
from bench.load import Fleet
from bench.results import Result, line
from bench.servers import Server, Servers

Item = TypeVar("Item")


@dataclass(slots=True)
class Bench:
    rounds: int
    is_quick: bool
    servers: Servers = field(default_factory=Servers)
    record: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    client_shares: dict[str, float] = field(default_factory=dict)  # by row: the client's core, at its busiest
    began: float = field(default_factory=time.monotonic)

    def seconds(self, full: float) -> float:
        """How long a window lasts; a quick run only checks that everything works."""
        return max(0.8, full / 4) if self.is_quick else full

    def say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        print(f"[{minutes:02}:{seconds:02}] {text}", flush=True)

    def add(self, result: Result) -> None:
        self.results.append(result)
        self.say(line(result))

    def save(self) -> None:
        """Keep the results and the record in their files."""
        shares = results.load_record().get("client_share", {}) | self.client_shares
        results.save(self.results, self.record | {"environment": self.environment, "client_share": shares})

    def alternate(self, items: Sequence[Item]) -> Iterator[tuple[int, list[Item]]]:
        """The rounds: A B C, then C B A, so that what changes slowly favours nobody."""
        for number in range(self.rounds):
            yield number, list(items if number % 2 == 0 else reversed(items))


@contextlib.asynccontextmanager
async def connected(server: Server, count: int, **options: Any) -> AsyncIterator[Fleet]:
    """Open connections for a while."""
    fleet = await server.connect(count, **options)
    try:
        yield fleet
    finally:
        await fleet.close()
