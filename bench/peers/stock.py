"""The stock fan-out: one room over the in-memory layer, as the tutorial has it. Stores nothing.

The sender gets an answer of its own, so that a load client knows when it may send again although the layer lost its
message.
"""

from __future__ import annotations

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402


class RoomConsumer(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.channel_layer.group_send("room", {"type": "chat.message", "text": content["content"]})
        await self.send_json({"type": "ack"})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send_json({"type": "message", "text": event["text"]})


application = RoomConsumer.as_asgi()
