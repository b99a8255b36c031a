"""SIGTERM on real servers: nobody sees 1006, what was said is kept, and the process is gone within ten seconds."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.environment import database_kind
from tests.services.databases import FILL, PEOPLE, run_manage, server_environment
from tests.waiting import in_time

LIMIT_S = 10.0
ROOT = Path(__file__).parents[2]
MANY = 150


@contextlib.asynccontextmanager
async def ending(server, expected=0):
    """SIGTERM, and after the block the exit, which must come in time."""
    began = time.monotonic()
    server.send_signal(signal.SIGTERM)
    yield
    code = await asyncio.to_thread(server.wait, LIMIT_S + 2)
    in_time(time.monotonic() - began, LIMIT_S, "going down")
    assert code == expected, server.output()[-2000:]


async def test_a_reply_that_is_nearly_done_is_finished(start_daphne):
    """Who waits for nothing is closed at once; who waits for an answer gets it whole, and is closed then."""
    server = start_daphne()
    site = server.sign_in(PEOPLE[0])
    busy, idle = await site.connect(), await site.connect()
    await busy.send(type="user_message", content="/fault nothing", ref="r1")
    ack = await busy.expect("ack", ref="r1")
    await busy.expect("ai_response", reply_id=ack["reply_id"])
    async with ending(server):
        assert (await idle.expect("goodbye"))["reconnect_in"] > 0
        assert await idle.closed() == 4000
        end = await busy.expect("ai_response", reply_id=ack["reply_id"], state="complete")
        assert end["seq"] == 2
        assert await busy.closed() == 4000


async def test_what_comes_while_it_goes_down(start_daphne):
    """A message is refused with a time and not stored, a new socket is sent away, HTTP is told 503, health says so."""
    server = start_daphne()
    site = server.sign_in(PEOPLE[0])
    busy = await site.connect()
    await busy.send(type="user_message", content="/fault slow", ref="r1")
    ack = await busy.expect("ack", ref="r1")
    await busy.expect("ai_response", reply_id=ack["reply_id"])
    async with ending(server):
        await busy.expect("goodbye")
        await busy.send(type="user_message", content="one more", ref="r2", session_id=ack["session_id"])
        error = (await busy.expect("error", ref="r2"))["error"]
        assert (error["code"], error["outcome"]) == ("SERVER_BUSY", "rejected")
        assert error["retry_after"] >= 1
        async with await site.connect() as late:
            await late.expect("goodbye")
            assert await late.closed() == 4000
        assert (await asyncio.to_thread(site.get_json, "/chat/sessions"))[0] == 503
        assert (await asyncio.to_thread(site.get_json, "/chat/sessions"))[1]["code"] == "SERVER_BUSY"
        status, body = await asyncio.to_thread(site.get_json, "/chat/readyz")
        assert (status, body["checks"]["server"]) == (503, "draining")
        assert (await asyncio.to_thread(site.get_json, "/chat/healthz"))[0] == 200
        interrupted = await busy.expect("error", reply_id=ack["reply_id"], timeout=8)
        assert interrupted["error"]["code"] == "REPLY_INTERRUPTED"
        assert interrupted["content_length"] > 0
        assert await busy.closed() == 4000
    server.start()
    _, body = site.get_json(f"/chat/sessions/{ack['session_id']}")
    assert [message["sender"] for message in body["messages"]] == ["user", "ai"]


async def test_many_connections_all_hear_it(start_daphne):
    server = start_daphne(variables={"CHAT_CONNECTIONS_PER_USER": str(MANY)})
    site = server.sign_in(PEOPLE[0])
    sockets = await asyncio.gather(*(site.connect() for _ in range(MANY)))
    async with ending(server):
        goodbyes = await asyncio.gather(*(socket.expect("goodbye", timeout=8) for socket in sockets))
        codes = await asyncio.gather(*(socket.closed(8) for socket in sockets))
    assert set(codes) == {4000}
    assert len({frame["reconnect_in"] for frame in goodbyes}) > MANY / 2


async def test_a_failure_in_the_last_moment_is_recorded(start_daphne):
    server = start_daphne()
    socket = await server.sign_in(PEOPLE[0]).connect()
    await socket.send_raw("{")
    reference = (await socket.expect("error"))["error"]["reference"]
    assert server.terminate() == 0
    server.start()
    _, page = server.sign_in("olivia").get_text(f"/admin/errors/routingfailure/?q={reference}")
    assert f">{reference}<" in page


async def test_a_thread_that_is_stuck_holds_nobody(start_daphne):
    """The person is told in time, the text is kept, and the process exits although the thread sleeps on."""
    server = start_daphne(variables={"CHAT_PROVIDER": "tests.faults.stuck.StuckBackend"})
    socket = await server.sign_in(PEOPLE[0]).connect()
    await socket.send(type="user_message", content="hello", ref="r1")
    ack = await socket.expect("ack", ref="r1")
    await socket.expect("ai_response", reply_id=ack["reply_id"])
    async with ending(server):
        frame = await socket.expect("error", reply_id=ack["reply_id"], timeout=8)
        assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")
        assert await socket.closed() == 4000


async def test_a_redis_that_hangs_holds_nobody(start_daphne, own_redis):
    server = start_daphne(redis_url=own_redis.url)
    socket = await server.sign_in(PEOPLE[0]).connect()
    await socket.expect("connection_status")
    own_redis.pause()
    try:
        async with ending(server):
            await socket.expect("goodbye")
            assert await socket.closed(8) == 4000
    finally:
        own_redis.resume()


@pytest.mark.skipif(database_kind() != "postgresql", reason="a hanging SQLite would be a hanging disk")
async def test_a_database_that_hangs_holds_nobody(start_daphne, own_postgres):
    """The reply's end cannot be stored; people are told all the same, and the next process ends the row."""
    environment = server_environment(own_postgres.url, CHAT_SINGLE_PROCESS="true")
    run_manage(["shell", "--no-imports", "--command", FILL], environment)
    server = start_daphne(own_postgres.url)
    socket = await server.sign_in(PEOPLE[0]).connect()
    await socket.send(type="user_message", content="/fault slow", ref="r1")
    ack = await socket.expect("ack", ref="r1")
    await socket.expect("ai_response", reply_id=ack["reply_id"])
    own_postgres.pause()
    try:
        async with ending(server):
            frame = await socket.expect("error", reply_id=ack["reply_id"], timeout=9)
            assert frame["error"]["code"] == "REPLY_INTERRUPTED"
            assert await socket.closed() == 4000
    finally:
        own_postgres.resume()


