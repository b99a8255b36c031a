"""A database that is well and refuses the texts of answers, as a constraint of a deployment's own would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgiref.sync import sync_to_async
from django.db import connection


@asynccontextmanager
async def texts_refused() -> AsyncIterator[None]:
    await sync_to_async(_refuse)()
    try:
        yield
    finally:
        await sync_to_async(_accept)()


def _refuse() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "CREATE TRIGGER refuse_texts BEFORE INSERT ON chat_chatmessage WHEN NEW.sender = 'ai' "
                "BEGIN SELECT RAISE(ABORT, 'no such text here'); END"
            )
        else:
            cursor.execute("ALTER TABLE chat_chatmessage ADD CONSTRAINT refuse_texts CHECK (sender <> 'ai') NOT VALID")


def _accept() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER refuse_texts")
        else:
            cursor.execute("ALTER TABLE chat_chatmessage DROP CONSTRAINT refuse_texts")
