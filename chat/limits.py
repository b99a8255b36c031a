"""How much one connection, one person and one address may do in a minute.

Counted in this process first, which costs only a few additions. With Redis, what may be done on all processes together
is taken from it in small portions, so most messages need not ask it. While Redis does not answer, each
process counts for itself: a limit that is too generous beats a chat that is down.
"""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from collections import OrderedDict
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from chat.redis_gate import RedisAway, RedisGate
from errors.exceptions import ChatError
from errors.taxonomy import TOO_MANY_REQUESTS

_WINDOW_S = 60.0
_PORTIONS = 20  # a process takes a twentieth of the limit at once: so much can be left unused on each process
_MAX_PORTION = 1_000
_PORTION_S = 10.0  # seconds that a portion may be used up in; what is left is lost
_MAX_WINDOWS = 100_000  # keys without a connection, about 30 MB; the one that came longest ago leaves


class Window:
    """What one key did in this minute and the last, and what it may do of the limit that all processes share."""

    __slots__ = ("__weakref__", "_before", "_began", "_count", "asking", "key", "portion", "portion_until")

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.portion = 0  # taken from the shared limit and not used yet
        self.portion_until = 0.0
        self.asking: asyncio.Event | None = None  # somebody asks for a portion
        self._began = time.monotonic()
        self._count = 0
        self._before = 0

    def take(self, limit: int) -> None:
        """Count one.

        Raises:
            ChatError: TOO_MANY_REQUESTS, with the time until the next one; nothing was counted.
        """
        elapsed = time.monotonic() - self._began
        if elapsed >= _WINDOW_S:
            elapsed = self._move_on(elapsed)
        if self._before * (1 - elapsed / _WINDOW_S) + self._count + 1 > limit:
            raise too_many(limit, self._wait_s(limit, elapsed))
        self._count += 1

    def count(self) -> None:
        """Count one that happened, whatever the limit."""
        elapsed = time.monotonic() - self._began
        if elapsed >= _WINDOW_S:
            self._move_on(elapsed)
        self._count += 1

    @property
    def used(self) -> float:
        """How many of the last minute count now."""
        elapsed = time.monotonic() - self._began
        if elapsed >= _WINDOW_S:
            elapsed = self._move_on(elapsed)
        return self._before * (1 - elapsed / _WINDOW_S) + self._count

    def use_portion(self) -> bool:
        """Use one of what was taken from the shared limit; return whether there was any."""
        if self.portion > 0 and time.monotonic() < self.portion_until:
            self.portion -= 1
            return True
        return False

    def give_back(self) -> None:
        """The one that was counted last did not happen."""
        self._count -= 1

    @property
    def is_over(self) -> bool:
        """Whether nothing of it counts any more; a new one would do as well."""
        return time.monotonic() - self._began > 2 * _WINDOW_S

    def _move_on(self, elapsed: float) -> float:
        """Begin the minute that we are in; return how much of it has passed."""
        self._before = self._count if elapsed < 2 * _WINDOW_S else 0
        self._count = 0
        self._began += elapsed - elapsed % _WINDOW_S
        return elapsed % _WINDOW_S

    def _wait_s(self, limit: int, elapsed: float) -> float:
        """How long until what is weighed of the last minute leaves room for one."""
        if self._count < limit:
            return (1 - (limit - 1 - self._count) / self._before) * _WINDOW_S - elapsed
        return _WINDOW_S - elapsed + (1 - (limit - 1) / self._count) * _WINDOW_S


class Limits:
    """One per event loop; owned by `runtime`."""

    def __init__(self, redis: RedisGate) -> None:
        self._redis = redis
        self._windows: weakref.WeakValueDictionary[str, Window] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[str, Window] = OrderedDict()  # kept also when nobody is connected any more
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if redis.url:
            pool = redis.client.connection_pool
            storage: Any = storage_from_string(f"async+{redis.url}", implementation="redispy", connection_pool=pool)
            self._shared = SlidingWindowCounterRateLimiter(storage)

    def window(self, kind: str, name: str) -> Window:
        """Return the window of a key; held by who counts on it."""
        key = f"{kind}/{name}"
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(key)
        self._recent[key] = window
        self._recent.move_to_end(key)
        while len(self._recent) > _MAX_WINDOWS or (self._recent and next(iter(self._recent.values())).is_over):
            self._recent.popitem(last=False)
        return window

    def used(self, kind: str, name: str) -> float:
        """Return how many of a key count now. One of which nobody knows stays unknown."""
        window = self._windows.get(f"{kind}/{name}")
        return window.used if window is not None else 0.0

    async def take(self, window: Window, limit: int) -> None:
        """Count one on all processes.

        Raises:
            ChatError: TOO_MANY_REQUESTS, with the time until the next one; nothing was counted.
        """
        window.take(limit)
        self._recent[window.key] = window  # it may have left there in silence, and now there is something to remember
        while self._shared is not None and self._redis.is_up and not window.use_portion():
            if window.asking is not None:
                # One asks for all who come together: a portion for each of them would use up the limit at once.
                await window.asking.wait()
                continue
            window.asking = asyncio.Event()
            try:
                await self._redis.ask(self._take_portion(self._shared, window, limit))
                return
            except RedisAway:
                return
            except ChatError:
                window.give_back()
                raise
            finally:
                window.asking.set()
                window.asking = None

    async def _take_portion(self, shared: SlidingWindowCounterRateLimiter, window: Window, limit: int) -> None:
        item = RateLimitItemPerMinute(limit)
        size = min(max(1, limit // _PORTIONS), _MAX_PORTION)
        if size > 1 and await shared.hit(item, window.key, cost=size):
            window.portion += size - 1
            window.portion_until = time.monotonic() + _PORTION_S
        elif not await shared.hit(item, window.key):
            stats = await shared.get_window_stats(item, window.key)
            raise too_many(limit, stats.reset_time - time.time())


def too_many(limit: int, wait_s: float) -> ChatError:
    wait_ms = max(1, math.ceil(wait_s * 1000))
    return ChatError(TOO_MANY_REQUESTS, retry_after_ms=wait_ms, detail=f"{limit} a minute")
