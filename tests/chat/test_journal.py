"""The journal: grouped, in order, exactly once, whatever the database does in between."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from chat import jobs
from chat.batch import Batch
from chat.entries import Draft
from chat.models import ChatSession
from errors.exceptions import ChatError
from tests.chat.journals import draft, stored
from tests.chat.locks import nobody_else_writes
from tests.waiting import in_time


@pytest.fixture
def quiet_session(alice):
    """A session of alice's in which no assistant answers."""
    return ChatSession.objects.create(owner_id=alice.user_id, assistant_enabled=False)


def test_a_batch_goes_with_its_transaction():
    """It has all that was said in it: in a circle of references it would stay until Python looks for those."""
    batch = Batch("default", "runner")
    gone = weakref.ref(batch)
    del batch
    assert gone() is None


class TestGrouping:
    async def test_what_comes_while_it_commits_is_committed_together_and_in_order(
        self, alice, journal, quiet_session, monkeypatch
    ):
        batches = []
        real = jobs.run_all
        monkeypatch.setattr(jobs, "run_all", lambda taken, batch: batches.append(len(taken)) or real(taken, batch))
        session_id = str(quiet_session.pk)
        results = await asyncio.gather(
            *(journal.append(draft(alice, f"line {n}", session_id=session_id, ref=f"r{n}")) for n in range(100))
        )
        assert [result.seq for result in results] == list(range(1, 101))
        assert await stored(session_id) == [(n + 1, f"line {n}") for n in range(100)]
        assert sum(batches) == 100
        assert len(batches) < 20

    async def test_a_ref_that_comes_twice_in_one_batch_is_stored_once(self, alice, journal, quiet_session):
        session_id = str(quiet_session.pk)
        first, again = await asyncio.gather(
            *(journal.append(draft(alice, session_id=session_id, ref="r1")) for _ in range(2))
        )
        assert (first.duplicate, again.duplicate) == (False, True)
        assert first.message_id == again.message_id
        assert await stored(session_id) == [(1, "hello")]

    async def test_the_first_message_sent_twice_opens_one_session(self, alice, journal, other_journal):
        results = await asyncio.gather(
            *(each.append(draft(alice, ref="open")) for each in (journal, other_journal, journal, other_journal))
        )
        assert len({result.session_id for result in results}) == 1
        assert sorted(result.duplicate for result in results) == [False, True, True, True]
        assert len({result.reply_id for result in results}) == 1

    async def test_who_was_deleted_meanwhile_is_told_so_at_once(self, alice, bob, journal):
        await get_user_model().objects.filter(pk=alice.user_id).adelete()
        refused, stored_one = await asyncio.gather(
            journal.append(draft(alice, ref="r1")), journal.append(draft(bob, ref="r1")), return_exceptions=True
        )
        assert isinstance(refused, ChatError)
        assert refused.spec.code == "UNAUTHORIZED"
        assert stored_one.seq == 1

    async def test_a_thousand_people_begin_at_once(self, alice, journal, monkeypatch):
        """As many as the queue takes, in one turn of the loop."""
        batches = []
        real = jobs.run_all
        monkeypatch.setattr(jobs, "run_all", lambda taken, batch: batches.append(len(taken)) or real(taken, batch))
        users = get_user_model().objects
        await users.abulk_create([users.model(username=f"p{n}") for n in range(1_000)])
        results = await asyncio.gather(
            *[
                journal.append(Draft(user_id=str(key), content="hello", ref="r1"))
                async for key in users.filter(username__startswith="p").values_list("pk", flat=True)
            ]
        )
        assert len({result.session_id for result in results}) == 1_000
        assert max(batches) <= 200

    async def test_one_message_that_the_database_refuses_fails_alone(self, alice, journal, quiet_session):
        session_id = str(quiet_session.pk)
        contents = ["before", "\ud800", "after"]  # a lone surrogate: `decode` would have refused it
        results = await asyncio.gather(
            *(journal.append(draft(alice, content, session_id=session_id)) for content in contents),
            return_exceptions=True,
        )
        assert isinstance(results[1], UnicodeEncodeError)
        assert await stored(session_id) == [(1, "before"), (2, "after")]

    async def test_two_processes_number_one_session_without_gaps(self, alice, journal, other_journal, quiet_session):
        session_id = str(quiet_session.pk)
        results = await asyncio.gather(
            *(
                (journal, other_journal)[n % 2].append(draft(alice, str(n), session_id=session_id, ref=f"r{n}"))
                for n in range(60)
            )
        )
        assert sorted(result.seq for result in results) == list(range(1, 61))
        assert [seq for seq, _ in await stored(session_id)] == list(range(1, 61))

    async def test_a_full_queue_says_busy_and_when_to_come_back(self, alice, journal, quiet_session, configure):
        configure(database_queue_size=5, database_timeout_s=0.5)
        session_id = str(quiet_session.pk)
        async with nobody_else_writes():
            results = await asyncio.gather(
                *(journal.append(draft(alice, session_id=session_id)) for _ in range(8)), return_exceptions=True
            )
        codes = [result.spec.code for result in results]
        assert codes == ["DATABASE_ERROR"] * 5 + ["SERVER_BUSY"] * 3
        assert all(result.retry_after_ms >= 1 for result in results)


