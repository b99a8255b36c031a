"""A real HTTP server that speaks the OpenAI streaming format, and misbehaves on purpose.

The last paragraph of a request names the scenario (what follows " #" is only talk); anything else is answered well. It
has a thread and a loop of its own. What it can play is in `llm_scenarios`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Any

from tests.services.llm_scenarios import KEPT_ALIVE, SCENARIOS
from tests.services.llm_speech import CANARY, TEXT, Scenario, Writer, answer, status

__all__ = ["CANARY", "TEXT", "LlmServer", "Scenario"]


class LlmServer:
    """`with LlmServer() as server:` -- `server.url` is the base URL; `server.requests` are the bodies it got."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.asked = threading.Event()  # a request is here
        self.hung_up = threading.Event()  # the client closed while we were still writing
        self.connections = 0  # that were accepted
        self.port = 0
        self.failures_left = 0  # so many requests are played `failure` first
        self.failure: Scenario = lambda writer: status(writer, 500, {"error": {"message": CANARY}})
        self._open = 0
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._serving: set[asyncio.Task[Any] | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no client is connected."""
        return self._is_idle.wait(timeout)

    def forget(self) -> None:
        self.requests.clear()
        self.headers.clear()
        self.asked.clear()
        self.hung_up.clear()
        self.connections = self.failures_left = 0

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
            serving = [task for task in self._serving if task is not None]
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self._serving.add(asyncio.current_task())
        self.connections += 1
        self._open += 1
        self._is_idle.clear()
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a client may come and go
        except asyncio.CancelledError:
            pass  # the server is stopped: nobody awaits this task, and asyncio would print its end
        finally:
            self._serving.discard(asyncio.current_task())
            self._open -= 1
            if not self._open:
                self._is_idle.set()
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: Writer) -> bool:
        """Play one request's scenario, or as much of it as the client stays for. Return whether another may come."""
        if (start := await reader.readexactly(1)) == b"\x16":
            return False  # TLS, to a port that speaks none
        head = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        question = body["messages"][-1]["content"]
        # What a provider may put into its errors, and what nobody may read there.
        writer.said = f"{CANARY} {headers.get('authorization')} {question}"  # type: ignore[attr-defined]
        self.requests.append(body)
        self.headers.append(headers)
        self.asked.set()
        scenario = self._scenario(question.rpartition("\n\n")[2])  # earlier questions without an answer stand before it
        if self.failures_left:
            self.failures_left -= 1
            scenario = self.failure
        playing = asyncio.ensure_future(scenario(writer))
        client = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({playing, client}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
                return scenario in KEPT_ALIVE
            self.hung_up.set()
            return False
        except ConnectionError:
            self.hung_up.set()
            return False
        finally:
            for task in (playing, client):
                task.cancel()
            await asyncio.gather(playing, client, return_exceptions=True)

    def _scenario(self, name: str) -> Scenario:
        return SCENARIOS.get(name.partition(" #")[0], answer(f"You said: {name}. 😀 It works."))
