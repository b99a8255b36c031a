"""Redis or PostgreSQL go away, or hang: no socket closes, people are answered in time, and it heals quickly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.services.databases import PEOPLE, MigratedDatabases
from tests.services.postgres import PostgresServer
from tests.services.process import wait_until
from tests.services.redis import RedisServer
from tests.services.server import DaphneServer
from tests.services.websocket import Frame, SocketClient
from tests.waiting import in_time

OUTAGE_S = 3.0  # long enough for every time limit on the way to pass; `make soak` has ten seconds
LIMIT_S = 2.5  # seconds in which a send is answered while the database is away: CHAT_DATABASE_TIMEOUT_S
LOAD_S = 0.5  # seconds for a busy machine


class Talker:
    """One open socket that sends one message after another, and notes how long each answer took."""

    def __init__(self, socket: SocketClient, session_id: str) -> None:
        self.socket = socket
        self.session_id = session_id
        self._numbers = itertools.count(1)
        self.waits_s: list[float] = []

    async def say(self) -> Frame:
        """The one frame that answers a new message."""
        ref = f"{id(self)}-{next(self._numbers)}"
        began = time.monotonic()
        await self.socket.send(type="user_message", ref=ref, session_id=self.session_id, content="still there?")
        frame = await self.socket.expect_where(
            lambda frame: frame.get("ref") == ref and frame["type"] in ("ack", "error"), f"answer to {ref}", 10
        )
        self.waits_s.append(time.monotonic() - began)
        return frame

    async def say_until(self, is_over: Callable[[], bool]) -> list[Frame]:
        answers = []
        while not is_over():
            answers.append(await self.say())
            await asyncio.sleep(0.1)
        return answers


async def begin(server: DaphneServer, name: str) -> Talker:
    socket = await server.sign_in(name).connect()
    await socket.send(type="user_message", ref="first", content="hello")
    ack = await socket.expect("ack", ref="first")
    await socket.expect("ai_response", reply_id=ack["reply_id"], state="complete", timeout=10)
    return Talker(socket, ack["session_id"])


@pytest.fixture
def key() -> dict[str, str]:
    """What two processes of one deployment share; limits that these tests do not meet."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "CHAT_MESSAGES_PER_MINUTE": "10000",
        "CHAT_CONNECTION_FRAMES_PER_MINUTE": "10000",
        "CHAT_MAX_RUNNING_REPLIES": "100",
        "CHAT_HEARTBEAT_S": "60",  # nothing but the layer tells the other process
    }


@pytest.fixture
def server_on_postgres(own_postgres: PostgresServer, key: dict[str, str]) -> Iterator[DaphneServer]:
    """A server on the test's own PostgreSQL, whatever database the run is on: once is enough."""
    databases = MigratedDatabases(own_postgres.url)
    with DaphneServer(databases.create(), variables=key) as server:
        yield server
    databases.close()


async def test_without_redis_sockets_stay_and_messages_are_acknowledged(
    start_daphne, migrated_databases, own_redis: RedisServer, key
) -> None:
    """Killed, then hung. Once it is back, the other process hears of the next message within 2 s."""
    url = migrated_databases.create()
    one, two = (start_daphne(url, redis_url=own_redis.url, variables=key) for _ in range(2))
    laptop = await begin(one, PEOPLE[0])
    phone = await two.sign_in(PEOPLE[0]).connect()
    await phone.send(type="resume", session_id=laptop.session_id, last_seq=0, ref="join")
    await phone.expect("resumed", ref="join")
    heard = await laptop.say()
    await phone.expect("user_message", message_id=heard["message_id"])

    for go_away, come_back in ((own_redis.kill, own_redis.start), (own_redis.pause, own_redis.resume)):
        await asyncio.to_thread(go_away)
        over = time.monotonic() + OUTAGE_S
        answers = await laptop.say_until(lambda over=over: time.monotonic() > over)
        assert {answer["type"] for answer in answers} == {"ack"}
        in_time(max(laptop.waits_s), 1 + LOAD_S, "an ack while Redis is away")

        await asyncio.to_thread(come_back)
        back = time.monotonic()
        last = await laptop.say()
        while not any(frame.get("message_id") == last["message_id"] for frame in phone.received):
            in_time(time.monotonic() - back, 2 + LOAD_S, "being heard by the other process again")
            last = await laptop.say()
            with contextlib.suppress(AssertionError):
                await phone.expect("user_message", message_id=last["message_id"], timeout=0.1)
    for socket in (laptop.socket, phone):
        assert socket.connection.close_code is None
        await socket.close()


