"""Faults of a soak that clients and the provider bring about: storms, repetitions, deaf and flooding clients."""

from __future__ import annotations

import asyncio
import json
import time

import websockets

from tests.faults.link import Link, open_link
from tests.faults.person import Person
from tests.faults.scene import Scene


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


async def _connect(scene: Scene, person: Person, server: int, **options: int) -> Link | None:
    """A further connection of somebody; None when it cannot be had now."""
    return await open_link(f"{person.name}-extra", scene.deployment, server, person.cookies, scene.ledger, **options)
