"""What a fault may touch while it happens."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from tests.faults.deployment import Deployment
from tests.faults.habits import Mood
from tests.faults.ledger import Ledger
from tests.faults.person import Person


@dataclass(slots=True)
class Scene:
    deployment: Deployment
    people: list[Person]
    stranger: Person  # whose connections misbehave
    ledger: Ledger
    mood: Mood
    rng: random.Random
    scale: float = 1.0  # of the times that faults last; the fast tier has less

    def server(self) -> int:
        return self.rng.randrange(len(self.deployment.servers))

    async def hold(self, low_s: float, high_s: float) -> None:
        await asyncio.sleep(self.rng.uniform(low_s, high_s) * self.scale)
