"""The peer framework: the same chat on chanx, as its documentation shows it -- pydantic messages, typed handlers."""

from __future__ import annotations

import os
from typing import Any, Literal

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.settings")
django.setup()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from chanx.channels.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from chanx.core.decorators import channel, ws_handler  # noqa: E402
from chanx.messages.base import BaseMessage  # noqa: E402
from chanx.messages.incoming import PingMessage  # noqa: E402
from chanx.messages.outgoing import PongMessage  # noqa: E402
from django.urls import path  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

from bench.peers.models import Message  # noqa: E402


class Draft(BaseModel):
    session_id: str
    ref: str
    content: str = Field(min_length=1, max_length=10_000)


class Stored(BaseModel):
    id: int
    ref: str
    content: str


class UserMessage(BaseMessage):
    action: Literal["user_message"] = "user_message"
    payload: Draft


class ChatMessage(BaseMessage):
    action: Literal["chat_message"] = "chat_message"
    payload: Stored


@channel(name="chat", description="A conversation")
class ChatConsumer(AsyncJsonWebsocketConsumer[Any]):
    channel_layer_alias = "default"

    async def post_authentication(self) -> None:
        await self.join_group(f"chat_{self.scope['url_route']['kwargs']['room']}")

    @ws_handler
    async def handle_ping(self, message: PingMessage) -> PongMessage:
        return PongMessage()

    @ws_handler(output_type=ChatMessage)
    async def handle_user_message(self, message: UserMessage) -> None:
        draft = message.payload
        stored = await Message.objects.acreate(room=draft.session_id, user=self.scope["user"], content=draft.content)
        await self.broadcast_message(ChatMessage(payload=Stored(id=stored.pk, ref=draft.ref, content=draft.content)))


application = ProtocolTypeRouter(
    {"websocket": AuthMiddlewareStack(URLRouter([path("chat/<str:room>", ChatConsumer.as_asgi())]))}
)
