"""The journal's thread: gathers jobs while it is busy and commits them together, on its own database connection.

transient fault before COMMIT   nothing is stored: tried again until each job's deadline
fault at COMMIT                 in doubt: run again, and every job finds what is there of its own
the data are refused            one by one, so that one bad row fails one job
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.db import Error as DatabaseError
from django.db import IntegrityError, connections, transaction

from chat import jobs as running
from chat.batch import Batch
from chat.jobs import Job
from errors import outage
from errors.exceptions import ChatError
from errors.own_connections import use_own_connections
from errors.taxonomy import DATABASE_ERROR, Outcome

log = logging.getLogger("chat.writer")

RETRY_AFTER_MS = 1_000  # milliseconds; a lock or a failover is usually over by then
_MAX_BATCH = 200  # jobs in one transaction; SQLite takes no condition of more than 1,000 parts
_PAUSE_S = 0.05  # seconds between tries while the database is away, or another process holds a session
_LOCK_S = 0.25  # seconds for SQLite's write lock; then it is known that nothing is stored, and tried again
_MAX_REFUSALS = 2  # of one job alone: two processes may have opened the same session at the same moment

_Gathered = list[Job]


class Writer:
    """Thread and queue. `on_done` is called on the event loop with the jobs whose result or error is known.

    Args:
        runner: Names this process in the replies that it runs.
    """

    def __init__(self, alias: str, runner: str, on_done: Callable[[Sequence[Job]], None]) -> None:
        self._alias = alias
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._on_done = on_done
        self._queue: queue.SimpleQueue[Sequence[Job]] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()  # to be tried again
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._lock = threading.Lock()  # around taking and withdrawing: a job is never both, and never neither

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs. Called on the event loop; never waits."""
        if not self.is_alive and not self._is_closing:
            self._thread = threading.Thread(target=self._run, name="chat-journal", daemon=True)
            self._thread.start()
        self._queue.put(jobs)

    def withdraw(self, job: Job) -> bool:
        """Take a job back; False when it is in a transaction, or in doubt."""
        with self._lock:
            job.is_withdrawn = not job.is_taken
            return job.is_withdrawn

    def close(self) -> None:
        """Take no more work. What is queued is still tried once; the thread then closes its connection and ends."""
        self._is_closing = True
        self._queue.put(())

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    # --- On the thread ---

    def _run(self) -> None:
        use_own_connections(lock_s=_LOCK_S)
        try:
            while (gathered := self._gather()) is not None:
                for start in range(0, len(gathered), _MAX_BATCH):
                    self._commit(gathered[start : start + _MAX_BATCH])
        finally:
            self._disconnect()

    def _gather(self) -> _Gathered | None:
        """Wait for work and take what there is; None when it is time to end."""
        is_over = self._is_closing
        gathered: _Gathered = []
        try:
            gathered += self._queue.get(block=not is_over, timeout=_PAUSE_S if self._waiting else None)
            # Nobody waits for more: what comes during one COMMIT is the next batch, and under load that is many.
            while len(gathered) + len(self._waiting) < _MAX_BATCH:
                gathered += self._queue.get_nowait()
        except queue.Empty:
            pass
        gathered = [*self._waiting, *gathered]
        self._waiting.clear()
        return None if is_over and not gathered else gathered

    def _commit(self, gathered: _Gathered) -> None:
        with self._lock:
            taken = [job for job in gathered if not job.is_withdrawn]
            for job in taken:
                job.is_taken = True
        if not taken:
            return
        is_committing = False
        try:
            with transaction.atomic(using=self._alias):
                batch = Batch(self._alias, self._runner, is_careful=any(job.needs_look_up for job in taken))
                deferred = running.run_all(taken, batch)
                is_committing = True
        except IntegrityError as exc:
            if all(job.needs_look_up for job in taken):
                self._refuse(taken, exc)
                return
            for job in taken:
                job.needs_look_up = True
            self._commit(taken)
        except Exception as exc:
            self._disconnect()
            if outage.is_momentary(exc):
                self._try_again(taken, exc, in_doubt=is_committing)
            else:
                self._refuse(taken, exc)
        else:
            left = set(map(id, deferred))
            self._tell([job for job in taken if id(job) not in left])
            self._try_again(deferred, None, in_doubt=False)

    def _try_again(self, jobs: Sequence[Job], exc: Exception | None, *, in_doubt: bool) -> None:
        """Keep the jobs for the next batch; answer those whose time is over."""
        now = time.monotonic()
        over = []
        for job in jobs:
            job.is_in_doubt = job.is_in_doubt or in_doubt
            job.needs_look_up = job.needs_look_up or in_doubt
            # One in doubt stays: its caller hears `unknown` in time, and what became of it is looked up all the same.
            is_over = job.is_unwanted or (job.deadline is not None and job.deadline <= now)
            is_late = is_over and not job.is_in_doubt
            if is_late or self._is_closing:
                outcome = Outcome.UNKNOWN if job.is_in_doubt else Outcome.REJECTED
                detail = None if exc else "another process holds what it needs"
                job.error = ChatError(DATABASE_ERROR, retry_after_ms=RETRY_AFTER_MS, outcome=outcome, detail=detail)
                job.error.__cause__ = exc
                over.append(job)
            else:
                job.is_taken = job.is_in_doubt
                self._waiting.append(job)
        self._tell(over)

    def _refuse(self, jobs: Sequence[Job], exc: Exception) -> None:
        """The data were refused, or there is a defect: find the one job that it is about."""
        if len(jobs) > 1:
            for job in jobs:
                self._commit([job])
            return
        (job,) = jobs
        job.refusals += 1
        if job.refusals < _MAX_REFUSALS:
            self._commit([job])
            return
        job.error = exc
        if isinstance(exc, DatabaseError):
            job.error = ChatError(DATABASE_ERROR, retry_after_ms=RETRY_AFTER_MS, outcome=Outcome.REJECTED)
            job.error.__cause__ = exc
        self._tell([job])

    def _tell(self, done: Sequence[Job]) -> None:
        if not done:
            return
        try:
            self._loop.call_soon_threadsafe(self._on_done, done)
        except RuntimeError:
            log.warning("the event loop ended before its journal did: %d results", len(done))

    def _disconnect(self) -> None:
        # What is broken may break once more while it is closed; this thread must live.
        with suppress(Exception):
            connections.close_all()
