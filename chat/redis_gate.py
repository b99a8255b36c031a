"""Redis as a helper that may be down: what it does not answer in time is done without it, and then it is left alone.

One per event loop; owned by `runtime`. A probe in the background finds out when it answers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from errors.exceptions import ChatError
from errors.loggers import get_logger

log = get_logger("chat.redis")

_TIMEOUT_S = 0.1  # seconds; a person waits for this once, when Redis begins to hang
_PROBE_S = 0.5  # seconds between probes, and for one of them

Answer = TypeVar("Answer")


class RedisAway(Exception):
    """Redis did not answer in time, or not at all: go on without it."""


class RedisGate:
    """Attributes:
    url: Empty where there is no Redis; then `is_up` is never true.
    client: For calls under `ask`.
    is_up: Whether it answered when it was last asked.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Any = None
        self.is_up = bool(url)
        self._down = asyncio.Event()
        if url:
            self.client = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=_PROBE_S)

    async def ask(self, call: Awaitable[Answer]) -> Answer:
        """Await a call to Redis.

        Raises:
            RedisAway: No answer within 100 ms.
            ChatError: What the call itself found.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await call
        except ChatError:
            raise
        except Exception as exc:
            if self.is_up:
                log.warning("chat.limit_counts_locally", cause=type(exc).__name__)
            self.is_up = False
            self._down.set()
            raise RedisAway from exc

    async def keep_probing(self) -> None:
        """While Redis is left alone, find out when it answers again."""
        while True:
            await self._down.wait()
            await asyncio.sleep(_PROBE_S)
            try:
                async with asyncio.timeout(_PROBE_S):
                    await self.client.ping()
            except Exception:  # noqa: S112 -- that it is away is known; it is asked again
                continue
            self._down.clear()
            self.is_up = True
            log.info("chat.limit_counts_together")

    async def aclose(self) -> None:
        if self.client is not None:
            with suppress(Exception):
                async with asyncio.timeout(_PROBE_S):
                    await self.client.aclose()
