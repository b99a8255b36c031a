"""The plain build: what a team writes from the tutorial. Routing by if/elif, one ORM call per message, the stock layer.

It validates less, limits nothing and promises nothing; a message comes back to its sender through the group.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")
django.setup()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from bench.peers.models import Message  # noqa: E402

logger = logging.getLogger(__name__)


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.user = self.scope["user"]
        if not self.user.is_authenticated:
            await self.close()
            return
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = f"chat_{self.room}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "group"):
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        try:
            await self.route(content)
        except Exception as exc:
            logger.exception("could not handle a message")
            await self.send_json({"type": "error", "message": str(exc)})

    async def route(self, content: dict[str, Any]) -> None:
        kind = content.get("type")
        if kind == "user_message":
            text = content.get("content", "").strip()
            if not text:
                raise ValueError("content is required")
            message = await self.store(text)
            event = {"type": "chat.message", "id": message.pk, "user": self.user.pk, "content": text}
            await self.channel_layer.group_send(self.group, event | {"ref": content.get("ref")})
        elif kind == "typing_indicator":
            await self.channel_layer.group_send(self.group, {"type": "chat.typing", "user": self.user.pk})
        elif kind == "ping":
            await self.send_json({"type": "pong"})
        else:
            raise ValueError(f"unknown type {kind}")

    @database_sync_to_async
    def store(self, text: str) -> Message:
        return Message.objects.create(room=self.room, user=self.user, content=text)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send_json({**event, "type": "chat_message"})

    async def chat_typing(self, event: dict[str, Any]) -> None:
        await self.send_json({"type": "typing_indicator", "user": event["user"]})


application = ProtocolTypeRouter(
    {"websocket": AuthMiddlewareStack(URLRouter([path("chat/<str:room>", ChatConsumer.as_asgi())]))}
)
