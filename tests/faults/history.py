"""A session's history as HTTP pages tell it, in the shape of replayed frames: one reducer serves both."""

from __future__ import annotations

from tests.faults.conversation import Frame
from tests.services.client import SiteClient


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, body: Frame) -> None:
        super().__init__(f"history answered {status}: {body}")
        self.body = body


def replays(site: SiteClient, session_id: str) -> list[Frame]:
    """The whole history as frames that a `Conversation` takes."""
    frames: list[Frame] = []
    before = ""
    while True:
        status, page = site.get_json(f"/chat/sessions/{session_id}{before}")
        if status != 200:
            raise Refused(status, page)
        frames = [_as_replay(message) for message in page["messages"]] + frames
        if not page["has_more"] or not page["messages"]:
            return frames
        before = f"?before={page['messages'][0]['seq']}"


def _as_replay(message: Frame) -> Frame:
    if message["sender"] == "ai":
        reply = message.get("reply", {})
        more = {
            "offset": 0,
            "metadata": {"done": "true"},
            "content_length": len(message["content"]),
            "reply_id": reply.get("reply_id", message["message_id"]),
            "in_reply_to": message.get("in_reply_to", ""),
            "state": reply.get("state", "complete"),
            "reply": reply,
        }
        return message | {"type": "ai_response"} | more
    return message | {"type": "user_message"}
