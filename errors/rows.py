"""Writes failures to the database in batches, on its own thread and connection.

`put` only puts into a bounded queue. While the database is down rows wait, up to the queue's size; what does not fit is
counted. The log line was written before, so nothing is lost but the row.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque

from django.db import connections, router

from errors import columns, conf, metrics, outage
from errors.failure import Failure
from errors.models import RoutingFailure
from errors.own_connections import use_own_connections

log = logging.getLogger("errors.rows")

_RETRY_S = 1.0  # seconds between tries while the database is away
_IDLE_S = 1.0  # seconds without rows after which the connection is closed
_EXIT_FLUSH_S = 3.0  # seconds that a process gives its last rows when it ends


class RowWriter:
    """A bounded queue and the thread that empties it. The thread starts with the first row."""

    def __init__(self) -> None:
        self._unsettled: dict[int, Failure] = {}  # by id(), oldest first: nobody has said yet who was told
        self._ready: deque[Failure] = deque()
        self._unwritten = 0  # settled, and neither written nor given up
        self._changed = threading.Condition()
        self._is_flushing = False
        self._is_connected = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Failures that are neither written nor given up; one that has not been told yet counts."""
        return self._unwritten + len(self._unsettled)

    def put(self, failure: Failure) -> None:
        """Queue one row; it is written once the failure is settled. Never waits; a full queue drops and counts it."""
        with self._changed:
            if self.waiting >= conf.errors().row_queue_size:
                metrics.ROWS_DROPPED.inc()
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="failure-rows", daemon=True)
                self._thread.start()
            failure.on_settled = self._make_ready
            self._unsettled[id(failure)] = failure  # no reason to wake the thread: nearly all are settled at once
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
                return self._changed.wait_for(lambda: not (self._unwritten or self._is_connected), timeout_s)
            finally:
                self._is_flushing = False

    def _run(self) -> None:
        # A pool waits longer and longer after an outage, and the process may end meanwhile. And people wait for the
        # write lock of SQLite: a hundred rows are not worth a sync while it is held.
        use_own_connections(syncs_commits=False)
        while True:
            batch = self._next_batch()
            if batch:
                self._write(_rows(batch))
            else:
                # An idle writer holds no connection: nothing for a pool, a test database or a restart to wait for.
                connections[_alias()].close()
            with self._changed:
                self._is_connected = bool(batch)
                self._unwritten -= len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[Failure]:
        """Wait for settled rows and let them gather for the linger time. Empty: it is time to close the connection."""
        idle_at = time.monotonic() + _IDLE_S
        with self._changed:
            while True:
                settings, now = conf.errors(), time.monotonic()
                while self._unsettled and _oldest(self._unsettled).recorded_at + settings.row_untold_s <= now:
                    self._make_ready(_oldest(self._unsettled))
                until: list[float] = []
                if self._ready:
                    until.append(self._ready[0].recorded_at + settings.row_linger_ms / 1000)
                    if until[0] <= now or self._is_flushing or len(self._ready) >= settings.row_batch_size:
                        return [self._ready.popleft() for _ in range(min(len(self._ready), settings.row_batch_size))]
                if self._is_connected and not self._ready:
                    if self._is_flushing or idle_at <= now:
                        return []
                    until.append(idle_at)
                if self._unsettled:
                    until.append(_oldest(self._unsettled).recorded_at + settings.row_untold_s)
                self._changed.wait(min(until) - now if until else settings.row_untold_s)

    def _write(self, rows: list[columns.Row]) -> None:
        """Insert the rows; wait out a database that is away, but give up a row the database refuses."""
        while rows:
            try:
                columns.insert(rows, _alias())
            except Exception as exc:
                if outage.is_momentary(exc):
                    log.error("failure rows wait for the database: %s", type(exc).__name__)
                    connections[_alias()].close()
                    time.sleep(_RETRY_S)
                    continue
                if len(rows) == 1:
                    _give_up(rows[0][columns.REFERENCE], exc)
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


def _rows(failures: list[Failure]) -> list[columns.Row]:
    rows = []
    for failure in failures:
        try:
            rows.append(columns.row_of(failure))
        except Exception as exc:
            _give_up(failure.reference, exc)
    return rows


row_writer = RowWriter()
metrics.ROWS_WAITING.set_function(lambda: row_writer.waiting)
atexit.register(row_writer.flush, _EXIT_FLUSH_S, unsettled_too=True)
