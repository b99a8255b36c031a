"""What a limit of a reply is told, recorded and counted as."""

from __future__ import annotations

import asyncio

import pytest

from chat.llm.demo import DemoBackend


@pytest.fixture
def says(monkeypatch):
    """`says("a", 60, "b")`: the provider says "a", is silent for 60 seconds, says "b"."""

    def begin(*pieces: str | float) -> None:
        async def stream(backend, request):
            for piece in pieces:
                if isinstance(piece, str):
                    yield piece
                else:
                    await asyncio.sleep(piece)

        monkeypatch.setattr(DemoBackend, "stream", stream)

    return begin


async def test_each_limit_is_a_cause_of_its_own(alice, configure, failures, says):
    """Staff see one group of failures per cause: an endless answer is not a provider that hangs."""
    limits = {
        "NextTokenLate": ({"next_token_s": 0.1}, ("An answer", 60.0)),
        "TotalTimeOver": ({"reply_total_s": 0.3}, ("An answer", 60.0)),
        "ReplyTooLong": ({"max_reply_chars": 20}, ("An answer ",) * 5),
    }
    device = await alice.connect()
    for number, (settings, pieces) in enumerate(limits.values()):
        configure(**{"next_token_s": 30, "reply_total_s": 60, "max_reply_chars": 1_000, **settings})
        says(*pieces)
        ack = await device.say("hello", ref=f"r{number}")
        await device.expect_error("REPLY_INTERRUPTED", reply_id=ack["reply_id"])
    rows = await failures()
    assert [row.cause.partition(":")[0].rpartition(".")[2] for row in rows] == list(limits)
    assert len({row.fingerprint for row in rows}) == 3


async def test_a_provider_that_says_nothing_costs_no_allowance(alice, configure, says):
    configure(tokens_per_day=50, first_token_s=0.1)
    says(60.0)
    device = await alice.connect()
    for number in range(4):
        ack = await device.say("hello " * 20, ref=f"r{number}")
        await device.expect_error("LLM_TIMEOUT", reply_id=ack["reply_id"])
