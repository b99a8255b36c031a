"""What a provider loads is loaded with the server, on a thread: no reply's time pays for it, and nobody waits."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import types
from pathlib import Path

from chat.models import Reply
from chat.protocol import ModelInfo
from tests.waiting import in_time

ROOT = Path(__file__).resolve().parent.parent.parent
_LOADING_S = 2.0  # seconds

# A server process from its start to its first question, as far as imports go.
_PROCESS = """
import asyncio, json, sys, time
import django
django.setup()
from chat.llm import registry

async def main():
    choice = registry.load()
    before = "openai" in sys.modules
    asleep = []
    async def sleeper():
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            asleep.append(time.perf_counter() - began)
    other = asyncio.create_task(sleeper())
    await choice.warm_up()
    other.cancel()
    began = time.perf_counter()
    await choice.warm_up_for("m")
    again_ms = (time.perf_counter() - began) * 1000
    print(json.dumps([before, "openai" in sys.modules, len(asleep), again_ms]))

asyncio.run(main())
"""


def test_the_sdk_is_imported_at_start_beside_everything_else():
    env = {**os.environ, "LLM_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "m"}
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    before, after, turns, again_ms = json.loads(done.stdout)
    assert (before, after) == (False, True)
    assert turns > 3, "the event loop stood still while the SDK was imported"
    assert again_ms < 50


class _SlowToLoad:
    models = (ModelInfo(id="slow", name="Slow"),)
    loaded: asyncio.Event | None = None

    async def warm_up(self):
        if self.loaded is None:
            self.loaded = asyncio.Event()
            asyncio.get_running_loop().call_later(_LOADING_S, self.loaded.set)
        await self.loaded.wait()

    async def stream(self, request):
        await self.warm_up()
        yield "at last"


async def test_a_replys_time_begins_when_its_provider_is_loaded(alice, configure, monkeypatch):
    """Neither the first word's limit nor the figures count what is loaded once."""
    module = types.ModuleType("slow_providers")
    module.SlowToLoad = _SlowToLoad
    monkeypatch.setitem(sys.modules, "slow_providers", module)
    configure(provider="slow_providers.SlowToLoad", first_token_s=_LOADING_S / 2)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    assert await device.answer(ack["reply_id"]) == "at last"
    reply = await Reply.objects.aget(pk=ack["reply_id"])
    in_time(reply.total_ms / 1000, _LOADING_S / 2, "the reply without the loading")
