"""Calls to the hubs of this process from outside their event loops: from a view, a signal, a task, a command.

A process that has no hub, as a shell, sends to the channel layer itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from chat import conf, groups, protocol
from chat.encoded import Encoded
from chat.hub import Hub, running_hubs


def broadcast(group: str, frame: protocol.Frame) -> None:
    """`Hub.broadcast` from a view, a signal or a command: at once to this process's connections, never waiting for the
    layer. In a process without connections it goes to the layer, under its time limit.

    Raises:
        Exception: Whatever the layer raises, in a process without connections.
    """
    encoded = Encoded.of(frame)
    if not call_hubs(lambda hub: hub.send(group, encoded)):
        event = {"frames_of": {group: [[encoded.pack(), None, None]]}}
        async_to_sync(send_alone)(group, event)


def control(group: str, name: str, value: str = "") -> None:
    """`Hub.control` from a view, a signal or a command; see `broadcast`."""
    if not call_hubs(lambda hub: hub.control(group, name, value)):
        async_to_sync(send_alone)(groups.HUBS, {"controls": [[group, name, value]]})


def call_hubs(call: Callable[[Hub], object]) -> bool:
    """Have each event loop of this process that has a hub make this call; return whether there is any."""
    is_called = False
    for loop, hub in running_hubs():
        try:
            loop.call_soon_threadsafe(call, hub)
        except RuntimeError:  # the loop is closed
            continue
        is_called = True
    return is_called


async def send_alone(group: str, event: dict[str, Any]) -> None:
    """Send an event from a process without a hub, under the layer's time limit."""
    async with asyncio.timeout(conf.chat().layer_timeout_s):
        await get_channel_layer().group_send(group, {"type": groups.EVENT, **event})
