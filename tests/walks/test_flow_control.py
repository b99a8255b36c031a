"""Bad clients against a real server: one that never reads, one that sends without end, one that sends rubbish."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services.client import SiteClient
from tests.services.databases import PEOPLE, MigratedDatabases
from tests.services.process import wait_until
from tests.services.raw_socket import RawSocket, fragments, ping_frame, text_frame
from tests.services.server import DaphneServer

MIB = 1024  # of the unit in which the kernel counts, kB
FLOOD_S = 2.0
LINE = "x" * 9_900
LIMITS = ("MESSAGES", "CONNECTION_FRAMES", "ADDRESS_MESSAGES", "HANDSHAKES")
UNLIMITED = {f"CHAT_{name}_PER_MINUTE": "1000000" for name in LIMITS}  # they would answer before the transport is felt


@pytest.fixture(scope="module")
def server(migrated_databases: MigratedDatabases) -> Iterator[DaphneServer]:
    variables = UNLIMITED | {"CHAT_REFUSED_PER_MINUTE": "100"}
    with DaphneServer(migrated_databases.create(), variables=variables) as started:
        site = started.sign_in(PEOPLE[2])
        with RawSocket(site) as warm:  # what is allocated once is no client's
            warm.receive()
            flood_for(warm, text_frame('{"type":"ping"}') * 500, 0.5)
        yield started


@pytest.fixture
def alice(server: DaphneServer) -> SiteClient:
    return server.sign_in(PEOPLE[0])


def memory_kb(server: DaphneServer) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@contextmanager
def peak_of(server: DaphneServer) -> Iterator[Callable[[], int]]:
    """The highest memory of the server meanwhile, in kB."""
    peak, is_over = [memory_kb(server)], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            peak.append(memory_kb(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(peak)
    finally:
        is_over.set()
        watcher.join()


def flood_for(client: RawSocket, data: bytes, seconds: float = FLOOD_S) -> int:
    return client.push_through(data, seconds)


async def session_without_answers(server: DaphneServer, site: SiteClient) -> str:
    async with await site.connect() as socket:
        await socket.send(type="user_message", content="hello", ref="r")
        session_id = str((await socket.expect("ack"))["session_id"])
        await socket.expect("ai_response", metadata={"streaming": "false", "done": "true"}, timeout=20)
    code = f"from chat.models import *; ChatSession.objects.filter(pk='{session_id}').update(assistant_enabled=False)"
    await asyncio.to_thread(server.manage, "shell", "--no-imports", "-c", code)
    return session_id


async def say_all(site: SiteClient, session_id: str, count: int) -> None:
    """Send so many lines, twenty at a time, and await every ack."""
    async with await site.connect() as socket:
        for begin in range(0, count, 20):
            refs = [f"line-{number}" for number in range(begin, min(begin + 20, count))]
            for ref in refs:
                await socket.send(type="user_message", content=LINE, ref=ref, session_id=session_id)
            for ref in refs:
                await socket.expect("ack", ref=ref, timeout=20)


def rows_until(client: RawSocket, last: int) -> list[int]:
    """Read the numbers of all messages up to this one, asking on wherever a page of `resume` ends."""
    seqs: list[int] = []
    while not seqs or seqs[-1] < last:
        frame = client.receive()
        assert isinstance(frame, dict), f"closed with {frame} after {seqs[-1:]}"
        if frame["type"] in {"user_message", "ai_response"}:
            seqs.append(frame["seq"])
    return seqs


async def test_who_never_reads_costs_little_and_has_everything_in_order_at_last(server, alice):
    """Twelve megabytes go to a session on whose other device nobody reads. It is held, and then repaired.

    The traffic alone, without the other device, takes the memory three or four megabytes up.
    """
    session_id = await session_without_answers(server, alice)
    with peak_of(server) as usual_kb:
        await say_all(alice, session_id, 200)
    with RawSocket(alice) as phone:
        phone.receive()
        phone.send(type="resume", session_id=session_id, last_seq=202)
        assert (await asyncio.to_thread(phone.receive))["type"] == "resumed"
        with peak_of(server) as high_kb:
            await say_all(alice, session_id, 200 + 1_200)  # of which 200 are known already
            assert high_kb() - usual_kb() < 6 * MIB
        seqs = await asyncio.to_thread(rows_until, phone, 1_402)
    assert seqs == list(range(203, 1_403))


async def test_who_sends_without_end_is_held_by_tcp_and_delays_nobody(server, alice):
    bob = server.sign_in(PEOPLE[1])
    session_id = await session_without_answers(server, bob)
    with RawSocket(alice) as flooding:
        flooding.receive()
        before_kb = memory_kb(server)
        with peak_of(server) as high_kb:
            flood = asyncio.create_task(asyncio.to_thread(flood_for, flooding, text_frame('{"type":"ping"}') * 2_000))
            async with await bob.connect() as socket:
                count = 0
                while not flood.done():
                    await socket.send(type="user_message", content="me too", ref=f"{count}", session_id=session_id)
                    await socket.expect("ack", ref=f"{count}", timeout=5)
                    count += 1
            assert count > 3
            assert high_kb() - before_kb < 3 * MIB
        assert await flood < 20_000_000


def test_who_asks_fast_and_reads_slowly_loses_no_answer(server, alice):
    """Two thousand requests at once are more than the outbox holds: they wait their turn."""
    with RawSocket(alice) as client:
        client.receive()
        for number in range(2_000):
            client.send(type="ping", ref=f"{number}")
        refs = [client.receive()["ref"] for _ in range(2_000)]
    assert refs == [f"{number}" for number in range(2_000)]


@pytest.mark.parametrize("seed", range(5))
def test_frames_are_read_however_they_are_cut_and_mixed(server, alice, seed):
    """Whole texts go past the server's parser, everything else through it: the order is that of the client."""
    choose = random.Random(seed)
    asked = [json.dumps({"type": "ping", "ref": f"r{number}"}) for number in range(60)]
    usual = [lambda text: text_frame(text, choose.randbytes(4)), text_frame]
    kinds = [*usual, lambda text: fragments(text, 7), lambda text: text_frame(text) + ping_frame(b"?")]
    sent = b"".join(choose.choice(kinds)(text) for text in asked)
    with RawSocket(alice) as client:
        client.receive()
        client.send_in_pieces(sent, [choose.randint(1, 90) for _ in range(40)])
        assert [client.receive()["ref"] for _ in asked] == [f"r{number}" for number in range(60)]


