"""A limit on frames that are refused. Each costs an answer and a record, and no well-meaning client sends many."""

from __future__ import annotations

import math
import time

from chat.limits import Limits
from errors.exceptions import ChatError
from errors.taxonomy import TOO_MANY_REQUESTS

_TOLERANCE = 0.25  # of what may be refused: that many more are answered before the connection is closed
# For who comes when others have used it up: a client that comes back resumes twenty sessions at once, and is no flood.
_AT_LEAST = 40
_KIND = "refused"  # of the window in which a person's refusals are counted, in this process


class RefusalLimit:
    """How many frames of one connection may be refused. Over it nothing is looked at until some time has passed.

    A connection begins with what the person's others have left of the limit, so that nobody begins anew by coming back.
    Those that are open go on with their own: a tab that is broken does not silence the phone.
    """

    def __init__(self, per_minute: int, limits: Limits, user_id: str) -> None:
        self._per_minute = per_minute
        self._limits = limits
        self._user_id = user_id
        self._left = max(0.0, per_minute - limits.used(_KIND, user_id))
        is_first = self._left == per_minute
        self._tolerated = max(_TOLERANCE * self._left, 0 if is_first else min(_AT_LEAST, per_minute))
        self._counted_at = time.monotonic()

    @property
    def is_flood(self) -> bool:
        """Whether it went on all the same, so that the connection is to be closed."""
        return self._left <= -self._tolerated

    def check(self) -> None:
        """Look at the next frame only if some refusals are left.

        Raises:
            ChatError: TOO_MANY_REQUESTS, with the time until a frame is looked at again.
        """
        self._refill()
        if self._left < 1:
            # This refusal counts as well.
            wait_ms = math.ceil((2 - self._left) / self._per_minute * 60_000)
            raise ChatError(TOO_MANY_REQUESTS, retry_after_ms=wait_ms, detail="too many frames that were refused")

    def count(self) -> None:
        """One frame was refused."""
        self._refill()
        self._left -= 1
        self._limits.window(_KIND, self._user_id).count()

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self._per_minute, self._left + (now - self._counted_at) * self._per_minute / 60)
        self._counted_at = now
