"""How many connections a person may have, across all processes: each holds a lease, and one that nobody renews expires.

They are kept in Redis, by its clock; without Redis, or when it does not answer, each process counts its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass

from chat import conf
from chat.redis_gate import RedisAway, RedisGate
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import CONNECTION_LIMIT_EXCEEDED

log = get_logger("chat.connection_leases")

_LEASE_S = 60.0  # seconds; so long do the connections of a process that crashed count
_RENEW_S = 20.0  # seconds between renewals; two may fail
_CHUNK = 500  # people in one round trip

# Counts the leases that hold, by Redis' clock, and adds one if there is room. Returns whether there was.
_TAKE = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ms + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class Lease:
    user_id: str
    id: str


class ConnectionLeases:
    """One per event loop; owned by `runtime`."""

    def __init__(self, redis: RedisGate) -> None:
        self._redis = redis
        self._take = redis.client.register_script(_TAKE) if redis.client is not None else None
        self._here: defaultdict[str, set[str]] = defaultdict(set)  # user: leases of this process
        self._released: list[Lease] = []
        self._wake = asyncio.Event()
        self._told: dict[str, float] = {}  # user: until when their connections know that they are at the limit

    async def take(self, user_id: str) -> Lease:
        """Count one more connection of the person; give it back with `release`.

        Raises:
            ChatError: CONNECTION_LIMIT_EXCEEDED, with the time after which leases of a crashed process have expired.
        """
        limit = conf.chat().connections_per_user
        lease = Lease(user_id, uuid.uuid4().hex)
        if len(self._here.get(user_id, ())) >= limit:
            raise _too_many(limit)
        self._here[user_id].add(lease.id)  # before anything is awaited: two at once are two
        if self._take is not None and self._redis.is_up:
            arguments = [lease.id, limit, int(_LEASE_S * 1000)]
            try:
                if not await self._redis.ask(self._take(keys=[_key(user_id)], args=arguments)):
                    raise _too_many(limit)
            except RedisAway:
                pass  # it is renewed with the others once Redis is back
            except BaseException:
                self.release(lease)
                raise
        return lease

    def release(self, lease: Lease) -> None:
        """Never waits; a second time changes nothing."""
        mine = self._here.get(lease.user_id)
        if mine is None or lease.id not in mine:
            return
        mine.remove(lease.id)
        if not mine:
            del self._here[lease.user_id]
        if self._take is not None:
            self._released.append(lease)
            self._wake.set()

    def is_first_refusal(self, user_id: str) -> bool:
        """Whether the person's connections are to be told that they are at the limit: once for a while."""
        now = time.monotonic()
        self._told = {user: until for user, until in self._told.items() if until > now}
        if user_id in self._told:
            return False
        self._told[user_id] = now + _LEASE_S
        return True

    async def keep_leases(self) -> None:
        """Give back what was released, at once, and renew the rest in time."""
        if self._take is None:
            return
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + _RENEW_S
        while True:
            try:
                async with asyncio.timeout_at(renew_at):
                    await self._wake.wait()
            except TimeoutError:
                renew_at = loop.time() + _RENEW_S
                await self._renew()
            self._wake.clear()
            released, self._released = self._released, []
            if released and self._redis.is_up:  # else they run out
                await self._give_back(released)

    async def _give_back(self, released: list[Lease]) -> None:
        by_user: defaultdict[str, list[str]] = defaultdict(list)
        for lease in released:
            by_user[lease.user_id].append(lease.id)
        pipe = self._redis.client.pipeline(transaction=False)
        for user_id, ids in by_user.items():
            pipe.zrem(_key(user_id), *ids)
        await self._try(pipe.execute())

    async def _renew(self) -> None:
        people = [(user_id, tuple(ids)) for user_id, ids in self._here.items()]
        for start in range(0, len(people), _CHUNK):
            if self._redis.is_up:
                await self._try(self._renew_some(people[start : start + _CHUNK]))

    async def _renew_some(self, people: list[tuple[str, tuple[str, ...]]]) -> None:
        seconds, microseconds = await self._redis.client.time()
        until_ms = seconds * 1000 + microseconds // 1000 + int(_LEASE_S * 1000)
        pipe = self._redis.client.pipeline(transaction=False)
        for user_id, ids in people:
            pipe.zadd(_key(user_id), dict.fromkeys(ids, until_ms))
            pipe.pexpire(_key(user_id), int(_LEASE_S * 1000))
        await pipe.execute()

    async def _try(self, call: object) -> None:
        try:
            await self._redis.ask(call)  # type: ignore[arg-type]  # a coroutine; the stubs of redis-py say less
        except RedisAway:
            return
        except Exception as exc:
            log.warning("chat.leases_not_renewed", cause=type(exc).__name__)


def _too_many(limit: int) -> ChatError:
    retry_after_ms = int(_LEASE_S * 1000)
    return ChatError(CONNECTION_LIMIT_EXCEEDED, retry_after_ms=retry_after_ms, detail=f"{limit} connections")


def _key(user_id: str) -> str:
    """Users' keys may hold anything."""
    return f"switchboard:connections:{hashlib.blake2s(user_id.encode()).hexdigest()}"
