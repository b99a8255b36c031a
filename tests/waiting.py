"""Waiting for what nobody tells: a condition is looked at again and again, and only for so long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_S = 0.01


class TooSlow(AssertionError):
    """A limit on the clock was missed.

    The machine may have stood still meanwhile. So a test that ends in this is run again, twice at most (`addopts` in
    pyproject.toml), and no other is. What must never happen is asserted in other words.
    """


def in_time(took_s: float, limit_s: float, what: str) -> None:
    """Hold `what` to its time limit.

    Raises:
        TooSlow: it took longer.
    """
    if took_s > limit_s:
        raise TooSlow(f"{what} took {took_s:.2f} s, and has {limit_s:g} s")


async def until(is_done: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    """Poll until `is_done()` is true.

    Raises:
        TimeoutError: still not after `timeout_s` seconds; the text says `what` was awaited.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not is_done():
        if loop.time() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain: {what}")
        await asyncio.sleep(POLL_S)
