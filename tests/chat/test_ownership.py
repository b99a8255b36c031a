"""Whose sessions they are: asked together, answered one by one."""

from __future__ import annotations

import asyncio
import threading
import uuid

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from chat import runtime, sessions
from chat.models import ChatSession
from errors.exceptions import ChatError


@pytest.fixture
def made(alice, bob):
    """Two sessions of each."""
    return [ChatSession.objects.create(owner_id=person.user_id) for person in (alice, alice, bob, bob)]


async def test_what_comes_together_is_asked_at_once_and_each_gets_its_own(alice, bob, mallory, made, monkeypatch):
    """Own ones are found; foreign ones, unknown ones and what is no id are the same NOT_FOUND."""
    queries, real = [], sessions.owned_of
    monkeypatch.setattr(sessions, "owned_of", lambda pairs: queries.append(len(pairs)) or real(pairs))
    asked = [(str(session.pk), person) for session in made for person in (alice, bob, mallory)]
    asked += [(str(uuid.uuid4()), alice), ("no-id", alice), (str(made[0].pk).upper(), alice)]
    found = await asyncio.gather(
        *(runtime.current().ownership.find(session_id, person.user_id) for session_id, person in asked),
        return_exceptions=True,
    )
    for (session_id, person), result in zip(asked, found, strict=True):
        is_own = any(str(each.pk) == session_id and str(each.owner_id) == person.user_id for each in made)
        if is_own:
            assert str(result.pk) == session_id
        else:
            assert isinstance(result, ChatError)
            assert result.spec.code == "NOT_FOUND"
    assert queries == [len(asked)]


async def test_a_query_that_hangs_holds_up_nobody_else(alice, bob, made, monkeypatch):
    is_released, hanging, real = threading.Event(), [], sessions.owned_of

    def hang(pairs):
        if pairs[0][1] == alice.user_id:
            hanging.append(1)
            is_released.wait(10)
        return real(pairs)

    monkeypatch.setattr(sessions, "owned_of", hang)
    find = runtime.current().ownership.find
    stuck = []
    for count in (1, 2, 3):
        stuck.append(asyncio.create_task(find(str(made[0].pk), alice.user_id)))
        while len(hanging) < count:  # noqa: ASYNC110 -- a thread counts
            await asyncio.sleep(0)
    async with asyncio.timeout(2):
        assert await find(str(made[2].pk), bob.user_id) == made[2]
    is_released.set()
    assert await asyncio.gather(*stuck) == [made[0]] * 3


async def test_a_fault_is_everybodys_who_asked_and_nobodys_after(alice, made, monkeypatch):
    def fail(pairs):
        raise OperationalError("away")

    find = runtime.current().ownership.find
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "owned_of", fail)
        results = await asyncio.gather(
            *(find(str(made[0].pk), alice.user_id) for _ in range(3)), return_exceptions=True
        )
    assert [type(result) for result in results] == [OperationalError] * 3
    assert await find(str(made[0].pk), alice.user_id) == made[0]


async def test_who_has_gone_is_not_answered(alice, made):
    find = runtime.current().ownership.find
    gone = asyncio.create_task(find(str(made[0].pk), alice.user_id))
    await asyncio.sleep(0)
    gone.cancel()
    assert await find(str(made[1].pk), alice.user_id) == made[1]
    assert await sync_to_async(ChatSession.objects.count)() == 4
