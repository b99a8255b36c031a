"""A real HTTP server that speaks the OpenAI streaming format, and misbehaves on purpose.

The last message of a request names the scenario; anything else is answered well. It has a thread and a loop of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from types import TracebackType
from typing import Any

CANARY = "canary-5e1f-provider-body"
TEXT = "So far, so good. "

Writer = asyncio.StreamWriter
Scenario = Callable[[Writer], Awaitable[None]]


class LlmServer:
    """`with LlmServer() as server:` -- `server.url` is the base URL; `server.requests` are the bodies it got."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = threading.Event()  # the client closed while we were still writing
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._serving: set[asyncio.Task[None] | None] = set()  # the loop itself holds a task that hangs only weakly
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.failures_left = 0  # so many requests get a 500 first

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> LlmServer:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async def stop() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self._serving.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.requests.append(body)
            self.headers.append(headers)
            if self.failures_left:
                self.failures_left -= 1
                await _status(writer, 500, {"error": {"message": CANARY}})
            else:
                await self._scenario(body["messages"][-1]["content"])(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        except asyncio.CancelledError:
            pass  # the server is stopped: nobody awaits this task, and asyncio would print its end
        finally:
            self._serving.discard(asyncio.current_task())
            writer.close()

    def _scenario(self, name: str) -> Scenario:
        return SCENARIOS.get(name, _answer(f"You said: {name}. 😀 It works."))


async def _head(writer: Writer, status: str = "200 OK", kind: str = "text/event-stream", more: str = "") -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n{more}\r\n".encode())
    await writer.drain()


async def _event(writer: Writer, data: Any) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    writer.write(f"data: {text}\n\n".encode())
    await writer.drain()


def chunk(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**chunk(), "choices": [], "usage": usage}


def _answer(text: str) -> Scenario:
    async def play(writer: Writer) -> None:
        await _head(writer)
        for word in text.split(" "):
            await _event(writer, chunk(f"{word} "))
        await _event(writer, chunk(finish="stop"))
        await _event(writer, _usage(11, 7))
        await _event(writer, "[DONE]")

    return play


def _begun(then: Scenario | None = None, *events: Any) -> Scenario:
    """Some text, then these events, then something else or the end."""

    async def play(writer: Writer) -> None:
        await _head(writer)
        await _event(writer, chunk(TEXT))
        for event in events:
            await _event(writer, event)
        if then is not None:
            await then(writer)

    return play


async def _status(writer: Writer, status: int, body: Any, more: str = "") -> None:
    is_json = not isinstance(body, str)
    text = json.dumps(body) if is_json else body
    await _head(writer, f"{status} No", "application/json" if is_json else "text/html", more)
    writer.write(text.encode())
    await writer.drain()


def _refusal(status: int, code: str | None = None, *, retry_after: str = "", page: bool = False) -> Scenario:
    error = {"message": CANARY, "type": "x", "code": code}
    body: Any = f"<html>{CANARY}</html>" if page else {"error": error}
    return lambda writer: _status(writer, status, body, f"Retry-After: {retry_after}\r\n" if retry_after else "")


async def _hang(writer: Writer) -> None:
    """Until the client goes away, or the server is stopped."""
    await asyncio.Event().wait()


async def _trickle(writer: Writer) -> None:
    await _head(writer)
    while True:
        await _event(writer, chunk("drip "))
        await asyncio.sleep(0.02)


async def _reset(writer: Writer) -> None:
    writer.transport.abort()  # type: ignore[attr-defined]


async def _no_stream(writer: Writer) -> None:
    await _head(writer, kind="text/html")
    writer.write(f"<html>{CANARY}</html>".encode())
    await writer.drain()


async def _huge_line(writer: Writer) -> None:
    writer.write(b"data: " + b"x" * (3 * 1_048_576))
    await writer.drain()
    await _hang(writer)


SCENARIOS: dict[str, Scenario] = {
    "401": _refusal(401, "invalid_api_key"),
    "403": _refusal(403),
    "400": _refusal(400),
    "404": _refusal(404, "model_not_found"),
    "too long": _refusal(400, "context_length_exceeded"),
    "filtered request": _refusal(400, "content_filter"),
    "429 seconds": _refusal(429, retry_after="7"),
    "429 date": _refusal(429, retry_after=formatdate(4_000_000_000, usegmt=True)),
    "429 garbage": _refusal(429, retry_after="soon"),
    "429 quota": _refusal(429, "insufficient_quota"),
    "500": _refusal(500),
    "503 page": _refusal(503, page=True),
    "hang before headers": _hang,
    "hang midstream": _begun(_hang),
    "trickle": _trickle,
    "reset": _begun(_reset),
    "reset at once": _reset,
    "clean end": _begun(),
    "no stream": _no_stream,
    "bad json": _begun(None, '{"choices": ['),
    "bad json at once": lambda writer: _then(writer, "{not json"),
    "huge line": _begun(_huge_line),
    "error event": _begun(None, {"error": {"message": CANARY, "code": "server_error"}}),
    "empty": lambda writer: _then(writer, chunk(finish="stop"), "[DONE]"),
    "refusal": lambda writer: _then(writer, chunk(refusal=CANARY), chunk(finish="stop"), "[DONE]"),
    "content filter": _begun(None, chunk(finish="content_filter"), "[DONE]"),
    "length": _begun(None, chunk(finish="length"), "[DONE]"),
    "odd characters": _begun(None, chunk("a\x00b\ud83d c"), chunk(finish="stop"), "[DONE]"),
    "hang after the end": _begun(_hang, chunk(finish="stop")),
    "negative usage": _begun(None, chunk(finish="stop"), _usage(-1, 5), "[DONE]"),
}


async def _then(writer: Writer, *events: Any) -> None:
    await _head(writer)
    for event in events:
        await _event(writer, event)
