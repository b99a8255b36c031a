"""`ErrorMiddleware`: where an exception ends. It wraps each step of the walk: connect, receive, route, reply.

Nothing between here and the place that raised swallows anything: what is caught is raised again under a better name.
The caller gets the `Failure` back and tells the person; this file knows no sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from channels.exceptions import AcceptConnection, DenyConnection, StopConsumer

from errors import recorder
from errors.context import RouteContext
from errors.failure import Failure

Step = Callable[[Any, Any], Awaitable[Any]]

# Channels steers its consumers with these; they are signals, not failures.
CONTROL_FLOW = (StopConsumer, AcceptConnection, DenyConnection)


class ErrorMiddleware:
    """Runs the next step; an exception becomes one recorded `Failure`.

    Also one that is no `Exception`: a library's panic, a `sys.exit` in a handler, the cancellation of something that
    was awaited. Let through, they would end the socket without a word, or the server.
    """

    def __init__(self, next_step: Step) -> None:
        self.next_step = next_step

    async def __call__(self, message: Any, context: RouteContext) -> Failure | None:
        """Return the failure that ended the step, or None. Our own cancellation and Channels' signals pass."""
        try:
            await self.next_step(message, context)
        except CONTROL_FLOW:
            raise
        except BaseException as exc:
            if _is_about_us(exc):
                raise
            return recorder.record(exc, context)
        finally:
            context.private_texts = ()  # a context may be kept as long as its connection
        return None


def _is_about_us(exc: BaseException) -> bool:
    """Whether somebody ends this very task. Else a step has failed, by whatever it awaited or called."""
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(exc, KeyboardInterrupt | GeneratorExit)
