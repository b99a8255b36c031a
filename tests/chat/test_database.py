"""`DatabaseThreads`: bounded, in time and in number; each thread has a connection that is its own, and a small one."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import connection

from chat.database import DatabaseThreads
from errors.exceptions import ChatError


@pytest.fixture
def threads():
    pool = DatabaseThreads("test-query", 1, queue_size=1, timeout_s=0.3)
    yield pool
    pool.close()


async def test_more_than_may_wait_is_told_at_once(threads):
    gate = threading.Event()
    running = [asyncio.create_task(threads.run(gate.wait, 5)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ChatError) as refused:
        await threads.run(int)
    assert (refused.value.spec.name, refused.value.outcome) == ("SERVER_BUSY", None)
    gate.set()
    assert await asyncio.gather(*running) == [True, True]
    assert await threads.run(int) == 0


async def test_who_waited_too_long_is_told_that_nobody_knows(threads):
    gate = threading.Event()
    with pytest.raises(ChatError) as late:
        await threads.run(gate.wait, 5)
    assert (late.value.spec.name, late.value.outcome) == ("DATABASE_ERROR", "unknown")
    gate.set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="a cache of SQLite's")
async def test_a_thread_keeps_few_pages_and_the_settings_of_the_project(threads):
    def pragma(name: str) -> object:
        with connection.cursor() as cursor:
            return cursor.execute(f"PRAGMA {name}").fetchone()[0]

    assert await threads.run(pragma, "cache_size") == -128
    assert await threads.run(pragma, "journal_mode") == "wal"
    assert await threads.run(pragma, "wal_autocheckpoint") == 16_000
