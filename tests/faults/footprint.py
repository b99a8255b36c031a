"""What a server process holds: threads, file descriptors, sockets, memory, database connections (I7)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

_LATE_THREADS = 4  # pools make their threads when they are needed, up to a bound of a dozen; a leak is one per fault


@dataclass(frozen=True, slots=True)
class Footprint:
    threads: int
    files: int  # open file descriptors that are no sockets
    sockets: int
    memory_kib: int  # resident
    database_connections: int

    def exceeds(self, before: Footprint, *, memory_kib: int, files: int = 0) -> list[str]:
        """What has grown since; memory and files may by so much."""
        grown = [
            f"{name} {getattr(before, name)} > {getattr(self, name)}"
            for name, margin in (
                ("threads", _LATE_THREADS),
                ("files", files),
                ("sockets", 0),
                ("database_connections", 0),
            )
            if getattr(self, name) > getattr(before, name) + margin
        ]
        if self.memory_kib > before.memory_kib + memory_kib:
            grown.append(f"memory {before.memory_kib} > {self.memory_kib} KiB")
        return grown


def measure(pid: int, database_url: str = "") -> Footprint:
    """Look at the process, and at PostgreSQL where the URL names one."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    targets = [_target(link) for link in (process / "fd").iterdir()]
    sockets = sum(target.startswith("socket:") for target in targets)
    return Footprint(
        threads=int(status["Threads"]),
        files=len(targets) - sockets,
        sockets=sockets,
        memory_kib=int(status["VmRSS"].split()[0]),
        database_connections=_connections(database_url) if database_url.startswith("postgres") else 0,
    )


def await_footprint(
    pid: int, database_url: str, before: Footprint, *, memory_kib: int, files: int = 0, timeout_s: float
) -> list[str]:
    """Wait until nothing exceeds what was before; what still does after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        grown = measure(pid, database_url).exceeds(before, memory_kib=memory_kib, files=files)
        if not grown or time.monotonic() > deadline:
            return grown
        time.sleep(0.2)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed meanwhile


def _connections(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return int(row[0]) if row else 0
