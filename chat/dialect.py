"""The statements that every batch of the journal runs: plain SQL, many rows each, as suits each database best."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import JSONField, Model, QuerySet
from django.utils import timezone

from chat.models import ChatSession

SESSION = ("id", "owner_id", "last_seq", "title", "model_id", "assistant_enabled", "ended_at")

# Columns whose rows hold a time from now, by the database's clock: processes compare these moments, and clocks differ.
FROM_NOW = ("lease_until",)

Row = tuple[Any, ...]


class Touched(Protocol):
    """A session's new values."""

    key: uuid.UUID
    last_seq: int
    title: str


def of(alias: str) -> Dialect:
    """Return the dialect of a configured database."""
    return _of(alias, connections[alias].vendor)


@functools.cache
def _of(alias: str, vendor: str) -> Dialect:
    return PostgresDialect(alias) if vendor == "postgresql" else Dialect(alias)


class Dialect:
    """SQLite's, and any other's: one prepared statement, run for every row by the driver.

    Its clock is this machine's, so that of the process is the same.
    """

    skips_locked = False

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._owner_key = get_user_model()._meta.pk.to_python
        self._sessions = self._table(ChatSession)

    def locked(self, rows: QuerySet[Any], *, of: tuple[str, ...] = ()) -> QuerySet[Any]:
        """Lock these rows as they are read, and leave out those that another process holds."""
        return rows.select_for_update(skip_locked=True, no_key=True, of=of) if self.skips_locked else rows

    def sessions(self, cursor: Any, keys: Collection[uuid.UUID]) -> Iterator[Row]:
        """Read these sessions, `SESSION` of each, and lock them until the end of the transaction."""
        to_value = self._converters(ChatSession, ("id",))[0]
        by_value = {to_value(key): key for key in keys}
        columns, places = ", ".join(SESSION), ", ".join(["%s"] * len(by_value))
        cursor.execute(f"SELECT {columns} FROM {self._sessions} WHERE id IN ({places})", list(by_value))  # noqa: S608
        for key, owner, *rest in cursor.fetchall():
            yield by_value[key], self._owner_key(owner), *rest

    def insert(self, cursor: Any, model: type[Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        to_values = self._converters(model, columns)
        values = [[convert(value) for convert, value in zip(to_values, row, strict=True)] for row in rows]
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        cursor.executemany(f"INSERT INTO {self._table(model)} ({names}) VALUES ({places})", values)  # noqa: S608

    def touch(self, cursor: Any, sessions: Sequence[Touched], now: datetime) -> None:
        """Store what messages have changed in their sessions."""
        to_key, to_moment = self._converters(ChatSession, ("id", "last_activity_at"))
        moment = to_moment(now)
        sql = f"UPDATE {self._sessions} SET last_seq = %s, title = %s, last_activity_at = %s WHERE id = %s"  # noqa: S608
        cursor.executemany(sql, [(each.last_seq, each.title, moment, to_key(each.key)) for each in sessions])

    @functools.cache  # noqa: B019 -- one dialect per database, for the life of the process
    def _converters(self, model: type[Model], columns: tuple[str, ...]) -> list[Callable[[Any], Any]]:
        connection = connections[self._alias]
        known = {
            "UUIDField": lambda key: None if key is None else key.hex,
            "DateTimeField": lambda moment: (
                None if moment is None else connection.ops.adapt_datetimefield_value(moment)
            ),
        }
        found: list[Callable[[Any], Any]] = []
        for column in columns:
            field = _field(model, column)
            if column in FROM_NOW:
                found.append(lambda time: connection.ops.adapt_datetimefield_value(timezone.now() + time))
            elif isinstance(field, JSONField) or column == "owner_id":  # the project's own kind of key
                found.append(functools.partial(field.get_db_prep_save, connection=connection))
            else:
                kind = (field.target_field if field.is_relation else field).get_internal_type()
                found.append(known.get(kind, _as_it_is))
        return found

    def _table(self, model: type[Model]) -> str:
        return str(connections[self._alias].ops.quote_name(model._meta.db_table))


class PostgresDialect(Dialect):
    """One statement and one parameter for all rows: JSON, which is made faster than the driver quotes values."""

    skips_locked = True

    def sessions(self, cursor: Any, keys: Collection[uuid.UUID]) -> Iterator[Row]:
        sql = (
            f"SELECT {', '.join(SESSION)} FROM {self._sessions} WHERE id = ANY(%s::uuid[]) "  # noqa: S608
            "ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
        )
        cursor.execute(sql, [f"{{{','.join(map(str, keys))}}}"])
        yield from cursor.fetchall()

    def insert(self, cursor: Any, model: type[Model], columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        names = ", ".join(columns)
        values = ", ".join(f"statement_timestamp() + {name}" if name in FROM_NOW else name for name in columns)
        sql = (
            f"INSERT INTO {self._table(model)} ({names}) "  # noqa: S608
            f"SELECT {values} FROM json_to_recordset(%s::json) AS r({self._shape(model, columns)})"
        )
        cursor.execute(sql, [_as_json([dict(zip(columns, row, strict=True)) for row in rows])])

    def touch(self, cursor: Any, sessions: Sequence[Touched], now: datetime) -> None:
        sql = (
            f"UPDATE {self._sessions} AS s SET last_seq = r.last_seq, title = r.title, last_activity_at = %s "  # noqa: S608
            "FROM json_to_recordset(%s::json) AS r(id uuid, last_seq bigint, title text) WHERE s.id = r.id"
        )
        changes = [{"id": each.key, "last_seq": each.last_seq, "title": each.title} for each in sessions]
        cursor.execute(sql, [now, _as_json(changes)])

    @functools.cache  # noqa: B019 -- one dialect per database, for the life of the process
    def _shape(self, model: type[Model], columns: tuple[str, ...]) -> str:
        connection = connections[self._alias]
        return ", ".join(
            f"{column} {'interval' if column in FROM_NOW else _field(model, column).db_type(connection)}"
            for column in columns
        )


def _field(model: type[Model], column: str) -> Any:
    return next(field for field in model._meta.concrete_fields if field.column == column)


def _as_json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


def _as_it_is(value: Any) -> Any:
    return value
