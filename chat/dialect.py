"""How one database wants the values and statements of the journal's batches, worked out once."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import Model

from chat.models import ChatMessage, ChatSession

SESSION = ("id", "owner_id", "last_seq", "title", "model_id", "assistant_enabled", "ended_at")
_LOCK = " ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"


class Dialect:
    """Plain SQL, many rows a statement, with each database's own form of keys, moments and JSON."""

    def __init__(self, alias: str) -> None:
        connection = connections[alias]
        self._quote = connection.ops.quote_name
        self._is_sqlite = connection.vendor == "sqlite"
        self.skips_locked = connection.features.has_select_for_update_skip_locked
        has_uuids = connection.features.has_native_uuid_field
        self.key: Any = (lambda key: key) if has_uuids else (lambda key: key.hex)
        self.moment = connection.ops.adapt_datetimefield_value
        metadata, owner = ChatMessage._meta.get_field("metadata"), get_user_model()._meta.pk
        self.json = functools.partial(metadata.get_db_prep_save, connection=connection)
        self.owner = functools.partial(owner.get_db_prep_save, connection=connection)
        self.no_metadata = self.json({})
        self.owner_key = owner.to_python
        self.touch = (
            f"UPDATE {self._table(ChatSession)} SET last_seq = %s, title = %s, last_activity_at = %s WHERE id = %s"  # noqa: S608
        )

    @classmethod
    @functools.cache
    def of(cls, alias: str) -> Dialect:
        return cls(alias)

    @functools.cache  # noqa: B019 -- one dialect per database, for the life of the process
    def sessions(self, count: int) -> str:
        columns, places = ", ".join(map(self._quote, SESSION)), ", ".join(["%s"] * count)
        lock = _LOCK if self.skips_locked else ""
        return f"SELECT {columns} FROM {self._table(ChatSession)} WHERE id IN ({places}){lock}"  # noqa: S608

    def insert(self, cursor: Any, model: type[Model], columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        head, values = self._insert(model, columns)
        if self._is_sqlite:
            cursor.executemany(head + values, rows)  # one prepared statement, run in C
        else:
            cursor.execute(head + ", ".join([values] * len(rows)), [value for row in rows for value in row])

    @functools.cache  # noqa: B019 -- one dialect per database, for the life of the process
    def _insert(self, model: type[Model], columns: tuple[str, ...]) -> tuple[str, str]:
        names = ", ".join(map(self._quote, columns))
        return f"INSERT INTO {self._table(model)} ({names}) VALUES ", f"({', '.join(['%s'] * len(columns))})"  # noqa: S608

    def _table(self, model: type[Model]) -> str:
        return str(self._quote(model._meta.db_table))
