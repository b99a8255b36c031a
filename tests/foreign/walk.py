"""Run in a process of its own (`python -m tests.foreign.walk`): migrate, sign in, talk, fail, read it over HTTP."""

from __future__ import annotations

import asyncio
import json
import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.foreign.settings"
django.setup()

from channels.testing import WebsocketCommunicator  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

from chat import runtime  # noqa: E402
from chat.asgi import with_chat  # noqa: E402
from errors.models import RoutingFailure  # noqa: E402
from tests.foreign import databases  # noqa: E402


async def talk(cookie: str) -> list[dict]:
    headers = [(b"origin", b"http://testserver"), (b"cookie", f"sessionid={cookie}".encode())]
    socket = WebsocketCommunicator(with_chat(get_asgi_application()), "/talk/here/ws", headers=headers)
    await socket.connect()
    frames: list[dict] = []
    session_id = None
    for text in ("hello", "print"):
        same = {"session_id": session_id} if session_id else {}
        await socket.send_json_to({"type": "user_message", "content": text, "ref": text, **same})
        while not frames or not _ends(frames[-1]):
            frames.append(await socket.receive_json_from(5))
            session_id = frames[-1].get("session_id") or session_id
        frames.append({"type": "separator"})
    await socket.send_json_to({"type": "print.shout", "ref": "s", "session_id": session_id, "words": "quiet"})
    while frames[-1].get("ref") != "s":
        frames.append(await socket.receive_json_from(5))
    await socket.disconnect()
    await runtime.current().aclose(grace_s=2)
    return frames


def _ends(frame: dict) -> bool:
    return frame["type"] == "error" or frame.get("state") == "complete"


def main() -> None:
    for alias in (databases.PEOPLE, databases.FAILURES):
        call_command("migrate", verbosity=0, run_syncdb=True, database=alias)
    user = get_user_model().objects.create(mail="alice@example.org")
    client = Client()
    client.force_login(user)
    frames = asyncio.run(talk(client.cookies["sessionid"].value))
    session = client.get("/talk/here/sessions").json()["sessions"][0]
    history = client.get(f"/talk/here/sessions/{session['session_id']}").json()
    failure = RoutingFailure.objects.get()
    print(  # noqa: T201 -- what the test reads
        json.dumps(
            {
                "text": "".join(frame["content"] for frame in frames if frame["type"] == "ai_response"),
                "error": next(frame["error"] for frame in frames if frame["type"] == "error"),
                "contents": [message["content"] for message in history["messages"]],
                "shouted": frames[-1]["content"],
                "recorded": [failure.code, failure.reference, failure.user_id == str(user.pk)],
            }
        )
    )


main()
