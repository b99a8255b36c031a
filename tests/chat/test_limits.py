"""The limits themselves: windows, addresses behind proxies, portions of a shared limit, leases of connections."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat import addresses, conf, connection_leases, flood, limits
from chat.connection_leases import ConnectionLeases
from chat.flood import RefusalLimit
from chat.limits import Limits, Window
from chat.redis_gate import RedisGate
from errors.exceptions import ChatError
from tests.waiting import in_time, until


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(value=1_000.0)
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now.value, time=lambda: now.value))
    return now


def _refused(window, limit) -> float:
    """The seconds to wait."""
    with pytest.raises(ChatError) as refused:
        window.take(limit)
    return refused.value.retry_after_ms / 1000


class TestWindow:
    def test_the_wait_that_it_tells_is_enough_and_not_too_long(self, clock):
        window = Window()
        for _ in range(60):
            window.take(60)
            clock.value += 0.5
        wait_s = _refused(window, 60)
        clock.value += wait_s - 0.2
        assert 0 < _refused(window, 60) <= 0.201
        clock.value += 0.201
        window.take(60)

    def test_no_minute_holds_many_more_than_the_limit(self, clock):
        """The edge of a window cannot be used to do twice as much."""
        window, done = Window(), []
        for _ in range(3_000):
            clock.value += 0.1
            try:
                window.take(60)
            except ChatError:
                continue
            done.append(clock.value)
        busiest = max(sum(1 for other in done if at <= other < at + 60) for at in done)
        assert 58 <= busiest <= 72

    def test_a_limit_of_one(self, clock):
        window = Window()
        window.take(1)
        clock.value += _refused(window, 1)
        window.take(1)

    def test_a_long_pause_forgets(self, clock):
        window = Window()
        for _ in range(10):
            window.take(10)
        clock.value += 121
        assert window.is_over
        for _ in range(10):
            window.take(10)


class TestMemory:
    async def test_windows_of_who_left_are_forgotten(self, clock):
        counted = Limits(RedisGate(""))
        held = counted.window("user", "alice")
        held.take(1)
        for number in range(1_000):
            counted.window("user", f"{number}")
        clock.value += 121
        counted.window("user", "bob")
        assert len(counted._recent) == 1
        assert counted.window("user", "alice") is held  # a connection of hers counts on it

    async def test_who_stayed_connected_in_silence_may_connect_once_more(self, clock):
        counted = Limits(RedisGate(""))
        held = counted.window("user", "alice")
        clock.value += 121
        assert counted.window("user", "alice") is held

    async def test_who_was_silent_then_used_it_up_and_comes_back_has_used_it_up(self, clock):
        counted = Limits(RedisGate(""))
        held = counted.window("user", "alice")
        clock.value += 121
        counted.window("user", "bob")
        await counted.take(held, 1)
        del held  # her last connection closes
        with pytest.raises(ChatError):
            await counted.take(counted.window("user", "alice"), 1)

    async def test_many_names_push_out_nobody_who_is_connected(self, monkeypatch):
        monkeypatch.setattr(limits, "_MAX_WINDOWS", 10)
        counted = Limits(RedisGate(""))
        held = counted.window("user", "alice")
        held.take(1)
        for number in range(100):
            counted.window("user", f"{number}")
        assert len(counted._recent) == 10
        with pytest.raises(ChatError):
            counted.window("user", "alice").take(1)


class TestRefusals:
    @pytest.fixture
    def begin(self, clock, monkeypatch):
        """A connection of a person, sixty of whose frames may be refused in a minute."""
        monkeypatch.setattr(flood, "time", limits.time)
        counted = Limits(RedisGate(""))
        return lambda person, per_minute=60: RefusalLimit(per_minute, counted, person)

    def test_the_wait_that_it_tells_is_enough_and_not_too_long(self, clock, begin):
        limit = begin("alice")
        for _ in range(60):
            limit.count()
        with pytest.raises(ChatError) as refused:
            limit.check()
        limit.count()
        wait_s = refused.value.retry_after_ms / 1000
        clock.value += wait_s - 0.1
        with pytest.raises(ChatError):
            limit.check()
        clock.value += 0.1
        limit.check()

    def test_a_connection_begins_with_what_the_last_ones_left(self, clock, begin):
        first, open_already = begin("alice"), begin("alice")
        for _ in range(60):
            first.count()
        with pytest.raises(ChatError):
            begin("alice").check()
        open_already.check()
        begin("bob").check()
        clock.value += 90  # half of them count now
        begin("alice").check()

    def test_a_flood_ends_soon_on_a_connection_that_comes_back(self, begin):
        def count_until_closed(limit: RefusalLimit) -> int:
            for number in range(1, 200):
                limit.count()
                if limit.is_flood:
                    return number
            raise AssertionError("it goes on and on")

        assert [count_until_closed(begin("alice")) for _ in range(3)] == [75, 40, 40]

    def test_one_slip_elsewhere_leaves_a_person_nearly_all(self, begin):
        begin("alice", 600).count()
        later = begin("alice", 600)
        for _ in range(700):
            later.count()
        assert not later.is_flood

    def test_who_does_nothing_wrong_is_not_remembered(self, begin):
        limit = begin("alice")
        limit.check()
        assert not limit._limits._recent


PROXY, CLIENT = "10.0.0.7", "93.184.216.34"


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        (CLIENT, [], (), CLIENT),
        (CLIENT, ["1.1.1.1"], (), CLIENT),  # anybody can write the header
        ("127.0.0.1", [], (), None),
        (PROXY, [CLIENT], (), None),  # a proxy that nobody told us of
        (PROXY, [CLIENT], (PROXY,), CLIENT),
        (PROXY, [f"1.1.1.1, {CLIENT}"], (PROXY,), CLIENT),  # the left end is the client's own
        (PROXY, ["1.1.1.1", CLIENT], (PROXY,), CLIENT),
        (PROXY, [f"{CLIENT}, 10.0.0.9"], ("10.0.0.0/24",), CLIENT),  # two proxies
        (PROXY, [f"{CLIENT}:4711"], (PROXY,), CLIENT),
        (PROXY, ["[2606:2800:220:1::1]:4711"], (PROXY,), "2606:2800:220:1::/64"),
        (PROXY, [], (PROXY,), PROXY),
        (PROXY, ["nonsense"], (PROXY,), PROXY),
        (PROXY, [f"{CLIENT}, nonsense"], (PROXY,), PROXY),
        ("2606:2800:220:1:248:1893:25c8:1946", [], (), "2606:2800:220:1::/64"),
        ("::ffff:93.184.216.34", [], (), CLIENT),
        (None, [CLIENT], ("127.0.0.1",), CLIENT),  # a Unix socket
        (None, [], (), None),
    ],
)
def test_from_where_a_connection_comes(configure, peer, forwarded, trusted, found):
    configure(trusted_proxies=trusted)
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    scope = {"client": None if peer is None else [peer, 4711], "headers": headers}
    assert addresses.of(scope) == found


def test_a_proxy_that_is_no_address_refuses_to_start(configure):
    configure(trusted_proxies=("nginx",))
    with pytest.raises(ImproperlyConfigured, match=r"trusted_proxies.*'nginx'"):
        conf.chat()


class TestShared:
    """Two processes and one Redis."""

    @pytest.fixture
    async def gates(self, redis_server):
        gates = [RedisGate(redis_server.url) for _ in range(2)]
        yield gates
        for gate in gates:
            await gate.aclose()

    async def test_together_they_let_no_more_through_than_one(self, gates):
        counted = [Limits(gate) for gate in gates]
        windows = [one.window("user", "alice") for one in counted]
        taken = 0
        for _ in range(100):
            for one, window in zip(counted, windows, strict=True):
                try:
                    await one.take(window, 60)
                except ChatError:
                    continue
                taken += 1
        assert taken == 60

    async def test_who_comes_together_does_not_use_up_the_limit(self, gates):
        """Twenty tabs that send in the same moment send twenty messages, and not twenty portions."""
        counted = [Limits(gate) for gate in gates]
        windows = [one.window("user", "alice") for one in counted]
        await asyncio.gather(
            *(one.take(window, 60) for one, window in zip(counted, windows, strict=True) for _ in range(20))
        )

    async def test_most_messages_ask_nobody(self, gates, monkeypatch):
        asked, real = [], RedisGate.ask

        async def ask(self, call):
            asked.append(1)
            return await real(self, call)

        monkeypatch.setattr(RedisGate, "ask", ask)
        counted = Limits(gates[0])
        for _ in range(1_000):
            await counted.take(counted.window("user", "alice"), 20_000)
        assert len(asked) == 1

    async def test_connections_count_together(self, gates, configure):
        configure(connections_per_user=3)
        leases = [ConnectionLeases(gate) for gate in gates]
        held = [await leases[0].take("alice"), await leases[1].take("alice"), await leases[0].take("alice")]
        for one in leases:
            with pytest.raises(ChatError) as refused:
                await one.take("alice")
            assert refused.value.retry_after_ms >= 1
        await leases[1].take("bob")
        keeper = asyncio.create_task(leases[1].keep_leases())
        leases[1].release(held[1])
        leases[1].release(held[1])
        async with asyncio.timeout(5):
            while await gates[0].client.zcard(connection_leases._key("alice")) > 2:  # noqa: ASYNC110 -- Redis tells nobody
                await asyncio.sleep(0.01)
        keeper.cancel()
        await leases[0].take("alice")

    async def test_leases_of_a_process_that_died_run_out(self, gates, configure, monkeypatch):
        configure(connections_per_user=1)
        monkeypatch.setattr(connection_leases, "_LEASE_S", 0.2)
        dead, living = (ConnectionLeases(gate) for gate in gates)
        await dead.take("alice")
        async with asyncio.timeout(5):
            while True:
                try:
                    await living.take("alice")
                    break
                except ChatError:
                    await asyncio.sleep(0.02)

    async def test_leases_that_are_renewed_do_not(self, gates, configure, monkeypatch):
        """Also after Redis forgot everything."""
        configure(connections_per_user=1)
        monkeypatch.setattr(connection_leases, "_LEASE_S", 1.0)
        monkeypatch.setattr(connection_leases, "_RENEW_S", 0.05)
        one, other = (ConnectionLeases(gate) for gate in gates)
        keeper = asyncio.create_task(one.keep_leases())
        await one.take("alice")
        await gates[1].client.flushall()
        async with asyncio.timeout(5):
            while not await gates[1].client.zcard(connection_leases._key("alice")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with pytest.raises(ChatError):
            await other.take("alice")
        keeper.cancel()


async def test_a_redis_that_hangs_is_waited_for_once(own_redis, log_lines):
    """The first one waits a tenth of a second, nobody after it; a probe finds out that it is back."""
    gate = RedisGate(own_redis.url)
    counted, loop = Limits(gate), asyncio.get_running_loop()
    window = counted.window("user", "alice")
    await counted.take(window, 10)
    probe = asyncio.create_task(gate.keep_probing())
    own_redis.pause()
    began = loop.time()
    await counted.take(window, 10)
    first_s = loop.time() - began
    for _ in range(8):
        await counted.take(window, 10)
    assert first_s >= 0.1
    in_time(first_s, 0.3, "the one that waits")
    in_time(loop.time() - began - first_s, 0.05, "the others, who do not wait")
    with pytest.raises(ChatError):
        await counted.take(window, 10)  # still counted, here
    own_redis.resume()
    await until(lambda: gate.is_up, "the probe finds Redis again")
    probe.cancel()
    await gate.aclose()
    assert [line["event"] for line in log_lines] == ["chat.limit_counts_locally", "chat.limit_counts_together"]