async def test_asked_twice_it_goes_at_once(start_daphne):
    server = start_daphne()
    socket = await server.sign_in(PEOPLE[0]).connect()
    await socket.send(type="user_message", content="/fault slow", ref="r1")
    await socket.expect("ack", ref="r1")
    server.send_signal(signal.SIGTERM)
    await socket.expect("goodbye")
    began = time.monotonic()
    assert await asyncio.to_thread(server.terminate) == 128 + signal.SIGTERM
    in_time(time.monotonic() - began, 1.0, "going down at the second signal")
    await socket.closed()


def test_a_log_that_nobody_reads_any_more_does_not_hold_the_exit(tmp_path):
    """Its last lines can never be written: the process ends all the same."""
    program = (
        "import logging, time\n"
        "from chat import shutdown\n"
        "for _ in range(3_000): logging.getLogger('chat').error('x' * 200)\n"
        "time.sleep(0.3)\n"  # the thread that writes them is stuck by now
        "print('full', flush=True)\n"
        "shutdown._exit_after(0, code=7)\n"
        "time.sleep(60)\n"
    )
    environment = server_environment(f"sqlite:///{tmp_path}/db.sqlite3")
    command = [sys.executable, "-c", f"import django; django.setup()\n{program}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    ) as process:
        try:
            assert process.stdout.readline() == b"full\n"
            assert process.wait(5) == 7
        finally:
            process.kill()
