"""After faults have healed and everybody has left, a server has no more threads, files, sockets, memory than before."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from pathlib import Path

import pytest

from chat import runtime
from chat.connection import Connection
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
# Files of SQLite go up and down from soak to soak (47, 60, 54, 60, 74 after five in a row) while threads stay the same.
FILES = 35
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
        grown = await_footprint(
            server.pid, deployment.database_url, before, memory_kib=MEMORY_KIB, files=FILES, timeout_s=TIMEOUT_S
        )
    assert grown == []
    assert before.sockets < 30, "the clients of the first soak are gone"


def talk(deployment: Deployment, folder: Path, tag: str) -> None:
    ledger = Ledger(folder / f"events-{tag}.jsonl")
    soak = Soak(deployment, ledger, random.Random(3), print, SCALE, PLAN, tag)
    asyncio.run(soak.run(0))
    ledger.close()


async def test_a_process_has_no_more_tasks_after_faults_than_before(alice, configure) -> None:
    """Devices come, fail in every way and go: their tasks are over, and nothing holds their connections."""
    configure(fault_commands=True, max_running_replies=50, messages_per_minute=1_000)
    await one_visit(alice, "first")
    before = Counter(names_of_tasks())
    for number in range(5):
        await one_visit(alice, f"v{number}")
    async with asyncio.timeout(10):
        while left := Counter(names_of_tasks()) - before:  # noqa: ASYNC110 -- nothing tells when a task is over
            await asyncio.sleep(0.05)
    assert not left
    assert runtime.current().connections == {}
    async with asyncio.timeout(10):
        while held := connections():  # noqa: ASYNC110 -- somebody may be looking at one at this moment
            await asyncio.sleep(0.05)
    assert not held


async def one_visit(alice, name: str) -> None:
    """Three devices: one breaks off in mid-reply, one makes mistakes, one waits for all to end."""
    devices = [await alice.connect() for _ in range(3)]
    acks = []
    for kind in ("unavailable", "midstream", "crash"):
        acks.append(await devices[2].say(f"/fault {kind}", ref=f"{name}-{kind}"))
    await devices[1].send("typing_indicator", session_id=acks[0]["session_id"])  # looked after when it is let in
    await devices[0].say("and I am gone", ref=f"{name}-gone")
    await devices[0].close()
    for number in range(5):
        await devices[1].send_text(f'{{"type": "nonsense", "ref": "{number}"}}')
        await devices[1].expect("error", ref=f"{number}")
    for ack in acks:
        await devices[2].expect("error", reply_id=ack["reply_id"])
    for device in devices[1:]:
        await device.close()


def connections() -> list[Connection]:
    """Those of this test's runtime; another test may hold its own by a traceback."""
    gc.collect()
    one = runtime.current()
    return [each for each in gc.get_objects() if type(each) is Connection and each.runtime is one]


def names_of_tasks() -> list[str]:
    return [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
