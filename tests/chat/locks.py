"""A database that nobody else can write to for a while, as another writer or a migration leaves it; rows held alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from django.db import connections, transaction
from django.db.models import QuerySet


@asynccontextmanager
async def nobody_else_writes() -> AsyncIterator[None]:
    """Hold what every append needs; reading goes on."""
    async with _locked_by(_lock_tables):
        yield


@asynccontextmanager
async def somebody_holds(rows: QuerySet) -> AsyncIterator[None]:
    """Hold these rows, as who deletes them does, or who works on them in a shell. PostgreSQL only."""
    async with _locked_by(partial(_lock_rows, rows)):
        yield


@asynccontextmanager
async def _locked_by(lock: Callable[[], None]) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, lock)
        try:
            yield
        finally:
            await loop.run_in_executor(thread, _unlock)


def _lock_rows(rows: QuerySet) -> None:
    transaction.set_autocommit(False)
    assert list(rows.select_for_update())


def _lock_tables() -> None:
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "BEGIN")
        if connection.vendor != "sqlite":
            cursor.execute("LOCK TABLE chat_chatsession, chat_chatmessage, chat_reply IN EXCLUSIVE MODE")


def _unlock() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("ROLLBACK")
    connections.close_all()
