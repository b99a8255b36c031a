"""A database that nobody else can write to for a while, as another writer or a migration leaves it; or one session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from django.db import connections


@asynccontextmanager
async def nobody_else_writes() -> AsyncIterator[None]:
    """Hold what every append needs; reading goes on."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, _lock)
        try:
            yield
        finally:
            await loop.run_in_executor(thread, _unlock)


@asynccontextmanager
async def somebody_holds(session_id: str) -> AsyncIterator[None]:
    """Hold the row of one session, as a long transaction elsewhere does. On PostgreSQL: SQLite knows no rows."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, _hold, session_id)
        try:
            yield
        finally:
            await loop.run_in_executor(thread, _unlock)


def _lock() -> None:
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "BEGIN")
        if connection.vendor != "sqlite":
            cursor.execute("LOCK TABLE chat_chatsession, chat_chatmessage, chat_reply IN EXCLUSIVE MODE")


def _hold(session_id: str) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM chat_chatsession WHERE id = %s FOR UPDATE", [session_id])


def _unlock() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("ROLLBACK")
    connections.close_all()
