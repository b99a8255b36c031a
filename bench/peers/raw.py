"""(a) The floor: an ASGI application that sends every text back. What remains is daphne."""

from __future__ import annotations

from typing import Any


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    while True:
        event = await receive()
        match event["type"]:
            case "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
            case "websocket.connect":
                await send({"type": "websocket.accept"})
            case "websocket.disconnect":
                return
