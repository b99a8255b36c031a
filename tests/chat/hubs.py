"""Hubs that work, as in several processes, and members that keep what they hear."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager

from chat import protocol
from chat.hub import Hub
from tests.waiting import until

RETURN_S = 2.0  # seconds from Redis' first answer until frames cross again
LOAD_S = 1.0  # seconds for a busy machine
_ids = itertools.count()


class Ear:
    """A member that keeps what it hears."""

    def __init__(self) -> None:
        self.id = f"ear-{next(_ids)}"
        self.texts: list[str] = []
        self.ended: list[str] = []

    def deliver(self, frame) -> bool:
        self.texts.append(frame.text)
        return True

    def end_login(self, login_key) -> None:
        self.ended.append(login_key)

    def close(self, code) -> None:
        self.ended.append(code)

    async def hear(self, part: str, timeout_s: float = 5) -> None:
        await until(lambda: any(part in text for text in self.texts), f"{part} is heard", timeout_s)


def said(text: str) -> protocol.Notification:
    return protocol.Notification(metadata={"event": text})


@asynccontextmanager
async def working(*hubs: Hub):
    tasks = [asyncio.create_task(work) for one in hubs for work in one.work()]
    try:
        yield
    finally:
        for one in hubs:
            await one.aclose()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def use(settings, url: str, backend: str = "pubsub.RedisPubSubChannelLayer", **config) -> None:
    layer = {"BACKEND": f"channels_redis.{backend}", "CONFIG": {"hosts": [url], "prefix": "test", **config}}
    settings.CHANNEL_LAYERS = {"default": layer}


async def meet(one: Hub, other: Hub, names: list[str]) -> list[Ear]:
    """Have `other` join these groups, and wait until what `one` says is heard in each."""
    ears = []
    for name in names:
        ear = Ear()
        other.join(ear, name)
        ears.append(ear)
    await speak(one, names, ears)
    return ears


async def speak(one: Hub, names: list[str], ears: list[Ear], timeout_s: float = 10) -> None:
    """Say something in every group that has not heard it, until all have."""
    word = f"word-{next(_ids)}"
    async with asyncio.timeout(timeout_s):
        while True:
            deaf = [name for name, ear in zip(names, ears, strict=True) if not any(word in text for text in ear.texts)]
            if not deaf:
                return
            for name in deaf:
                one.broadcast(name, said(word))
            await asyncio.sleep(0.1)


async def acquaint(*hubs: Hub, known: int | None = None) -> None:
    """Wait until each knows the others."""
    known = len(hubs) - 1 if known is None else known
    await until(lambda: all(len(one._link._peers.ids) == known for one in hubs), "the processes know each other")


def listen(one: Hub) -> tuple[list[int], list[tuple]]:
    """Return what the hub will say: that everybody may be behind, and who is."""
    behind: list[int] = []
    members: list[tuple] = []
    one.on_behind, one.on_gap = lambda: behind.append(1), members.append
    return behind, members
