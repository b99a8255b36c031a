"""What the hub's line must know of a kind of channel layer: how it is opened, how long it remembers, how it is left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from channels.layers import DEFAULT_CHANNEL_LAYER, InMemoryChannelLayer, channel_layers, get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer

from errors.loggers import get_logger

log = get_logger("chat.hub")

_REJOIN_S = 3_600.0  # seconds until a layer is told again of our groups; far below the usual expiry of 24 h
_REJOIN_LOCAL_S = 60.0  # of the in-memory layer, which forgets a receiver that stood still for a minute; costs nothing


def is_shared() -> bool:
    """Whether the layer reaches other processes; the in-memory one does not."""
    return not isinstance(get_channel_layer(), InMemoryChannelLayer)


def open_own() -> Any:
    """Return the layer; of Redis pub/sub an instance of our own.

    Its calls wait for each other under one lock without a time limit: somebody else's that hangs would hold up ours.
    """
    shared = get_channel_layer()
    if isinstance(shared, RedisPubSubChannelLayer):
        return channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)
    return shared


async def new_channel(layer: Any) -> str:
    """Open the one channel of a layer that is ours; what earlier tries have left behind goes."""
    if isinstance(layer, RedisPubSubChannelLayer):
        layer.channels.clear()
    return str(await layer.new_channel())


def rejoin_s(layer: Any) -> float:
    """Return after how many seconds the layer is to be told again of our groups."""
    if not is_shared():
        return _REJOIN_LOCAL_S
    expiry_s = getattr(layer, "group_expiry", None) if layer is not None else None
    return min(_REJOIN_S, expiry_s / 3) if expiry_s else _REJOIN_S


async def leave(layer: Any, channel: str, groups: Collection[str]) -> None:
    """Leave the groups: a layer that keeps members beyond a connection has to be told."""
    if isinstance(layer, RedisPubSubChannelLayer):
        await layer.flush()  # its memberships are its connections
    else:
        await asyncio.gather(*(layer.group_discard(group, channel) for group in tuple(groups)))


async def close_dead(layer: Any) -> None:
    """Close a line that was given up, where the layer is our own instance."""
    if not isinstance(layer, RedisPubSubChannelLayer):
        return
    try:
        async with asyncio.timeout(1):
            await layer.flush()
    except Exception as exc:
        log.info("chat.layer_not_closed", cause=type(exc).__name__)
