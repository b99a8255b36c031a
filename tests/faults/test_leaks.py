"""After faults have healed and everybody has left, a server has no more threads, files, sockets, memory than before."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.faults.deployment import Deployment
from tests.faults.footprint import await_footprint, measure
from tests.faults.ledger import Ledger
from tests.faults.soak import Soak

PLAN = (
    "reconnect storm + a client that never reads",
    "SQLite locked + a flooding client",
    "everything sent twice + provider fails",
)
SCALE = 0.3
MEMORY_KIB = 12 * 1024  # of a process of 130 MiB: what an allocator keeps, caches that fill; a leak of one soak is more
TIMEOUT_S = 15.0


@pytest.mark.soak
@pytest.mark.server
def test_a_server_holds_no_more_after_faults_than_before(tmp_path: Path) -> None:
    """The first soak fills pools and caches; the second must leave nothing behind."""
    with Deployment(tmp_path, database="sqlite", processes=1, has_redis=False) as deployment:
        talk(deployment, tmp_path, "a")
        server = deployment.servers[0]
        await_footprint(server.pid, deployment.database_url, measure(server.pid), memory_kib=0, timeout_s=2)
        before = measure(server.pid, deployment.database_url)
        talk(deployment, tmp_path, "b")
        grown = await_footprint(server.pid, deployment.database_url, before, memory_kib=MEMORY_KIB, timeout_s=TIMEOUT_S)
    assert grown == []
    assert before.sockets < 30, "the clients of the first soak are gone"


def talk(deployment: Deployment, folder: Path, tag: str) -> None:
    ledger = Ledger(folder / f"events-{tag}.jsonl")
    soak = Soak(deployment, ledger, random.Random(3), print, SCALE, PLAN, tag)
    asyncio.run(soak.run(0))
    ledger.close()
