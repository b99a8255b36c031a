"""SIGTERM: everybody is told goodbye, running replies are ended and kept, queued records are written, then we exit.

daphne awaits nothing on SIGTERM; so its reactor is asked to let us handle the signal first.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any

import structlog

from chat import conf, runtime

log = structlog.stdlib.get_logger("chat.shutdown")

_HARD_EXIT_AFTER_S = 2.0  # seconds past the grace; a thread that hangs must not hold the process


def install() -> None:
    """Take over SIGTERM once daphne's reactor runs. Does nothing under other servers and in tests."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is None or not hasattr(reactor, "_asyncioEventloop"):
        return
    reactor.callWhenRunning(_take_over, reactor)


def _take_over(reactor: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # the development server runs the reactor beside its autoreloader
    loop = reactor._asyncioEventloop
    loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(_drain(reactor)))
    loop.create_task(_start_runtime())


async def _start_runtime() -> None:
    # At once, not with the first connection: replies of a process that was killed are ended even if nobody comes.
    runtime.current()


async def _drain(reactor: Any) -> None:
    grace_s = conf.chat().stop_grace_s
    last_resort = threading.Timer(grace_s + _HARD_EXIT_AFTER_S, os._exit, (1,))
    last_resort.daemon = True
    last_resort.start()
    log.info("chat.shutdown_began", grace_s=grace_s)
    try:
        async with asyncio.timeout(grace_s):
            await runtime.current().aclose(grace_s=grace_s / 2)
    except TimeoutError:
        log.warning("chat.shutdown_grace_over")
    reactor.stop()
