"""A reply that another process is writing: who joins late has its text from the beginning, and then as it grows."""

from __future__ import annotations

from tests.services.databases import PEOPLE

DONE = {"streaming": "false", "done": "true"}


async def test_it_goes_on_from_the_right_character_at_another_process(start_daphne, migrated_databases, redis_server):
    database_url = migrated_databases.create()
    key = {"SECRET_KEY": "k" * 20 + "abcdefghijklmnopqrstuvwxyz0123456789"}
    one = start_daphne(database_url, redis_url=redis_server.url, variables=key)
    two = start_daphne(database_url, redis_url=redis_server.url, variables=key)
    laptop = await one.sign_in(PEOPLE[0]).connect()
    phone = await two.sign_in(PEOPLE[0]).connect()
    await laptop.send(type="user_message", content="/fault slow", ref="r1")
    ack = await laptop.expect("ack", ref="r1")
    for _ in range(3):
        await laptop.expect("ai_response", reply_id=ack["reply_id"])

    await phone.send(type="resume", session_id=ack["session_id"], last_seq=0)
    await phone.expect("resumed")
    # The checkpoint has what was said until a second ago; what came since was held, or comes with the next one.
    first = await phone.expect("ai_response", reply_id=ack["reply_id"], timeout=5)
    assert first["offset"] == 0
    second = await phone.expect("ai_response", reply_id=ack["reply_id"], timeout=5)
    assert second["metadata"]["done"] == "false"

    end = await phone.expect("ai_response", reply_id=ack["reply_id"], metadata=DONE, timeout=20)
    text = ""
    for frame in phone.received:
        if frame["type"] == "ai_response":
            assert frame["offset"] <= len(text), f"a gap: {frame}"
            text = text[: frame["offset"]] + frame["content"]
    whole = "".join(frame["content"] for frame in laptop.received if frame["type"] == "ai_response")
    assert text == whole
    assert (end["content_length"], end["state"]) == (len(text), "complete")
    assert [frame["type"] for frame in phone.received if frame.get("reply_id") == ack["reply_id"]].count("loading") == 1
    for socket in (laptop, phone):
        await socket.close()
