"""Answers in every odd form that servers give them are whole answers; and the provider is never asked after a word."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from chat.llm import registry
from chat.llm.base import ReplyRequest, Turn
from tests.services.llm_scenarios import ANSWERS, SCENARIOS
from tests.services.llm_server import TEXT
from tests.services.llm_speech import CANARY, chunk, event, events, refusal
from tests.waiting import in_time

OTHER_TEXTS = {
    "byte by byte": "😀 é ",
    "unescaped": "😀 é ",
    "odd content": f"{TEXT}So. ",
    "odd characters": f"{TEXT}a\x00b\ud83d c",  # the reply leaves out what no database can hold
}
COUNTED = {"kept alive", "comments", "event lines", "crlf", "cr", "no space", "byte by byte", "usage first"} | {
    *("usage always", "usage with the end", "gzip", "deflate", "hang after DONE")
}


@pytest.mark.parametrize("scenario", list(ANSWERS))
async def test_a_whole_answer_is_told_whole(ask, llm_server, scenario):
    asked = await ask(scenario, total_s=4.0)
    assert (asked.error, asked.text) == (None, OTHER_TEXTS.get(scenario, TEXT))
    assert len(llm_server.requests) == 1
    counts = [(usage.prompt_tokens, usage.completion_tokens) for usage in asked.usage]
    assert counts[-1:] == ([(11, 7)] if scenario in COUNTED else [])
    assert await asyncio.to_thread(llm_server.wait_idle, 2), "the provider's connection was left open"


async def test_thinking_is_a_sign_of_life(ask, monkeypatch):
    """Before the first word a model may think for as long as it says so."""

    async def thinks(writer):
        await events()(writer)
        for _ in range(8):
            await event(writer, chunk(reasoning_content="hm"))
            await asyncio.sleep(0.1)
        await event(writer, chunk(TEXT, "stop"))

    monkeypatch.setitem(SCENARIOS, "thinks", thinks)
    asked = await ask("thinks", first_token_s=0.5)
    assert (asked.error, asked.text) == (None, TEXT)


MOMENTARY = {
    "500": refusal(500),
    "reset": SCENARIOS["reset at once"],
    "event": SCENARIOS["error event at once"],
    "nothing yet": events(chunk(role="assistant"), then=SCENARIOS["reset at once"]),
}
AFTER_A_WORD = ("reset", "error event", "bad json", "clean end", "hang midstream", "length", "chunked without end")


@pytest.mark.parametrize(
    ("failure", "failures", "ending"),
    [
        (failure, failures, ending)
        for (failure, failures), ending in zip(
            itertools.product(MOMENTARY, (0, 1, 2)),
            itertools.cycle(AFTER_A_WORD),
            strict=False,
        )
    ],
)
async def test_nobody_is_asked_again_after_a_word(
    ask, use_provider, llm_server, monkeypatch, failure, failures, ending
):
    """Whatever failed before and whatever ends it: one request more than the failures, and no word twice."""
    forget = llm_server.forget

    def forget_and_fail() -> None:
        forget()
        llm_server.failures_left = failures

    monkeypatch.setattr(llm_server, "forget", forget_and_fail)
    monkeypatch.setattr(llm_server, "failure", MOMENTARY[failure])
    asked = await ask(ending, first_token_s=8.0, total_s=9.0)
    assert asked.text == TEXT
    assert asked.error is not None
    assert asked.error.spec.code == "REPLY_INTERRUPTED"
    assert len(llm_server.requests) == failures + 1


async def test_a_retry_waits_as_long_as_the_server_asks(ask, llm_server, monkeypatch):
    """`Retry-After` is honoured where the first word's time has room for it."""
    monkeypatch.setitem(SCENARIOS, "in a second", refusal(429, header="Retry-After: 1"))
    began = asyncio.get_running_loop().time()
    asked = await ask("in a second", first_token_s=5.0, total_s=9.0)
    took_s = asyncio.get_running_loop().time() - began
    assert asked.error is not None
    assert len(llm_server.requests) == 3
    assert took_s >= 2.0
    in_time(took_s, 2.5 + 1.0, "two pauses of a second")


async def test_what_is_past_the_budget_is_not_waited_for(ask, llm_server, monkeypatch):
    monkeypatch.setitem(SCENARIOS, "in a second", refusal(429, header="Retry-After: 1"))
    asked = await ask("in a second", first_token_s=1.9)
    assert asked.error is not None
    assert asked.error.retry_after_ms == 1_000
    assert len(llm_server.requests) == 1


class TestConnection:
    async def test_it_is_used_again(self, ask, llm_server, use_provider):
        use_provider()
        choice = registry.load()
        for _ in range(3):
            request = ReplyRequest("real", (Turn("user", "kept alive"),))
            pieces = [piece async for piece in choice.stream(request)]
            assert "".join(piece for piece in pieces if isinstance(piece, str)) == TEXT
        assert (len(llm_server.requests), llm_server.connections) == (3, 1)
        await choice.aclose()
        assert await asyncio.to_thread(llm_server.wait_idle, 1)

    @pytest.mark.parametrize("scenario", ["hang before headers", "hang after headers", "hang midstream", "trickle"])
    async def test_whoever_stops_hangs_up_at_once(self, ask, llm_server, scenario):
        llm_server.forget()
        asking = asyncio.create_task(ask(scenario, first_token_s=60.0, next_token_s=60.0, total_s=60.0))
        assert await asyncio.to_thread(llm_server.asked.wait, 5)
        asking.cancel()
        assert await asyncio.to_thread(llm_server.hung_up.wait, 1)
        assert await asyncio.to_thread(llm_server.wait_idle, 1)
        await asyncio.gather(asking, return_exceptions=True)

    async def test_only_what_the_settings_say_is_sent(self, ask, llm_server, monkeypatch):
        """No organisation, project or proxy from the environment; without a key no Authorization."""
        for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
            monkeypatch.setenv(name, CANARY)
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        asked = await ask("comments", api_key_env="")
        assert asked.error is None
        (headers,) = llm_server.headers
        assert "authorization" not in headers
        assert CANARY not in str(headers)
        assert headers["accept-encoding"] == "identity"

    async def test_a_newer_model_gets_the_longer_word(self, ask, llm_server):
        await ask("comments", max_tokens=9, max_tokens_field="max_completion_tokens")
        assert llm_server.requests[0]["max_completion_tokens"] == 9
        assert "max_tokens" not in llm_server.requests[0]
