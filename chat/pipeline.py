"""The way of one message: middlewares in order, then the handler. `ChatConsumer.receive_json` is the only caller.

    errors > telemetry > limits > (faults) > registration > router > handlers.<message_type>

Each middleware has Django's shape: made with the next step, called with the message and the facts of its route.
"""

from __future__ import annotations

import time
from functools import partial

from chat import conf, message_types, protocol, router, telemetry
from chat.connection import Connection
from chat.fault_middleware import FaultMiddleware
from chat.limits import Window
from chat.registration import RegistrationMiddleware
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.middleware import ErrorMiddleware, Step
from errors.taxonomy import SERVER_BUSY

_RESTART_MS = 3_000  # milliseconds until the next server takes messages; about as long as its clients are spread


def build(connection: Connection) -> ErrorMiddleware:
    """Return the pipeline of one connection: called with (message, context), it returns a `Failure` or None."""
    step: Step = partial(router.route, connection)
    if conf.chat().fault_commands:
        runtime = connection.runtime
        step = RegistrationMiddleware(step, connection, find=runtime.faults.failing(runtime.ownership.find))
        step = FaultMiddleware(step, connection)
    else:
        step = RegistrationMiddleware(step, connection, find=connection.runtime.ownership.find)
    step = LimitMiddleware(step, connection)
    return ErrorMiddleware(TelemetryMiddleware(step))


class TelemetryMiddleware:
    def __init__(self, next_step: Step) -> None:
        self.next_step = next_step

    async def __call__(self, message: protocol.Inbound, context: RouteContext) -> None:
        began = time.perf_counter()
        await self.next_step(message, context)
        telemetry.ROUTE_SECONDS.observe(context.message_type, time.perf_counter() - began)


class LimitMiddleware:
    """Counts frames, and what costs an answer; refuses the latter while the server is going down: nothing is stored."""

    def __init__(self, next_step: Step, connection: Connection) -> None:
        limits = connection.runtime.limits
        self.next_step = next_step
        self.runtime = connection.runtime
        self._frames = Window()
        self._of_user = limits.window("user", connection.user_id)
        self._of_address = limits.window("address", connection.address) if connection.address else None

    async def __call__(self, message: protocol.Inbound, context: RouteContext) -> None:
        settings = conf.chat()
        self._frames.take(settings.connection_frames_per_minute)
        if type(message) in message_types.counted():
            if self.runtime.is_draining:
                raise ChatError(SERVER_BUSY, retry_after_ms=_RESTART_MS, detail="the server is going down")
            await self.runtime.limits.take(self._of_user, settings.messages_per_minute)
            if self._of_address is not None:
                await self.runtime.limits.take(self._of_address, settings.address_messages_per_minute)
        await self.next_step(message, context)
