"""What a soak runs against: one or two server processes with their database, Redis and provider, all of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.provider import SoakLlm, providers_file
from tests.services.client import SiteClient
from tests.services.databases import PASSWORD, MigratedDatabases
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.server import DaphneServer

HEARTBEAT_S = 3.0

# Shorter times than in production, so that what they bring about happens often in a run.
SETTINGS = {
    "CHAT_HEARTBEAT_S": str(HEARTBEAT_S),
    "CHAT_LEASE_S": "4",
    "CHAT_CHECKPOINT_S": "0.3",
    "CHAT_MESSAGES_PER_MINUTE": "100000",
    "CHAT_ADDRESS_MESSAGES_PER_MINUTE": "100000",  # everybody is at one address here
    "CHAT_HANDSHAKES_PER_MINUTE": "100000",
    "CHAT_CONNECTION_FRAMES_PER_MINUTE": "100000",
    "CHAT_CONNECTIONS_PER_USER": "1000",
    "CHAT_MAX_RUNNING_REPLIES": "8",
    "CHAT_RESUME_PAGE": "20",
    "CHAT_RESUME_LIMIT": "200",
}


@dataclass(slots=True)
class Life:
    """One server process from its start to its end."""

    server: int
    began_at: float
    log_start: int  # bytes of the server's log before it
    ended_at: float | None = None
    is_killed: bool = False  # SIGKILL, or it did not end by itself in time
    exit_code: int | None = None


class Deployment:
    """`with Deployment(folder, database="postgresql", processes=2, has_redis=True) as deployment:`

    Args:
        folder: Where logs stay.
        variables: Further environment of the servers, which wins.
    """

    origin = "http://soak.test"  # one for all processes, as behind a proxy

    def __init__(
        self,
        folder: Path,
        *,
        database: str,
        processes: int,
        has_redis: bool,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.processes = processes
        self.redis = RedisServer() if has_redis else None
        self.postgres = PostgresServer() if database == "postgresql" else None
        self.llm = SoakLlm()
        self.variables = dict(variables or {})
        self.servers: list[DaphneServer] = []
        self.lives: list[Life] = []
        self.database_url = ""
        self._frozen: dict[int, list[tuple[float, float]]] = {}
        self._stack = contextlib.ExitStack()

    @property
    def name(self) -> str:
        layer = "Redis" if self.redis else "the in-memory layer"
        return f"{self.database}, {layer}, {self.processes} process{'es' if self.processes > 1 else ''}"

    @property
    def silence_s(self) -> float:
        """After so many seconds without a frame a client takes its connection for dead."""
        return 2.5 * HEARTBEAT_S

    def __enter__(self) -> Deployment:
        with contextlib.ExitStack() as stack:
            if self.postgres:
                stack.enter_context(self.postgres)
            if self.redis:
                stack.enter_context(self.redis)
            stack.enter_context(self.llm)
            databases = MigratedDatabases(self.postgres.url if self.postgres else None)
            stack.callback(databases.close)
            self.database_url = databases.create()
            variables = SETTINGS | {
                "SECRET_KEY": secrets.token_urlsafe(50),
                "CHAT_ALLOWED_ORIGINS": self.origin,
                "LLM_PROVIDERS_FILE": str(providers_file(self.folder, self.llm.url)),
            }
            variables |= self.variables
            redis_url = self.redis.url if self.redis else None
            for number in range(self.processes):
                server = DaphneServer(self.database_url, redis_url=redis_url, variables=variables)
                stack.callback(server.close)
                self.servers.append(server)
                self.start(number)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for number, server in enumerate(self.servers):
            (self.folder / f"server-{number}.log").write_text(server.output())
        self._stack.close()

    # --- Server processes. All of these block: call them on a thread. ---

    def start(self, number: int) -> None:
        server = self.servers[number]
        life = Life(number, time.time(), len(server.output().encode()))
        server.start()
        self.lives.append(life)

    def kill(self, number: int) -> None:
        """End it as a crash would."""
        life = self._life(number)
        life.is_killed = True
        life.ended_at = time.time()
        self.servers[number].kill()

    def terminate(self, number: int) -> int:
        """SIGTERM; its exit code."""
        life = self._life(number)
        life.exit_code = self.servers[number].terminate()
        life.ended_at = time.time()
        life.is_killed = life.exit_code != 0
        return life.exit_code

    def restart_dead(self) -> list[int]:
        """Start every process that does not run; their numbers."""
        dead = [number for number, server in enumerate(self.servers) if not server.is_running]
        for number in dead:
            life = self._life(number)
            life.ended_at, life.is_killed = life.ended_at or time.time(), True
            self.start(number)
        return dead

    def _life(self, number: int) -> Life:
        return [life for life in self.lives if life.server == number][-1]

    @contextlib.asynccontextmanager
    async def frozen(self, number: int) -> Any:
        """SIGSTOP for as long as the block runs."""
        began = time.time()
        spans = self._frozen.setdefault(number, [])
        spans.append((began, float("inf")))
        self.servers[number].pause()
        try:
            yield
        finally:
            self.servers[number].resume()
            spans[-1] = (began, time.time())

    def frozen_s(self, number: int, *, since: float) -> float:
        """For how many seconds since then the process stood still."""
        now = time.time()
        return sum(max(0.0, min(now, end) - max(since, begin)) for begin, end in self._frozen.get(number, ()))

    def sign_in(self, name: str, server: int = 0) -> SiteClient:
        client = SiteClient(self.servers[server].url)
        client.sign_in(name, PASSWORD)
        return client

    def log_by_life(self) -> Iterator[tuple[Life, str]]:
        """What each process wrote."""
        for life in self.lives:
            raw = self.servers[life.server].output().encode()
            later = [other.log_start for other in self.lives if other.server == life.server]
            end = min((start for start in later if start > life.log_start), default=len(raw))
            yield life, raw[life.log_start : end].decode(errors="replace")


async def on_thread(work: Any, *args: Any) -> Any:
    """Run what blocks beside the clients."""
    return await asyncio.to_thread(work, *args)
