"""A provider's faults through the whole walk: one terminal frame, one record, nothing of the provider's in either."""

from __future__ import annotations

import asyncio

import pytest

from chat import runtime
from chat.llm.window import estimate
from chat.models import ChatMessage, Reply
from tests.llm.conftest import KEY, PRIVATE
from tests.services.llm_server import CANARY, TEXT

# A sample of `test_openai_faults`. scenario: code, outcome, retry_after in milliseconds
FAULTS = {
    "401": ("LLM_UNAVAILABLE", "saved", None),
    "429 seconds": ("LLM_OVERLOADED", "saved", 7_000),
    "429 quota": ("LLM_UNAVAILABLE", "saved", None),
    "503 page seconds": ("LLM_UNAVAILABLE", "saved", 7_000),
    "10 MiB error": ("LLM_UNAVAILABLE", "saved", None),
    "too long, vLLM": ("CONTEXT_TOO_LONG", "saved", None),
    "hang before headers": ("LLM_TIMEOUT", "saved", None),
    "hang midstream": ("REPLY_INTERRUPTED", "partial", None),
    "trickle": ("REPLY_INTERRUPTED", "partial", None),
    "reset": ("REPLY_INTERRUPTED", "partial", None),
    "clean end": ("REPLY_INTERRUPTED", "partial", None),
    "bad json": ("REPLY_INTERRUPTED", "partial", None),
    "huge event": ("REPLY_INTERRUPTED", "partial", None),
    "error event": ("REPLY_INTERRUPTED", "partial", None),
    "error event at once": ("LLM_UNAVAILABLE", "saved", None),
    "empty": ("LLM_UNAVAILABLE", "saved", None),
    "refusal": ("LLM_REFUSED", "saved", None),
    "content filter": ("LLM_REFUSED", "partial", None),
    "length": ("REPLY_INTERRUPTED", "partial", None),
}


@pytest.mark.parametrize("scenario", list(FAULTS))
async def test_a_fault_is_told_once_by_its_code(alice, use_provider, llm_server, failures, log_lines, scenario):
    """One terminal frame, the text so far kept, nothing of the provider's body in it; the next message is answered."""
    code, outcome, retry_after = FAULTS[scenario]
    use_provider(first_token_s=1.0, next_token_s=0.5, total_s=2.0)
    device = await alice.connect()
    ack = await device.say(f"{scenario} # {PRIVATE}", ref="r1")
    frame = await device.expect("error", reply_id=ack["reply_id"], timeout=10)
    error = frame["error"]
    assert (error["code"], error["outcome"], error.get("retry_after")) == (code, outcome, retry_after)
    assert CANARY not in str(frame)

    kept = [message async for message in ChatMessage.objects.filter(sender="ai")]
    assert [bool(message.content) for message in kept] == [True] * (outcome == "partial")
    if outcome == "partial" and scenario != "trickle":
        assert (kept[0].content, frame["content_length"]) == (TEXT, len(TEXT))
    assert (await Reply.objects.aget(pk=ack["reply_id"])).state == ("partial" if outcome == "partial" else "failed")
    (row,) = await failures()
    assert (row.code, row.stage, row.deliveries) == (code, "reply", 1)
    staff = f"{row.causes}{row.traceback}{row.cause}{log_lines}"
    assert KEY not in staff
    assert PRIVATE not in staff

    again = await device.say("hello", ref="r2", session_id=ack["session_id"])
    assert "You said: hello" in await device.answer(again["reply_id"])
    assert "error" not in [frame["type"] for frame in await device.rest()]
    assert await asyncio.to_thread(llm_server.wait_idle, 2)
    await device.close()


async def test_what_no_database_can_hold_is_left_out(alice, use_provider):
    use_provider()
    device = await alice.connect()
    ack = await device.say("odd characters", ref="r1")
    assert await device.answer(ack["reply_id"]) == f"{TEXT}ab? c"


async def test_a_token_count_that_makes_no_sense_loses_no_answer(alice, use_provider, failures):
    use_provider()
    device = await alice.connect()
    for number, scenario in enumerate(("negative usage", "usage beyond reason", "usage is words")):
        ack = await device.say(scenario, ref=f"r{number}")
        assert await device.answer(ack["reply_id"]) == TEXT
        reply = await Reply.objects.aget(pk=ack["reply_id"])
        assert reply.completion_tokens == estimate(TEXT)  # by our own count
    assert await failures() == []


async def test_a_model_that_thinks_first_answers(alice, use_provider):
    use_provider()
    device = await alice.connect()
    ack = await device.say("thinks first", ref="r1")
    assert await device.answer(ack["reply_id"]) == TEXT


async def test_the_end_of_the_server_closes_the_providers_connections(alice, use_provider, llm_server):
    use_provider()
    device = await alice.connect()
    ack = await device.say("kept alive", ref="r1")
    assert await device.answer(ack["reply_id"]) == TEXT
    assert not llm_server.wait_idle(0)
    await runtime.current().aclose()
    assert await asyncio.to_thread(llm_server.wait_idle, 1)
