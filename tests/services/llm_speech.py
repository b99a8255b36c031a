"""How the provider of `llm_server` speaks: pieces of the streaming format, and streams made of them."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

CANARY = "canary-5e1f-provider-body"
TEXT = "So far, so good. "
MIB = 1_048_576  # bytes

Writer = asyncio.StreamWriter
Scenario = Callable[[Writer], Awaitable[None]]


async def head(writer: Writer, status: str = "200 OK", kind: str = "text/event-stream", more: str = "") -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n{more}\r\n".encode())
    await writer.drain()


async def event(writer: Writer, data: Any) -> None:
    await raw(writer, f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")


async def raw(writer: Writer, text: str | bytes) -> None:
    writer.write(text if isinstance(text, bytes) else text.encode())
    await writer.drain()


def chunk(content: Any = None, finish: Any = None, *, index: int = 0, **delta: Any) -> dict[str, Any]:
    if content is not None:
        delta["content"] = content
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def without(name: str) -> dict[str, Any]:
    """A chunk of text in whose choice something is missing."""
    whole = chunk(TEXT)
    del whole["choices"][0][name]
    return whole


def choices(value: Any) -> dict[str, Any]:
    return {**chunk(), "choices": value}


def usage(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {**chunk(), "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}, **more}


STOP = chunk(finish="stop")
DONE = "[DONE]"


def events(*datas: Any, then: Scenario | None = None) -> Scenario:
    """A stream of these events, and then something else or the end."""

    async def play(writer: Writer) -> None:
        await head(writer)
        for data in datas:
            await event(writer, data)
        if then is not None:
            await then(writer)

    return play


def begun(*datas: Any, then: Scenario | None = None) -> Scenario:
    """Some text, and then these events."""
    return events(chunk(TEXT), *datas, then=then)


def answer(text: str) -> Scenario:
    words = [chunk(f"{word} ") for word in text.split(" ")]
    return events(*words, STOP, usage(11, 7), DONE)


def text_of(*datas: Any) -> str:
    """The same as `events`, in one piece."""
    return "".join(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n" for data in datas)


WHOLE = text_of(chunk("So far, "), chunk("so good. "), STOP, usage(11, 7), DONE)


def stream_of(body: str | bytes, more: str = "") -> Scenario:
    """These bytes as the body of a stream."""

    async def play(writer: Writer) -> None:
        await head(writer, more=more)
        await raw(writer, body)

    return play


def byte_by_byte(body: str) -> Scenario:
    async def play(writer: Writer) -> None:
        await head(writer)
        for byte in body.encode():
            await raw(writer, bytes([byte]))
            await asyncio.sleep(0)

    return play


async def status(writer: Writer, code: int, body: Any, more: str = "") -> None:
    is_json = not isinstance(body, str)
    text = json.dumps(body) if is_json else body
    said = getattr(writer, "said", CANARY)
    text = text.replace(CANARY, json.dumps(said)[1:-1] if is_json else said)
    await head(writer, f"{code} No", "application/json" if is_json else "text/html", more)
    await raw(writer, text)


def refusal(code: int, word: Any = None, *, message: str = CANARY, header: str = "", **more: Any) -> Scenario:
    """A status with the error object that OpenAI's servers send."""
    error = {"message": message, "type": "x", "code": word, "param": None, **more}
    return lambda writer: status(writer, code, {"error": error}, f"{header}\r\n" if header else "")


def body(code: int, value: Any, header: str = "") -> Scenario:
    return lambda writer: status(writer, code, value, f"{header}\r\n" if header else "")


def gzipped(text: str) -> Scenario:
    return stream_of(gzip.compress(text.encode()), "Content-Encoding: gzip\r\n")
