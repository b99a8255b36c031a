"""Real servers that are killed, ended, and cut off from their database."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import closing

import psycopg
import pytest

from tests.environment import database_kind
from tests.services.databases import PEOPLE
from tests.services.server import DaphneServer


async def test_a_reply_of_a_killed_server_is_ended_by_the_next_one(start_daphne):
    """kill -9 in mid-reply: the text up to the last checkpoint is kept and marked, and can be retried."""
    server = start_daphne(variables={"CHAT_LEASE_S": "2", "CHAT_CHECKPOINT_S": "0.1"})
    site = server.sign_in(PEOPLE[0])
    socket = await site.connect()
    await socket.send(type="user_message", content="/fault slow", ref="r1")
    ack = await socket.expect("ack", ref="r1")
    for _ in range(5):
        await socket.expect("ai_response", reply_id=ack["reply_id"])
    server.kill()
    assert await socket.closed() == 1006

    server.start()
    async with await site.connect() as socket:
        status = await socket.expect("connection_status")
        assert status["session_id"] == ack["session_id"]
        await socket.send(type="resume", session_id=ack["session_id"], last_seq=1)
        await socket.expect("resumed")
        frame = await socket.expect("error", reply_id=ack["reply_id"], timeout=10)
        assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")
        assert frame["content_length"] > 0
        await socket.send(type="retry", message_id=ack["message_id"], ref="r2")
        again = await socket.expect("ack", ref="r2")
        end = await socket.expect("ai_response", reply_id=again["reply_id"], state="complete", timeout=10)
        assert end["seq"] == 3
        # Sent again with the same ref, by a client that never saw the ack: still one message.
        await socket.send(type="user_message", content="/fault slow", ref="r1")
        assert (await socket.expect("ack", ref="r1"))["duplicate"] is True


async def test_sigterm_says_goodbye_keeps_the_text_and_exits(start_daphne):
    server = start_daphne()
    site = server.sign_in(PEOPLE[0])
    socket, idle = await site.connect(), await site.connect()
    await socket.send(type="user_message", content="/fault slow", ref="r1")
    ack = await socket.expect("ack", ref="r1")
    await socket.expect("ai_response", reply_id=ack["reply_id"])

    assert server.terminate() == 0

    for each in (socket, idle):
        assert (await each.expect("goodbye"))["reconnect_in"] > 0
        assert await each.closed() == 4000
    frame = await socket.expect("error", reply_id=ack["reply_id"])
    assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")

    server.start()
    status, body = site.get_json(f"/chat/sessions/{ack['session_id']}")
    assert status == 200
    assert [message["reply"]["error"]["reference"] for message in body["messages"]] == [frame["error"]["reference"]] * 2
    staff = server.sign_in("olivia")
    _, page = staff.get_text(f"/admin/errors/routingfailure/?q={frame['error']['reference']}")
    assert f">{frame['error']['reference']}<" in page


@pytest.mark.skipif(database_kind() != "sqlite", reason="holds SQLite's write lock")
async def test_a_locked_database_is_told_and_the_socket_lives(start_daphne, migrated_databases):
    """While another program holds the write lock a message is refused in time; then it is stored."""
    database_url = migrated_databases.create()
    server = start_daphne(database_url)
    async with await server.sign_in(PEOPLE[0]).connect() as socket:
        await socket.expect("connection_status")
        await socket.send(type="user_message", content="hello", ref="r0")
        await socket.expect("ai_response", state="complete", timeout=10)

        other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await socket.send(type="user_message", content="and now?", ref="r1")
        frame = await socket.expect("error", ref="r1", timeout=10)
        assert frame["error"]["code"] == "DATABASE_ERROR"
        assert frame["error"]["retry_after"] >= 1
        assert "locked" not in str(frame)
        await socket.send(type="ping", ref="p")
        await socket.expect("pong", ref="p")
        other.execute("ROLLBACK")
        other.close()

        await socket.send(type="user_message", content="and now?", ref="r1")
        assert (await socket.expect("ack", ref="r1", timeout=10))["seq"]
    reference = frame["error"]["reference"]
    assert len(server.await_log_lines(1, event="chat.routing_failed", reference=reference)) == 1


async def _pause_between_commits(server: DaphneServer, url: str, reply_id: str) -> None:
    """Stop it where it holds nothing that others need to end its reply; within a commit it would hold that for good."""
    for _ in range(50):
        server.pause()
        if await asyncio.to_thread(_is_free, url, reply_id):
            return
        server.resume()
        await asyncio.sleep(0.03)
    raise AssertionError("it holds the database all the time")


def _is_free(url: str, reply_id: str) -> bool:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True
    with psycopg.connect(url) as connection:
        held = "SELECT 1 FROM chat_reply WHERE id = %s FOR UPDATE SKIP LOCKED"
        return connection.execute(held, [reply_id]).fetchone() is not None


async def test_a_process_that_stood_still_fails_no_reply_that_another_has_ended(
    start_daphne, migrated_databases, redis_server
):
    """SIGSTOP for longer than the lease: the reply ends once, under one reference, with one line."""
    url = migrated_databases.create()
    variables = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "CHAT_LEASE_S": "1",
        "CHAT_CHECKPOINT_S": "0.2",
        "CHAT_NEXT_TOKEN_S": "2",
    }
    one, two = (start_daphne(url, redis_url=redis_server.url, variables=variables) for _ in range(2))
    laptop = await one.sign_in(PEOPLE[0]).connect()
    phone = await two.sign_in(PEOPLE[0]).connect()
    await laptop.send(type="user_message", content="/fault slow", ref="r1")
    ack = await laptop.expect("ack", ref="r1")
    await laptop.expect("ai_response", reply_id=ack["reply_id"])
    await phone.send(type="resume", session_id=ack["session_id"], last_seq=0, ref="r2")
    await phone.expect("resumed", ref="r2")

    await _pause_between_commits(one, url, ack["reply_id"])
    told = await phone.expect("error", reply_id=ack["reply_id"], timeout=20)
    await asyncio.sleep(2.5)  # the time limit that the paused process must find over: no event marks it
    one.resume()
    await laptop.send(type="user_message", content="and now?", ref="r3", session_id=ack["session_id"])
    after = await laptop.expect("ack", ref="r3", timeout=10)
    await laptop.expect("ai_response", reply_id=after["reply_id"], state="complete", timeout=10)
    for socket in (laptop, phone):
        await socket.close()
    two.await_log_lines(1, event="chat.routing_failed")
    lines = [line for server in (one, two) for line in server.log_lines(event="chat.routing_failed")]
    assert [line["reference"] for line in lines] == [told["error"]["reference"]]
