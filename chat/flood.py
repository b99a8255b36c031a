"""A limit on frames that are refused. Each costs an answer and a record, and no well-meaning client sends many."""

from __future__ import annotations

import math
import time

from errors.exceptions import ChatError
from errors.taxonomy import TOO_MANY_REQUESTS

_TOLERANCE = 0.25  # of the limit: that many more are answered before the connection is closed


class RefusalLimit:
    """How many frames of one connection may be refused. Over it nothing is looked at until some time has passed."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._counted_at = time.monotonic()

    @property
    def is_flood(self) -> bool:
        """Whether it went on all the same, so that the connection is to be closed."""
        return self._left <= -self._per_minute * _TOLERANCE

    def check(self) -> None:
        """Look at the next frame only if some refusals are left.

        Raises:
            ChatError: TOO_MANY_REQUESTS, with the time until a frame is looked at again.
        """
        self._refill()
        if self._left < 1:
            wait_ms = math.ceil((1 - self._left) / self._per_minute * 60_000)
            raise ChatError(TOO_MANY_REQUESTS, retry_after_ms=wait_ms, detail="too many frames that were refused")

    def count(self) -> None:
        """One frame was refused."""
        self._refill()
        self._left -= 1

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self._per_minute, self._left + (now - self._counted_at) * self._per_minute / 60)
        self._counted_at = now
