"""Writes failures to the database in batches, on a thread and a connection of its own.

`put` only puts into a bounded queue. While the database is away rows wait, up to the queue's size; what does not fit is
counted. The log line was written before, so nothing is lost but the row.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from dataclasses import asdict
from typing import cast

from django.db import InterfaceError, OperationalError, connections, models, router

from errors import conf, metrics
from errors.failure import Failure
from errors.models import RoutingFailure

log = logging.getLogger("errors.rows")

_RETRY_S = 1.0  # seconds between tries while the database is away
_POLL_S = 0.02  # seconds between looks at rows whose frame is not settled yet
_EXIT_FLUSH_S = 3.0  # seconds that a process gives its last rows when it ends


class RowWriter:
    """A bounded queue and the thread that empties it. The thread starts with the first row."""

    def __init__(self) -> None:
        self._waiting: deque[Failure] = deque()
        self._unwritten = 0  # rows put and neither written nor given up
        self._changed = threading.Condition()
        self._is_flushing = False
        self._thread: threading.Thread | None = None

    def put(self, failure: Failure) -> None:
        """Queue one row. Never waits; a full queue drops the row and counts it."""
        with self._changed:
            if self._unwritten >= conf.errors().row_queue_size:
                metrics.ROWS_DROPPED.inc()
                return
            self._waiting.append(failure)
            self._unwritten += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="failure-rows", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued without lingering; return whether all of it was written in time."""
        with self._changed:
            self._is_flushing = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._unwritten == 0, timeout_s)
            finally:
                self._is_flushing = False

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            self._write(batch)
            with self._changed:
                self._unwritten -= len(batch)
                self._changed.notify_all()
                is_idle = not self._waiting
            if is_idle:
                # An idle writer holds no connection: nothing for a pool, a test database or a restart to wait for.
                connections[_alias()].close()

    def _next_batch(self) -> list[Failure]:
        """Wait for rows, let them gather for the linger time, and take those whose frame is settled."""
        settings = conf.errors()
        with self._changed:
            while True:
                self._changed.wait_for(lambda: bool(self._waiting))
                oldest = self._waiting[0]
                wait_s = oldest.recorded_at + settings.row_linger_ms / 1000 - time.monotonic()
                if wait_s > 0 and not self._is_flushing and len(self._waiting) < settings.row_batch_size:
                    self._changed.wait(wait_s)
                    continue
                too_old = time.monotonic() - settings.row_untold_s
                ready = [row for row in self._waiting if row.is_settled or row.recorded_at < too_old]
                ready = ready[: settings.row_batch_size]
                if ready:
                    taken = set(map(id, ready))
                    self._waiting = deque(row for row in self._waiting if id(row) not in taken)
                    return ready
                self._changed.wait(_POLL_S)

    def _write(self, batch: list[Failure]) -> None:
        """Insert the batch; wait out a database that is away, but give up a row the database refuses."""
        while True:
            try:
                _insert(batch)
            except (OperationalError, InterfaceError) as exc:
                log.error("failure rows wait for the database: %s", type(exc).__name__)
                connections[_alias()].close()
                time.sleep(_RETRY_S)
            except Exception as exc:
                if len(batch) == 1:
                    log.error("failure row %s refused: %s", batch[0].reference, type(exc).__name__)
                    metrics.ROWS_DROPPED.inc()
                    return
                for row in batch:
                    self._write([row])
                return
            else:
                return


def _alias() -> str:
    return router.db_for_write(RoutingFailure)


def _insert(batch: list[Failure]) -> None:
    # A repeated insert after an unknown outcome finds its own rows: ids are made here, not in the database.
    RoutingFailure.objects.using(_alias()).bulk_create([_row(failure) for failure in batch], ignore_conflicts=True)


def _row(failure: Failure) -> RoutingFailure:
    error, context, report = failure.error, failure.context, failure.report
    return RoutingFailure(
        id=failure.id,
        reference=failure.reference,
        occurred_at=failure.occurred_at,
        code=error.spec.code,
        category=error.spec.category.value,
        stage=context.stage.value,
        recoverable=error.spec.rule.recoverable,
        outcome=failure.outcome.value,
        field=_fit("field", error.field),
        retry_after_ms=error.retry_after_ms,
        attempt=context.attempt,
        message_type=_fit("message_type", context.message_type),
        user_id=_fit("user_id", context.user_id),
        session_id=_fit("session_id", context.session_id),
        connection_id=_fit("connection_id", context.connection_id),
        ref=_fit("ref", context.ref),
        reply_id=_fit("reply_id", context.reply_id),
        in_reply_to=_fit("in_reply_to", context.in_reply_to),
        cause=_clean(report.root),
        causes=[{key: _clean(value) for key, value in asdict(cause).items()} for cause in report.causes],
        fingerprint=report.fingerprint,
        traceback=_clean(report.traceback),
        frame=_clean(failure.told or ""),
        deliveries=failure.deliveries,
        drops=failure.drops,
    )


def _fit(name: str, value: str | None) -> str:
    limit = cast("models.CharField[str, str]", RoutingFailure._meta.get_field(name)).max_length
    return _clean(value or "")[:limit]


def _clean(text: str) -> str:
    """PostgreSQL stores neither NUL nor lone surrogates; a record of such a frame must be storable all the same."""
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


row_writer = RowWriter()
atexit.register(row_writer.flush, _EXIT_FLUSH_S)
