"""Waiting for what nobody tells: a condition is looked at again and again, and only for so long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_S = 0.01


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
