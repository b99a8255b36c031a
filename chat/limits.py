"""How many messages a person may send. Counted in Redis for all processes, or here where there is none."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from chat import conf
from errors.exceptions import ChatError
from errors.taxonomy import TOO_MANY_REQUESTS

log = structlog.stdlib.get_logger("chat.limits")

_REDIS_TIMEOUT_S = 0.1  # seconds; a person waits for this on every message while Redis is hung
_REDIS_PAUSE_S = 5.0  # seconds that Redis is left alone after it did not answer


class MessageLimit:
    """Messages per user and minute. One per event loop; owned by `runtime`.

    While Redis does not answer, each process counts for itself: a limit that is too generous beats a chat that is down.
    """

    def __init__(self, redis_url: str) -> None:
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if redis_url:
            storage: Any = storage_from_string(f"async+{redis_url}", implementation="redispy")
            self._shared = SlidingWindowCounterRateLimiter(storage)
        self._shared_again_at = 0.0  # monotonic seconds

    async def hit(self, user_id: str) -> None:
        """Count one message.

        Raises:
            ChatError: TOO_MANY_REQUESTS, with the time until the next one is accepted.
        """
        limit = RateLimitItemPerMinute(conf.chat().messages_per_minute)
        if self._shared is not None and time.monotonic() >= self._shared_again_at:
            try:
                async with asyncio.timeout(_REDIS_TIMEOUT_S):
                    await _hit(self._shared, limit, user_id)
                return
            except ChatError:
                raise
            except Exception as exc:
                self._shared_again_at = time.monotonic() + _REDIS_PAUSE_S
                log.warning("chat.limit_counts_locally", cause=type(exc).__name__)
        await _hit(self._local, limit, user_id)


async def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItemPerMinute, user_id: str) -> None:
    if await limiter.hit(limit, "messages", user_id):
        return
    window = await limiter.get_window_stats(limit, "messages", user_id)
    wait_ms = max(1, math.ceil((window.reset_time - time.time()) * 1000))
    raise ChatError(TOO_MANY_REQUESTS, retry_after_ms=wait_ms, detail=f"{limit.amount} messages a minute")