@pytest.mark.parametrize(
    "wrong",
    [
        bytes((0x81, 0x82)) + bytes(4) + b"\xc3\x28",  # no UTF-8
        bytes((0x81, 2)) + b"{}",  # not masked
        bytes((0xC1, 0x82)) + bytes(4) + b"{}",  # of an extension that nobody agreed on
    ],
)
def test_what_breaks_the_protocol_is_cut_off_by_the_server(server, alice, wrong):
    with RawSocket(alice) as client:
        client.receive()
        client.send_in_pieces(wrong, [])
        assert client.receive() == 1006


async def test_pings_that_nobody_reads_the_answers_of_cost_nothing(server, alice):
    with RawSocket(alice) as flooding:
        flooding.receive()
        before_kb = memory_kb(server)
        with peak_of(server) as high_kb:
            await asyncio.to_thread(flood_for, flooding, ping_frame(b"x" * 125) * 2_000)
            assert high_kb() - before_kb < 3 * MIB


async def test_rubbish_is_answered_then_refused_unseen_then_closed(server, alice):
    """A hundred wrong frames have their own answers, the next ones TOO_MANY_REQUESTS, then 4429. Others go on."""
    other = await alice.connect()
    with RawSocket(alice) as flooding:
        flooding.receive()
        for number in range(400):
            flooding.send(type="nonsense", ref=f"r{number}")
        answers: list[dict[str, Any]] = []
        while isinstance(frame := await asyncio.to_thread(flooding.receive), dict):
            answers.append(frame)
    assert frame == 4429
    codes = [answer["error"]["code"] for answer in answers]
    refused = codes.count("TOO_MANY_REQUESTS")
    assert codes == ["UNKNOWN_TYPE"] * (len(codes) - refused) + ["TOO_MANY_REQUESTS"] * refused
    assert len(codes) - refused >= 100
    assert 20 <= refused <= 60
    assert [answer["ref"] for answer in answers] == [f"r{number}" for number in range(len(answers))]
    assert all(answer["error"]["retry_after"] >= 1 for answer in answers if answer["error"]["code"] != "UNKNOWN_TYPE")
    await other.send(type="ping", ref="p")
    await other.expect("pong", ref="p")
    await other.close()


def test_who_leaves_the_outbox_full_is_closed(migrated_databases):
    """Its own answers fill the outbox: it is not read from any more, and after its time it is let go."""
    variables = UNLIMITED | {"CHAT_SLOW_CLIENT_S": "1", "CHAT_OUTBOX_SIZE": "16"}
    pings = text_frame(json.dumps({"type": "ping", "ref": "x" * 60})) * 500
    database_url = migrated_databases.create()
    with DaphneServer(database_url, variables=variables) as server, RawSocket(server.sign_in(PEOPLE[0])) as client:
        client.receive()
        flood_for(client, pings, 4 * FLOOD_S)  # the buffers of the system take a megabyte or two before it is felt
        wait_until(lambda: bool(server.log_lines(event="chat.slow_connection_closed")), "the client is let go", 10)
        while isinstance(frame := client.receive(), dict):
            pass
        assert frame in {4408, 1006}  # 1006: the close frame, too, was left unread for a second
