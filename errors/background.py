"""The thread that writes the log: a reader of our stderr that stalls must not stall the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TextIO

from prometheus_client import Counter, Gauge

LINES_DROPPED = Counter("chat_log_lines_dropped", "Log lines that the log's queue had no room for.")
LINES_WAITING = Gauge("chat_log_lines_waiting", "Log lines that are not written yet.")

_QUEUE_SIZE = 10_000  # lines
_LINGER_S = 0.01  # seconds that lines gather: to wake the thread for each would cost more than to write it
_BATCH = 500  # lines of one write


class BackgroundHandler(logging.Handler):
    """Hands records to the writing thread as they are; formatting happens there. A full queue drops and counts."""

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self._stream = stream
        self._records: deque[logging.LogRecord] = deque()
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self.setFormatter(formatter)
        threading.Thread(target=self._run, name="log-lines", daemon=True).start()

    def createLock(self) -> None:
        """Nothing to hold while a record is taken: appending is one step."""
        self.lock = None

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return len(self._records)

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._records) >= _QUEUE_SIZE:
            LINES_DROPPED.inc()
            return
        self._records.append(record)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Write what is queued, here and now. `logging` calls this when the process ends."""
        with self._writing:
            while self._records:
                lines = [self._line(self._records.popleft()) for _ in range(min(len(self._records), _BATCH))]
                try:
                    self._stream.write("".join(lines))
                    self._stream.flush()
                except (OSError, ValueError):
                    LINES_DROPPED.inc(len(lines))  # nobody reads any more

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_LINGER_S)
            self._wake.clear()
            self.flush()

    def _line(self, record: logging.LogRecord) -> str:
        """A record that cannot be formatted must neither end the thread nor be silent."""
        try:
            return f"{self.format(record)}\n"
        except Exception as broken:
            words = f"{record.msg!s} (cannot be formatted: {type(broken).__name__})"
        plain = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, words, (), None)
        try:
            return f"{self.format(plain)}\n"
        except Exception:
            LINES_DROPPED.inc()
            return ""
