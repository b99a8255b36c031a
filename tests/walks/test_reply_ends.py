"""The end of a reply while the database is away: told once, in time, and stored as it was told."""

from __future__ import annotations

import asyncio

from tests.chat.locks import nobody_else_writes


async def test_an_end_that_cannot_be_stored_is_told_once_and_stored_when_that_is_possible(alice, configure, failures):
    configure(end_patience_s=0.3, database_timeout_s=0.5)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    async with nobody_else_writes():
        told = await device.expect("error", reply_id=ack["reply_id"], timeout=15)
        assert told["error"]["code"] == "DATABASE_ERROR"
        assert "seq" not in told

    later = await alice.connect()
    async with asyncio.timeout(10):
        while True:
            await later.send("resume", session_id=ack["session_id"], last_seq=0, ref="look")
            await later.expect("resumed", ref="look")
            ends = [frame for frame in later.received if frame["type"] == "ai_response" and frame.get("seq") == 2]
            if ends:
                break
    assert ends[-1]["reply"]["error"]["reference"] == told["error"]["reference"]
    assert ends[-1]["state"] == "partial"
    assert [row.reference for row in await failures()] == [told["error"]["reference"]]
    await device.close()
    await later.close()
