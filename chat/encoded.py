"""`Encoded`: one outgoing frame, encoded once for everybody who gets it, with the facts that its way needs to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chat import protocol, wire


class Encoded:
    """One frame for any number of connections and processes. Never changed.

    Attributes:
        text: What goes over the wire.
        kind: The frame's `type`.
        seq: Of the stored message that it shows, or whose storing it acknowledges.
        start: Of a piece of a reply: characters before it; `stop` counts its own in. Of the error that ends a reply:
            characters that were kept. None for other frames.
        is_end: The last frame of its reply.
    """

    __slots__ = ("_wire", "is_end", "kind", "reply_id", "seq", "session_id", "start", "stop", "text")

    def __init__(
        self,
        text: str,
        kind: str,
        session_id: str | None = None,
        seq: int | None = None,
        reply_id: str | None = None,
        start: int | None = None,
        stop: int | None = None,
        is_end: bool = False,
    ) -> None:
        self.text = text
        self.kind = kind
        self.session_id = session_id
        self.seq = seq
        self.reply_id = reply_id
        self.start = start
        self.stop = stop
        self.is_end = is_end
        self._wire: bytes | None = None

    @property
    def send_event(self) -> dict[str, Any]:
        """The ASGI event that sends it."""
        return {"type": "websocket.send", "text": self.text}

    @property
    def wire(self) -> bytes:
        """The WebSocket frame; made once for everybody."""
        if self._wire is None:
            self._wire = wire.text_frame(self.text)
        return self._wire

    def forget_wire(self) -> None:
        """Everybody who reads has it. Whoever is slow keeps the text, and not both."""
        self._wire = None

    @classmethod
    def of(cls, frame: protocol.Frame) -> Encoded:
        facts = _FACTS.get(type(frame), _session)
        return cls(protocol.encode(frame), frame.__struct_config__.tag, *facts(frame))  # type: ignore[arg-type]

    @classmethod
    def plain(cls, frame: protocol.Frame) -> Encoded:
        """A frame that a host project made: whatever numbers it carries are its own."""
        return cls(protocol.encode(frame), str(frame.__struct_config__.tag))

    def pack(self) -> list[Any]:
        """The frame and its facts, as the channel layer carries them."""
        return [self.text, self.kind, self.session_id, self.seq, self.reply_id, self.start, self.stop, self.is_end]

    @classmethod
    def unpack(cls, packed: list[Any]) -> Encoded:
        return cls(*packed)


# What the way of a frame needs to know of it, in the order of `Encoded`'s arguments; made for every frame that is sent.


def _session(frame: Any) -> tuple[Any, ...]:
    return (getattr(frame, "session_id", None),)


def _piece(frame: protocol.AiResponse) -> tuple[Any, ...]:
    start = frame.offset
    is_end = frame.metadata.get("done") == "true"
    return frame.session_id, frame.seq, frame.reply_id, start, start + len(frame.content), is_end


def _error(frame: protocol.ErrorFrame) -> tuple[Any, ...]:
    length = frame.content_length
    return frame.session_id, frame.seq, frame.reply_id, length, length, frame.reply_id is not None


def _message(frame: protocol.UserMessageFrame) -> tuple[Any, ...]:
    return frame.session_id, frame.seq


def _ack(frame: protocol.Ack) -> tuple[Any, ...]:
    return frame.session_id, frame.seq, frame.reply_id


def _loading(frame: protocol.Loading) -> tuple[Any, ...]:
    return frame.session_id, None, frame.reply_id


_FACTS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    protocol.AiResponse: _piece,
    protocol.ErrorFrame: _error,
    protocol.UserMessageFrame: _message,
    protocol.Ack: _ack,
    protocol.Loading: _loading,
}
