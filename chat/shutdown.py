"""SIGTERM: everybody is told goodbye, running replies get a while and are then ended and kept, and the process exits.

daphne awaits nothing on SIGTERM and every client sees 1006. So the signals are ours: they come in as plain Python
handlers, which run even while the event loop is held up, and a timer on a separate thread ends what hangs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from chat import conf, runtime
from errors.loggers import get_logger
from errors.taxonomy import SERVER_BUSY

log = get_logger("chat.shutdown")

_LAST_RESORT_S = 1.0  # seconds past the grace; a thread or a loop that hangs must not hold the process
_LEAVE_S = 1.0  # seconds for the interpreter to end when everything is done; threads that are stuck would hold it
_LAST_LINES_S = 0.5  # seconds for log lines that wait to be written
_STRAGGLERS_S = 0.5  # seconds for those who came in the last moment

# Of the grace: what each step may take.
_PATIENCE = 0.5  # running replies go on
_ENDS = 0.2  # the rest is interrupted, stored and told
_CLOSES = 0.15  # close frames are answered by the clients
_UNANSWERED = ("/healthz", "/readyz")  # paths that say themselves how things are


class Gate:
    """ASGI wrapper around everything: answers HTTP with 503 while the process goes down, and counts what is under way.

    Sockets pass: they are accepted and told `goodbye`.
    """

    def __init__(self, application: Any) -> None:
        self.application = application
        self.requests = 0

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        # Not a coroutine of its own around each socket: that would cost memory for as long as it is open.
        if scope["type"] != "http":
            return self.application(scope, receive, send)
        if runtime.is_any_draining() and not scope["path"].endswith(_UNANSWERED):
            return _refuse(send)
        return self._count(scope, receive, send)

    async def _count(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        try:
            await self.application(scope, receive, send)
        finally:
            self.requests -= 1


async def _refuse(send: Any) -> None:
    body = json.dumps({"error": SERVER_BUSY.message, "code": SERVER_BUSY.code}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"2"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def install(gate: Gate) -> None:
    """Take over SIGTERM and SIGINT once daphne's reactor runs. Does nothing under other servers and in tests."""
    reactor: Any = sys.modules.get("twisted.internet.reactor")
    if reactor is None or not hasattr(reactor, "_asyncioEventloop"):
        return
    reactor.callWhenRunning(Drain(reactor, gate).take_over)


class Drain:
    def __init__(self, reactor: Any, gate: Gate) -> None:
        self._reactor = reactor
        self._loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop
        self._gate = gate
        self._has_begun = False
        self._task: asyncio.Task[None] | None = None

    def take_over(self) -> None:
        # At once, not with the first connection: replies of a process that was killed are ended even if nobody comes.
        self._start = self._loop.create_task(_start_runtime())
        if threading.current_thread() is not threading.main_thread():
            return  # the development server's autoreloader has the signals, and the process ends with its main thread
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: Any) -> None:
        if self._has_begun:
            os._exit(128 + number)  # asked twice: at once
        self._has_begun = True
        grace_s = conf.chat().stop_grace_s
        _exit_after(grace_s + _LAST_RESORT_S, code=1)
        # Who presses Ctrl-C waits for it.
        patience_s = grace_s * _PATIENCE if number == signal.SIGTERM else 0.0
        self._loop.call_soon_threadsafe(self._begin, grace_s, patience_s)

    def _begin(self, grace_s: float, patience_s: float) -> None:
        self._task = self._loop.create_task(self._drain(grace_s, patience_s))

    async def _drain(self, grace_s: float, patience_s: float) -> None:
        log.info("chat.shutdown_began", grace_s=grace_s)
        try:
            async with asyncio.timeout(grace_s):
                await runtime.current().drain(patience_s=patience_s, ends_s=grace_s * _ENDS, closes_s=grace_s * _CLOSES)
        except TimeoutError:
            log.warning("chat.shutdown_grace_over")
        except Exception:
            log.exception("chat.shutdown_failed")
        await self._end_listening()
        _exit_after(_LEAVE_S, code=0)
        self._reactor.stop()

    async def _end_listening(self) -> None:
        """Take no more connections, and let those who came in the last moment hear what there is to hear."""
        from twisted.internet.tcp import Port  # only there under daphne

        for reader in self._reactor.getReaders():
            if isinstance(reader, Port):
                reader.stopListening()
        await runtime.wait_until(lambda: self._gate.requests == 0 and runtime.current().sockets == 0, _STRAGGLERS_S)


async def _start_runtime() -> None:
    log.info("chat.started", **runtime.current().facts())


def _exit_after(delay_s: float, code: int) -> None:
    timer = threading.Timer(delay_s, _exit, (code,))
    timer.daemon = True
    timer.start()


def _exit(code: int) -> None:
    # Whoever reads our stderr may have stopped: the last lines wait for them, and the process does not.
    last_lines = threading.Thread(target=logging.shutdown, daemon=True)
    last_lines.start()
    last_lines.join(_LAST_LINES_S)
    os._exit(code)