class TestFaults:
    async def test_a_lock_that_is_released_in_time_is_waited_out(self, alice, journal, quiet_session):
        async with nobody_else_writes():
            waiting = asyncio.create_task(journal.append(draft(alice, session_id=str(quiet_session.pk))))
            done, _ = await asyncio.wait({waiting}, timeout=0.5)
            assert not done
        assert (await waiting).seq == 1

    async def test_a_lock_that_is_not_is_told_and_nothing_is_stored(self, alice, journal, quiet_session, configure):
        configure(database_timeout_s=0.5)
        async with nobody_else_writes():
            began = time.monotonic()
            with pytest.raises(ChatError) as caught:
                await journal.append(draft(alice, session_id=str(quiet_session.pk), ref="r1"))
            in_time(time.monotonic() - began, 2.5, "the refusal while the database is locked")
        assert (caught.value.spec.code, caught.value.retry_after_ms) == ("DATABASE_ERROR", 1_000)
        again = await journal.append(draft(alice, session_id=str(quiet_session.pk), ref="r1"))
        assert again.seq == 1
        assert await stored(quiet_session.pk) == [(1, "hello")]

    @pytest.mark.parametrize("is_stored", [True, False], ids=["it was", "it was not"])
    async def test_a_commit_that_broke_off_is_resolved_by_what_is_there(
        self, alice, journal, quiet_session, monkeypatch, is_stored
    ):
        broken = break_next_commit(monkeypatch, is_stored=is_stored)
        result, opened = await asyncio.gather(
            journal.append(draft(alice, session_id=str(quiet_session.pk), ref="r1")),
            journal.append(draft(alice, "opens a session, without a ref")),
        )
        assert broken.is_set()
        assert (result.seq, result.duplicate) == (1, False)
        assert (opened.seq, opened.duplicate, opened.new_title) == (1, False, "opens a session, without a ref")
        assert opened.reply_id
        assert await stored(quiet_session.pk) == [(1, "hello")]
        assert await stored(opened.session_id) == [(1, "opens a session, without a ref")]

    async def test_what_nobody_waits_for_any_more_is_handed_on(
        self, alice, journal, quiet_session, monkeypatch, configure
    ):
        configure(database_timeout_s=0.3)
        is_released, late = threading.Event(), asyncio.Event()
        handed_on = []
        journal.on_late = lambda job, result: (handed_on.append((job, result)), late.set())
        real = jobs.Append.run
        monkeypatch.setattr(jobs.Append, "run", lambda job, batch: is_released.wait(10) and real(job, batch))
        with pytest.raises(ChatError) as caught:
            await journal.append(draft(alice, session_id=str(quiet_session.pk), ref="r1"))
        assert caught.value.outcome == "unknown"
        is_released.set()
        async with asyncio.timeout(5):
            await late.wait()
        ((job, result),) = handed_on
        assert (job.draft.ref, result.seq) == ("r1", 1)

    async def test_a_result_whose_caller_is_cancelled_before_its_turn_is_handed_on(
        self, alice, journal, quiet_session, monkeypatch
    ):
        handed_on, finish = [], journal._writer._on_done
        journal.on_late = lambda job, result: handed_on.append((job, result))
        waiting = asyncio.create_task(journal.append(draft(alice, session_id=str(quiet_session.pk), ref="r1")))
        monkeypatch.setattr(journal._writer, "_on_done", lambda done: (finish(done), waiting.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        ((job, result),) = handed_on
        assert (job.draft.ref, result.seq) == ("r1", 1)

    async def test_nobody_is_told_rejected_while_the_same_message_may_be_stored(
        self, alice, journal, quiet_session, monkeypatch, configure
    ):
        """The database hangs with it; sent again it waits behind itself, and is taken back in time."""
        configure(database_timeout_s=0.3)
        is_released, real = threading.Event(), jobs.Append.run
        monkeypatch.setattr(jobs.Append, "run", lambda job, batch: is_released.wait(10) and real(job, batch))
        outcomes = []
        for ref in ("r1", "r1", "r2"):
            with pytest.raises(ChatError) as caught:
                await journal.append(draft(alice, session_id=str(quiet_session.pk), ref=ref))
            outcomes.append(caught.value.outcome)
        assert outcomes == ["unknown", "unknown", "rejected"]
        is_released.set()
        again = await journal.append(draft(alice, session_id=str(quiet_session.pk), ref="r1"))
        assert (again.seq, again.duplicate) == (1, True)
        assert journal._messages == {}

    async def test_the_connection_of_the_journal_is_gone_after_the_end(self, journal, alice, quiet_session):
        await journal.append(draft(alice, session_id=str(quiet_session.pk)))
        await journal.aclose()
        assert not [thread for thread in threading.enumerate() if thread.name == "chat-journal"]


def break_next_commit(monkeypatch, *, is_stored):
    """The journal's next COMMIT fails as a lost connection does: after it happened, or before."""
    broken = threading.Event()
    real = BaseDatabaseWrapper.commit

    def commit(wrapper):
        if threading.current_thread().name != "chat-journal" or broken.is_set():
            return real(wrapper)
        broken.set()
        if is_stored:
            real(wrapper)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(BaseDatabaseWrapper, "commit", commit)
    return broken


class TestTheThread:
    async def test_a_fault_in_what_is_handed_on_costs_nobody_else_an_answer(
        self, alice, journal, quiet_session, monkeypatch, configure
    ):
        configure(database_timeout_s=0.3)
        is_released, real = threading.Event(), jobs.Append.run

        def fail(job, result):
            raise RuntimeError("a defect in what takes care of it")

        journal.on_late = fail
        monkeypatch.setattr(jobs.Append, "run", lambda job, batch: is_released.wait(10) and real(job, batch))
        with pytest.raises(ChatError):
            await journal.append(draft(alice, session_id=str(quiet_session.pk), ref="late"))
        configure(database_timeout_s=5)
        waiting = asyncio.create_task(journal.append(draft(alice, session_id=str(quiet_session.pk), ref="in time")))
        await asyncio.sleep(0)
        is_released.set()
        assert (await waiting).seq == 2

    async def test_one_that_died_is_started_again(self, alice, journal, quiet_session, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(journal._writer, "_commit", lambda gathered: 1 / 0)
            patched.setattr(threading, "excepthook", lambda arguments: None)
            lost = asyncio.create_task(journal.append(draft(alice, session_id=str(quiet_session.pk))))
            while journal._writer._thread is None or journal._writer.is_alive:  # noqa: ASYNC110 -- a thread ends
                await asyncio.sleep(0)
            lost.cancel()
        assert (await journal.append(draft(alice, session_id=str(quiet_session.pk)))).seq == 1
