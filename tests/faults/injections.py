"""The faults of a soak: each is injected, held and healed by one function, and says what it needs."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import websockets
from websockets.typing import Origin

from tests.faults.deployment import Deployment, on_thread
from tests.faults.device import Person
from tests.faults.habits import Mood
from tests.faults.ledger import Ledger
from tests.faults.link import Link


@dataclass(slots=True)
class Scene:
    """What a fault may touch."""

    deployment: Deployment
    people: list[Person]
    stranger: Person  # whose connections misbehave
    ledger: Ledger
    mood: Mood
    rng: random.Random
    scale: float = 1.0  # of the times that faults last; the fast tier has less

    def server(self) -> int:
        return self.rng.randrange(len(self.deployment.servers))

    async def hold(self, low_s: float, high_s: float) -> None:
        await asyncio.sleep(self.rng.uniform(low_s, high_s) * self.scale)


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


async def storm(scene: Scene) -> None:
    """Everybody's connection breaks at once, and many more come and go."""
    for person in scene.people:
        for device in person.devices:
            if device.link is not None and not device.link.is_over:
                device.link.abort("a reconnect storm")
    await asyncio.gather(*(_come_and_go(scene) for _ in range(int(40 * scene.scale) or 10)))


async def _come_and_go(scene: Scene) -> None:
    link = await _connect(scene, scene.rng.choice([*scene.people, scene.stranger]), scene.server())
    if link is not None:
        await link.read()
        link.abort("comes and goes")


async def send_twice(scene: Scene) -> None:
    """For a while everything is said twice: on the same connection and on the person's other ones."""
    seconds = 4 * scene.scale
    scene.mood.duplicates_until = time.time() + seconds
    await asyncio.sleep(seconds)


async def spoil_provider(scene: Scene) -> None:
    """For a while most questions meet a provider that fails or hangs."""
    seconds = 5 * scene.scale
    scene.mood.bad_provider_until = time.time() + seconds
    await asyncio.sleep(seconds)


async def never_read(scene: Scene) -> None:
    """A client asks for a lot and reads nothing of it."""
    person = scene.rng.choice(scene.people)
    link = await _connect(scene, person, scene.server(), receive_bytes=4096, max_queue=1)
    if link is None:
        return
    session_id = next(iter(person.sessions), None)
    deadline = time.time() + 6 * scene.scale
    number = 0
    while time.time() < deadline and link.connection.close_code is None:
        number += 1
        frame = {"type": "resume", "ref": f"deaf{number}", "session_id": session_id, "last_seq": 0}
        try:
            async with asyncio.timeout(max(0.1, deadline - time.time())):
                await link.connection.send(json.dumps(frame if session_id else {"type": "ping", "ref": "deaf"}))
        except (TimeoutError, websockets.exceptions.ConnectionClosed, OSError):
            break
        await asyncio.sleep(0.005)
    scene.ledger.add("deaf_client", asked=number, code=link.connection.close_code)
    scene.ledger.unread_connects.append(time.time())
    link.abort("it has read nothing")


async def flood(scene: Scene) -> None:
    """A client sends as fast as it can, good frames and bad ones, and reads what it is told."""
    link = await _connect(scene, scene.stranger, scene.server())
    if link is None:
        return
    reader = asyncio.create_task(_read_all(link))
    deadline = time.time() + 3 * scene.scale
    number = 0
    while time.time() < deadline and not reader.done() and number < 3_000:
        number += 1
        frame = (
            {"type": "ping", "ref": f"flood{number}"} if number % 3 else {"type": "nonsense", "ref": f"flood{number}"}
        )
        try:
            async with asyncio.timeout(max(0.1, deadline - time.time())):
                await link.connection.send(json.dumps(frame))
        except (TimeoutError, websockets.exceptions.ConnectionClosed, OSError):
            break
    await asyncio.wait([reader], timeout=1)  # what it was told
    scene.ledger.add("flooding_client", sent=number, code=link.connection.close_code)
    link.abort("it has flooded enough")
    await asyncio.gather(reader, return_exceptions=True)


async def _read_all(link: Link) -> None:
    try:
        async for text in link.connection:
            frame = json.loads(text)
            if "error" in frame:
                link.ledger.see_reference(frame["error"], link.owner)
    except (websockets.exceptions.ConnectionClosed, OSError):
        return


async def _connect(
    scene: Scene, person: Person, server: int, *, receive_bytes: int | None = None, max_queue: int | None = 16
) -> Link | None:
    """A further connection of somebody; None when it cannot be had now."""
    url = scene.deployment.servers[server].ws_url
    try:
        raw = socket.socket()
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.setblocking(False)
        parts = urlsplit(url)
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().sock_connect(raw, (parts.hostname, parts.port))
        connection = await websockets.connect(
            url,
            sock=raw,
            origin=Origin(scene.deployment.origin),
            additional_headers={"Cookie": person.cookies},
            open_timeout=5,
            close_timeout=1,
            ping_interval=None,
            max_queue=max_queue,
            proxy=None,
        )
    except (OSError, TimeoutError, EOFError, websockets.exceptions.InvalidHandshake):
        raw.close()
        scene.ledger.unread_connects.append(time.time())
        return None
    return Link(f"{person.name}-extra", server, connection, scene.ledger)


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
