"""The faults of a soak: each is injected, held and healed by one function. `FAULTS` lists all, and what each needs."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg

from tests.faults.bad_clients import flood, never_read, send_twice, spoil_provider, storm
from tests.faults.deployment import Deployment, on_thread
from tests.faults.scene import Scene


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    run: Callable[[Scene], Awaitable[None]]
    fits: Callable[[Deployment], bool]
    is_of_clients: bool = False  # may happen beside another one
    may_close: bool = False  # sockets of the innocent may close


async def kill_9(scene: Scene) -> None:
    number = scene.server()
    await on_thread(scene.deployment.kill, number)
    await scene.hold(0, 2)
    await on_thread(scene.deployment.start, number)


async def sigterm(scene: Scene) -> None:
    number = scene.server()
    began = time.time()
    code = await on_thread(scene.deployment.terminate, number)
    took_s = time.time() - began
    scene.ledger.add("terminated", server=number, code=code, seconds=round(took_s, 2))
    await scene.hold(0, 1)
    await on_thread(scene.deployment.start, number)


async def freeze(scene: Scene) -> None:
    async with scene.deployment.frozen(scene.server()):
        await asyncio.sleep(10 * scene.scale)


async def lock_sqlite(scene: Scene) -> None:
    connection = sqlite3.connect(
        sqlite_path(scene.deployment), isolation_level=None, timeout=20, check_same_thread=False
    )
    try:
        await on_thread(connection.execute, "BEGIN IMMEDIATE")
        await asyncio.sleep(scene.rng.uniform(1, 4))
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def kill_redis(scene: Scene) -> None:
    redis = scene.deployment.redis
    assert redis
    await on_thread(redis.kill)
    await scene.hold(1, 10)
    await on_thread(redis.start)


async def hang_redis(scene: Scene) -> None:
    redis = scene.deployment.redis
    assert redis
    redis.pause()
    try:
        await scene.hold(2, 10)
    finally:
        redis.resume()


async def flush_redis(scene: Scene) -> None:
    redis = scene.deployment.redis
    assert redis
    await on_thread(redis.flush)


async def stop_postgres(scene: Scene) -> None:
    postgres = scene.deployment.postgres
    assert postgres
    await on_thread(postgres.shut_down)
    await scene.hold(1, 10)
    await on_thread(postgres.start)


async def hang_postgres(scene: Scene) -> None:
    postgres = scene.deployment.postgres
    assert postgres
    postgres.pause()
    try:
        await scene.hold(2, 10)
    finally:
        postgres.resume()


async def cut_postgres(scene: Scene) -> None:
    """Terminate every connection but our own, several times."""
    url = scene.deployment.database_url
    for _ in range(3):
        await on_thread(_terminate_backends, url)
        await scene.hold(0.1, 0.5)


def _terminate_backends(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def sqlite_path(deployment: Deployment) -> str:
    return deployment.database_url.removeprefix("sqlite:///")


def _always(_: Deployment) -> bool:
    return True


def _has_redis(deployment: Deployment) -> bool:
    return deployment.redis is not None


def _has_postgres(deployment: Deployment) -> bool:
    return deployment.postgres is not None


def _has_sqlite(deployment: Deployment) -> bool:
    return deployment.postgres is None


FAULTS = (
    Fault("kill -9", kill_9, _always, may_close=True),
    Fault("SIGTERM", sigterm, _always, may_close=True),
    Fault("SIGSTOP", freeze, _always, may_close=True),
    Fault("SQLite locked", lock_sqlite, _has_sqlite),
    Fault("Redis killed", kill_redis, _has_redis),
    Fault("Redis hung", hang_redis, _has_redis),
    Fault("Redis flushed", flush_redis, _has_redis),
    Fault("PostgreSQL stopped", stop_postgres, _has_postgres),
    Fault("PostgreSQL hung", hang_postgres, _has_postgres),
    Fault("PostgreSQL connections terminated", cut_postgres, _has_postgres),
    Fault("reconnect storm", storm, _always, is_of_clients=True, may_close=True),
    Fault("everything sent twice", send_twice, _always, is_of_clients=True),
    Fault("provider fails", spoil_provider, _always, is_of_clients=True),
    Fault("a client that never reads", never_read, _always, is_of_clients=True),
    Fault("a flooding client", flood, _always, is_of_clients=True),
)
FAULT = {fault.name: fault for fault in FAULTS}
