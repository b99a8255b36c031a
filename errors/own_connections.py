"""Database connections of a thread's own: for threads that write or ask all the time, beside the requests."""

from __future__ import annotations

from django.db import connections
from django.db.utils import load_backend


def use_own_connections(
    *, lock_s: float | None = None, cache_kb: int | None = None, syncs_commits: bool = True
) -> None:
    """Give this thread database connections of its own that stay open, outside any pool.

    A pool would be one more place to wait at, and after an outage it waits longer and longer before it tries again; a
    thread's own connection is back at the first query. Nothing connects before that.

    Args:
        lock_s: Of SQLite, seconds to wait for the write lock where they differ from the settings.
        cache_kb: Of SQLite, kilobytes of pages that each connection may keep.
        syncs_commits: Of SQLite with a write-ahead log, whether a COMMIT waits for the disk. One that does not outlives
            the process all the same; until some other COMMIT has waited, it may be lost with the machine.
    """
    for alias in connections:
        settings = connections.settings[alias]
        own = {key: value for key, value in settings.get("OPTIONS", {}).items() if key != "pool"}
        if settings["ENGINE"].endswith("sqlite3"):
            if lock_s is not None:
                own["timeout"] = lock_s
            if cache_kb is not None:
                own["init_command"] = f"{own.get('init_command', '')}; PRAGMA cache_size=-{cache_kb}"
            # Without such a log a file may be damaged that way.
            if not syncs_commits and "journal_mode=wal" in str(own.get("init_command", "")).lower():
                own["init_command"] = f"{own['init_command']}; PRAGMA synchronous=NORMAL"
        backend = load_backend(settings["ENGINE"])
        connections[alias] = backend.DatabaseWrapper({**settings, "OPTIONS": own, "CONN_MAX_AGE": None}, alias)
