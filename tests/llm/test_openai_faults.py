"""Every way in which a provider fails, over real HTTP, through the whole walk."""

from __future__ import annotations

import socket

import pytest

from chat.models import ChatMessage, Reply
from tests.llm.conftest import KEY
from tests.services.llm_server import CANARY, TEXT

# scenario: code, outcome, bounds of retry_after in milliseconds
FAULTS = {
    "401": ("LLM_UNAVAILABLE", "saved", None),
    "403": ("LLM_UNAVAILABLE", "saved", None),
    "400": ("LLM_UNAVAILABLE", "saved", None),
    "404": ("LLM_UNAVAILABLE", "saved", None),
    "too long": ("CONTEXT_TOO_LONG", "saved", None),
    "filtered request": ("LLM_REFUSED", "saved", None),
    "429 seconds": ("LLM_OVERLOADED", "saved", (7_000, 7_000)),
    "429 date": ("LLM_OVERLOADED", "saved", (600_000, 600_000)),
    "429 garbage": ("LLM_OVERLOADED", "saved", (1_000, 10_000)),
    "429 quota": ("LLM_UNAVAILABLE", "saved", None),
    "500": ("LLM_UNAVAILABLE", "saved", None),
    "503 page": ("LLM_UNAVAILABLE", "saved", None),
    "hang before headers": ("LLM_TIMEOUT", "saved", None),
    "hang midstream": ("REPLY_INTERRUPTED", "partial", None),
    "trickle": ("REPLY_INTERRUPTED", "partial", None),
    "reset": ("REPLY_INTERRUPTED", "partial", None),
    "reset at once": ("LLM_UNAVAILABLE", "saved", None),
    "clean end": ("REPLY_INTERRUPTED", "partial", None),
    "no stream": ("LLM_UNAVAILABLE", "saved", None),
    "bad json": ("REPLY_INTERRUPTED", "partial", None),
    "bad json at once": ("LLM_UNAVAILABLE", "saved", None),
    "huge line": ("REPLY_INTERRUPTED", "partial", None),
    "error event": ("REPLY_INTERRUPTED", "partial", None),
    "empty": ("LLM_UNAVAILABLE", "saved", None),
    "refusal": ("LLM_REFUSED", "saved", None),
    "content filter": ("LLM_REFUSED", "partial", None),
    "length": ("REPLY_INTERRUPTED", "partial", None),
}


@pytest.mark.parametrize("scenario", list(FAULTS))
async def test_a_fault_is_told_once_by_its_code(alice, use_provider, llm_server, failures, scenario):
    """One terminal frame, the text so far kept, nothing of the provider's body in it; the next message is answered."""
    code, outcome, retry_after = FAULTS[scenario]
    use_provider(first_token_s=1.0, next_token_s=0.5, total_s=2.0)
    device = await alice.connect()
    ack = await device.say(scenario, ref="r1")
    frame = await device.expect("error", reply_id=ack["reply_id"], timeout=10)
    error = frame["error"]
    assert (error["code"], error["outcome"]) == (code, outcome)
    if retry_after is None:
        assert "retry_after" not in error
    else:
        assert retry_after[0] <= error["retry_after"] <= retry_after[1]
    assert CANARY not in str(frame)

    kept = [message async for message in ChatMessage.objects.filter(sender="ai")]
    assert [bool(message.content) for message in kept] == [True] * (outcome == "partial")
    if outcome == "partial" and scenario != "trickle":
        assert (kept[0].content, frame["content_length"]) == (TEXT, len(TEXT))
    assert (await Reply.objects.aget(pk=ack["reply_id"])).state == ("partial" if outcome == "partial" else "failed")
    (row,) = await failures()
    assert (row.code, row.stage, row.deliveries) == (code, "reply", 1)
    assert KEY not in f"{row.causes}{row.traceback}{row.cause}"

    again = await device.say("hello", ref="r2", session_id=ack["session_id"])
    assert "You said: hello" in await device.answer(again["reply_id"])
    assert "error" not in [frame["type"] for frame in await device.rest()]
    await device.close()


async def test_nobody_listens_there(alice, use_provider, failures):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        use_provider(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1", first_token_s=2.0)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        frame = await device.expect("error", reply_id=ack["reply_id"], timeout=10)
    assert frame["error"]["code"] == "LLM_UNAVAILABLE"
    (row,) = await failures()
    assert "Connect" in str(row.causes)


async def test_what_no_database_can_hold_is_left_out(alice, use_provider):
    use_provider()
    device = await alice.connect()
    ack = await device.say("odd characters", ref="r1")
    assert await device.answer(ack["reply_id"]) == f"{TEXT}ab? c"


async def test_a_server_that_hangs_after_the_end_has_answered(alice, use_provider):
    use_provider(next_token_s=5.0)
    device = await alice.connect()
    ack = await device.say("hang after the end", ref="r1")
    assert await device.answer(ack["reply_id"], timeout=4) == TEXT


async def test_a_negative_token_count_is_our_bug_report_not_an_answer_lost(alice, use_provider, failures):
    use_provider()
    device = await alice.connect()
    ack = await device.say("negative usage", ref="r1")
    assert await device.answer(ack["reply_id"]) == TEXT
    assert (await Reply.objects.aget(pk=ack["reply_id"])).completion_tokens is None
    assert await failures() == []