async def test_without_postgresql_everybody_is_told_in_time(
    server_on_postgres: DaphneServer, own_postgres: PostgresServer
) -> None:
    """Stopped, then hung. The first message is acknowledged within 1 s of its return."""
    talkers = [await begin(server_on_postgres, name) for name in PEOPLE]
    for go_away, come_back in ((own_postgres.shut_down, own_postgres.start), (own_postgres.pause, own_postgres.resume)):
        for talker in talkers:
            talker.waits_s.clear()
        await asyncio.to_thread(go_away)
        over = time.monotonic() + OUTAGE_S
        said = (talker.say_until(lambda over=over: time.monotonic() > over) for talker in talkers)
        answers = [answer for each in await asyncio.gather(*said) for answer in each]
        assert {answer["error"]["category"] for answer in answers} == {"service"}
        slowest_s = max(wait_s for talker in talkers for wait_s in talker.waits_s)
        in_time(slowest_s, LIMIT_S + LOAD_S, "an answer while PostgreSQL is away")

        await asyncio.to_thread(come_back)
        back = time.monotonic()
        while (await talkers[0].say())["type"] != "ack":
            in_time(time.monotonic() - back, 1 + LOAD_S, "the first ack after the return")
        in_time(time.monotonic() - back, 1 + LOAD_S, "the first ack after the return")
    for talker in talkers:
        assert talker.socket.connection.close_code is None
        await talker.socket.close()


async def test_while_postgresql_only_reads_answers_and_records_wait(
    server_on_postgres: DaphneServer, own_postgres: PostgresServer
) -> None:
    """As for the time of a failover: what is said is refused with its record, and a reply's end is stored later."""
    talker = await begin(server_on_postgres, PEOPLE[0])
    await talker.socket.send(type="user_message", ref="long", session_id=talker.session_id, content="hello again")
    ack = await talker.socket.expect("ack", ref="long")
    await asyncio.to_thread(let_write, own_postgres, False)
    over = time.monotonic() + OUTAGE_S  # the reply has all its text before that
    refused = [answer["error"] for answer in await talker.say_until(lambda: time.monotonic() > over)]
    assert {(error["code"], error["outcome"]) for error in refused} == {("DATABASE_ERROR", "rejected")}
    await asyncio.to_thread(let_write, own_postgres, True)
    end = await talker.socket.expect_where(
        lambda frame: frame.get("reply_id") == ack["reply_id"] and frame.keys() & {"state", "error"}, "its end", 10
    )
    assert end.get("state") == "complete"
    references = [error["reference"] for error in refused]
    query = "SELECT count(*) FROM errors_routingfailure WHERE reference = ANY(%s)"
    with psycopg.connect(server_on_postgres.database_url, autocommit=True) as connection:
        until = time.monotonic() + 5
        while connection.execute(query, [references]).fetchone() != (len(references),):
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    await talker.socket.close()


def let_write(server: PostgresServer, may_write: bool) -> None:
    """Change the setting, and wait until it holds for every connection."""
    read_only = "off" if may_write else "on"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {read_only}")
        connection.execute("SELECT pg_reload_conf()")

    def is_read() -> bool:
        # The postmaster tells all its processes before it makes a new one, and each looks before its next statement.
        with psycopg.connect(server.url, autocommit=True) as connection:
            return connection.execute("SHOW default_transaction_read_only").fetchone() == (read_only,)

    wait_until(is_read, "PostgreSQL has read its settings", 10)


async def test_after_a_restart_of_postgresql_the_first_requests_do_not_fail(
    server_on_postgres: DaphneServer, own_postgres: PostgresServer
) -> None:
    """The pool has kept connections that are broken by then."""
    site = await asyncio.to_thread(server_on_postgres.sign_in, PEOPLE[0])
    for _ in range(2):
        assert (await asyncio.to_thread(site.get_json, "/chat/sessions"))[0] == 200
    await asyncio.to_thread(own_postgres.restart)
    assert [(await asyncio.to_thread(site.get_json, "/chat/sessions"))[0] for _ in range(3)] == [200] * 3
