"""A person's devices hear of what happens in sessions that they do not show."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])
async def test_a_session_that_becomes_the_newest_one_is_told_to_every_device(alice, configure, local_delivery):
    configure(local_delivery=local_delivery)
    laptop, phone = await alice.connect(), await alice.connect()
    first = await laptop.say("apples", ref="r1")
    await phone.expect("notification", metadata={"event": "session_updated", "title": "apples"})
    await phone.expect("notification", session_id=first["session_id"], metadata={"event": "session_active"})

    second = await laptop.say("pears", ref="r2")
    await laptop.say("more apples", ref="r3", session_id=first["session_id"])
    told = await phone.expect("notification", session_id=first["session_id"])
    assert told["metadata"] == {"event": "session_active", "others": True}
    titled = {"event": "session_updated", "title": "pears"}
    await phone.expect("notification", session_id=second["session_id"], metadata=titled)


async def test_a_session_that_is_the_newest_one_already_is_not_told_again(alice):
    laptop, phone = await alice.connect(), await alice.connect()
    first = await laptop.say("apples", ref="r1")
    await phone.expect("notification", metadata={"event": "session_active"})
    await laptop.say("more apples", ref="r2", session_id=first["session_id"])
    second = await laptop.say("pears", ref="r3")
    told = await phone.expect("notification", metadata={"event": "session_active"})
    assert told["session_id"] == second["session_id"]
    assert "session_active" not in str(await phone.rest())


async def test_another_model_is_told_to_every_device_and_to_nobody_else(alice, bob):
    laptop, phone, stranger = await alice.connect(), await alice.connect(), await bob.connect()
    session_id = (await laptop.say("apples", ref="r1"))["session_id"]
    await laptop.send("model_select", session_id=session_id, model_id="demo-brief", ref="r2")
    await laptop.expect("ack", ref="r2")
    told = await phone.expect("notification", metadata={"event": "session_updated", "model_id": "demo-brief"})
    assert told["session_id"] == session_id
    assert await stranger.rest() == []
