"""Writes failures to the database in batches, on a thread and a connection of its own.

`put` only puts into a bounded queue. While the database is away rows wait, up to the queue's size; what does not fit is
counted. The log line was written before, so nothing is lost but the row.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
from collections import deque
from datetime import datetime
from typing import Any, cast

from django.db import InterfaceError, OperationalError, connections, models, router, transaction
from django.db.models.constants import OnConflict

from errors import conf, metrics
from errors.failure import Failure
from errors.models import RoutingFailure

log = logging.getLogger("errors.rows")

_RETRY_S = 1.0  # seconds between tries while the database is away
_EXIT_FLUSH_S = 3.0  # seconds that a process gives its last rows when it ends

Row = tuple[Any, ...]  # values of RoutingFailure's columns, in their order


class RowWriter:
    """A bounded queue and the thread that empties it. The thread starts with the first row."""

    def __init__(self) -> None:
        self._unsettled: dict[int, Failure] = {}  # by id(), oldest first: nobody has said yet who was told
        self._ready: deque[Failure] = deque()
        self._unwritten = 0  # settled, and neither written nor given up
        self._changed = threading.Condition()
        self._is_flushing = False
        self._thread: threading.Thread | None = None

    def put(self, failure: Failure) -> None:
        """Queue one row; it is written once the failure is settled. Never waits; a full queue drops and counts it."""
        with self._changed:
            if self._unwritten + len(self._unsettled) >= conf.errors().row_queue_size:
                metrics.ROWS_DROPPED.inc()
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="failure-rows", daemon=True)
                self._thread.start()
            failure.on_settled = self._make_ready
            self._unsettled[id(failure)] = failure
            if len(self._unsettled) == 1:
                self._changed.notify_all()
        if failure.is_settled:
            self._make_ready(failure)

    def _make_ready(self, failure: Failure) -> None:
        with self._changed:
            if self._unsettled.pop(id(failure), None) is None:
                return
            self._ready.append(failure)
            self._unwritten += 1
            if len(self._ready) in (1, conf.errors().row_batch_size):
                self._changed.notify_all()

    def flush(self, timeout_s: float = 5.0, *, unsettled_too: bool = False) -> bool:
        """Write what is settled without lingering; return whether all of it was written in time.

        Args:
            unsettled_too: Also what nobody has settled yet, as told to nobody: when the process ends.
        """
        with self._changed:
            if unsettled_too:
                for failure in tuple(self._unsettled.values()):
                    self._make_ready(failure)
            self._is_flushing = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._unwritten == 0, timeout_s)
            finally:
                self._is_flushing = False

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            rows = _rows(batch)
            self._write(rows)
            with self._changed:
                self._unwritten -= len(batch)
                self._changed.notify_all()
                is_idle = not self._ready
            batch.clear()
            if is_idle:
                # An idle writer holds no connection: nothing for a pool, a test database or a restart to wait for.
                connections[_alias()].close()

    def _next_batch(self) -> list[Failure]:
        """Wait for settled rows and let them gather for the linger time."""
        with self._changed:
            while True:
                settings, now = conf.errors(), time.monotonic()
                while self._unsettled and _oldest(self._unsettled).recorded_at + settings.row_untold_s <= now:
                    self._make_ready(_oldest(self._unsettled))
                if self._ready:
                    wait_s: float | None = self._ready[0].recorded_at + settings.row_linger_ms / 1000 - now
                    is_full = len(self._ready) >= settings.row_batch_size
                    if is_full or self._is_flushing or wait_s is None or wait_s <= 0:
                        return [self._ready.popleft() for _ in range(min(len(self._ready), settings.row_batch_size))]
                elif self._unsettled:
                    wait_s = _oldest(self._unsettled).recorded_at + settings.row_untold_s - now
                else:
                    wait_s = None
                self._changed.wait(wait_s)

    def _write(self, rows: list[Row]) -> None:
        """Insert the rows; wait out a database that is away, but give up a row the database refuses."""
        while rows:
            try:
                _insert(rows)
            except (OperationalError, InterfaceError) as exc:
                log.error("failure rows wait for the database: %s", type(exc).__name__)
                connections[_alias()].close()
                time.sleep(_RETRY_S)
            except Exception as exc:
                if len(rows) == 1:
                    _give_up(rows[0][_REFERENCE], exc)
                    return
                for row in rows:
                    self._write([row])
                return
            else:
                return


def _oldest(waiting: dict[int, Failure]) -> Failure:
    return next(iter(waiting.values()))


def _give_up(reference: str, exc: Exception) -> None:
    log.error("failure row %s refused: %s", reference, type(exc).__name__)
    metrics.ROWS_DROPPED.inc()


def _alias() -> str:
    return router.db_for_write(RoutingFailure)


def _insert(rows: list[Row]) -> None:
    """One statement, prepared once and run for each row: the ORM's own work would cost more than the database's."""
    connection = connections[_alias()]
    operations = connection.ops
    columns = [operations.quote_name(str(field.column)) for field in _FIELDS]
    statement = " ".join(
        [
            # A repeated insert after an unknown outcome finds its own rows: ids are made here, not in the database.
            operations.insert_statement(on_conflict=OnConflict.IGNORE),
            operations.quote_name(RoutingFailure._meta.db_table),
            f"({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
            operations.on_conflict_suffix_sql(_FIELDS, OnConflict.IGNORE, (), ()),
        ]
    )
    adapted = [(number, field) for number, field in enumerate(_FIELDS) if field.name in {"id", "occurred_at", "causes"}]
    values = []
    for row in rows:
        value = list(row)
        for number, field in adapted:
            value[number] = field.get_db_prep_save(value[number], connection)
        values.append(value)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.executemany(statement, values)


def _rows(failures: list[Failure]) -> list[Row]:
    rows = []
    for failure in failures:
        try:
            rows.append(_row(failure))
        except Exception as exc:
            _give_up(failure.reference, exc)
    return rows


def _row(failure: Failure) -> Row:
    """In the order of RoutingFailure's fields."""
    spec, context, report = failure.spec, failure.context, failure.report
    return (
        _time_ordered_id(failure.occurred_at),
        failure.reference,
        failure.occurred_at,
        spec.code,
        spec.category.value,
        context.stage.value,
        spec.rule.recoverable,
        failure.outcome.value,
        _fit("field", failure.field),
        failure.retry_after_ms,
        context.attempt,
        _fit("message_type", context.message_type),
        _fit("user_id", context.user_id),
        _fit("session_id", context.session_id),
        _fit("connection_id", context.connection_id),
        _fit("ref", context.ref),
        _fit("reply_id", context.reply_id),
        _fit("in_reply_to", context.in_reply_to),
        _clean(report.root),
        [
            {"type": _clean(cause.type), "message": _clean(cause.message), "where": _clean(cause.where)}
            for cause in report.causes
        ],
        report.fingerprint,
        _clean(report.traceback),
        _clean(failure.told or ""),
        failure.deliveries,
        failure.drops,
    )


_FIELDS = RoutingFailure._meta.concrete_fields
_REFERENCE = [field.name for field in _FIELDS].index("reference")
_LIMITS = {field.name: cast("int", field.max_length) for field in _FIELDS if isinstance(field, models.CharField)}


def _time_ordered_id(moment: datetime) -> uuid.UUID:
    """UUID version 7 (RFC 9562, 5.7): rows of one time lie together in the index."""
    milliseconds = int(moment.timestamp() * 1000)
    bits = int.from_bytes(os.urandom(10))
    return uuid.UUID(
        int=milliseconds << 80 | 7 << 76 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62 | bits & 0x3FFF_FFFF_FFFF_FFFF
    )


def _fit(name: str, value: str | None) -> str:
    return _clean(value)[: _LIMITS[name]] if value else ""


def _clean(text: str) -> str:
    """PostgreSQL stores neither NUL nor lone surrogates; a record of such a frame must be storable all the same."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


row_writer = RowWriter()
atexit.register(row_writer.flush, _EXIT_FLUSH_S, unsettled_too=True)
