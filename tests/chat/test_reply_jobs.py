"""What the journal does for replies: one end each, by the process that runs it."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.utils import timezone
from prometheus_client import REGISTRY

from chat import session_changes, sessions
from chat.llm.demo import DemoBackend
from chat.models import ChatMessage, Reply
from errors.exceptions import ChatError
from tests.chat.journals import draft, replies, stored
from tests.chat.locks import nobody_else_writes, somebody_holds
from tests.environment import database_kind
from tests.waiting import in_time, until


class TestReplies:
    async def test_the_release_before_goes_on_writing_rows_while_it_is_replaced(self, alice, journal):
        """It does not know the columns that are new."""
        asked = await journal.append(draft(alice))
        written, key = [field.column for field in Reply._meta.concrete_fields], uuid.uuid4()
        names = ", ".join(name for name in written if name not in {"id", "continues"})

        def insert():
            value = key.hex if connection.vendor == "sqlite" else key
            sql = f"INSERT INTO chat_reply (id, {names}) SELECT %s, {names} FROM chat_reply"  # noqa: S608
            with connection.cursor() as cursor:
                cursor.execute(sql, [value])

        await sync_to_async(insert)()
        assert [reply.continues for reply in await replies(message_id=asked.message_id)] == [None, None]

    async def test_three_at_once_are_three_on_two_processes(self, alice, journal, other_journal):
        results = await asyncio.gather(
            *((journal, other_journal)[n % 2].append(draft(alice, ref=f"r{n}")) for n in range(10)),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, ChatError)]
        assert len(refused) == 7
        assert {(error.spec.code, error.spec.name) for error in refused} == {("TOO_MANY_REQUESTS", "TOO_MANY_ANSWERS")}
        assert len(await replies()) == 3

    async def test_ending_again_returns_the_end_that_was_stored(self, alice, journal):
        asked = await journal.append(draft(alice))
        first = await journal.end_reply(asked.session_id, asked.reply_id, state="complete", text="An answer.").future
        again = await journal.end_reply(asked.session_id, asked.reply_id, state="failed", text="").future
        assert again == first
        assert (first.state, first.seq) == ("complete", 2)
        assert await stored(asked.session_id) == [(1, "hello"), (2, "An answer.")]

    async def test_is_counted_once_and_by_the_end_that_it_has(self, alice, journal, other_journal):
        def counted() -> list[float]:
            of = [{"state": state, "model": ""} for state in ("complete", "failed")]
            return [REGISTRY.get_sample_value("chat_replies_total", labels) or 0.0 for labels in of]

        before = counted()
        asked = await journal.append(draft(alice))
        for by, state in ((other_journal, "complete"), (journal, "complete"), (journal, "failed")):
            await by.end_reply(asked.session_id, asked.reply_id, state=state, text="").future
        assert counted() == [before[0] + 1, before[1]]

    async def test_only_the_process_that_runs_it_can_end_it(self, alice, journal, other_journal):
        asked = await journal.append(draft(alice))
        ended = await other_journal.end_reply(asked.session_id, asked.reply_id, state="complete", text="Mine!").future
        assert ended is None
        assert await other_journal.checkpoint(asked.reply_id, "Mine!") is None
        assert await journal.checkpoint(asked.reply_id, "An ans") is False

    async def test_one_process_takes_over_what_is_left_and_the_first_loses_it(
        self, alice, journal, other_journal, configure
    ):
        configure(lease_s=0.05)
        asked = await journal.append(draft(alice, ref="r1"))
        await journal.checkpoint(asked.reply_id, "An ans")
        configure(lease_s=15)
        orphans = []
        while not orphans:
            orphans = await other_journal.claim_orphans()
        ((orphan,)) = orphans
        assert (orphan.reply_id, orphan.text, orphan.client_ref) == (asked.reply_id, "An ans", "r1")
        assert await journal.claim_orphans() == []
        assert await journal.checkpoint(asked.reply_id, "An answer") is None
        assert await journal.end_reply(asked.session_id, asked.reply_id, state="complete", text="An").future is None
        ended = await other_journal.end_reply(
            asked.session_id, asked.reply_id, state="partial", text=orphan.text
        ).future
        assert ended.seq == 2

    async def test_a_lease_is_renewed_by_the_process_whose_reply_it_is_until_it_has_ended(
        self, alice, journal, other_journal, configure
    ):
        configure(lease_s=0.05)
        asked, ended = [await journal.append(draft(alice, ref=f"r{n}")) for n in range(2)]
        await journal.end_reply(ended.session_id, ended.reply_id, state="complete", text="").future
        await asyncio.sleep(0.1)
        before = {str(reply.pk): reply.lease_until for reply in await replies()}
        configure(lease_s=15)
        ids = frozenset({asked.reply_id, ended.reply_id})
        await other_journal.renew_leases(ids)
        assert {str(reply.pk): reply.lease_until for reply in await replies()} == before
        await journal.renew_leases(ids)
        assert await other_journal.claim_orphans() == []
        after = {str(reply.pk): reply.lease_until for reply in await replies()}
        assert [after[each] > before[each] for each in (asked.reply_id, ended.reply_id)] == [True, False]

    @pytest.mark.parametrize("wrong_by", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
    async def test_a_process_whose_clock_is_wrong_takes_over_nothing_and_loses_nothing(
        self, alice, journal, other_journal, monkeypatch, wrong_by
    ):
        real = timezone.now
        asked, renewed = [await journal.append(draft(alice, ref=f"r{n}")) for n in range(2)]
        monkeypatch.setattr(timezone, "now", lambda: real() + wrong_by)
        if database_kind() == "postgresql":  # SQLite's clock is that of the machine, and so of all its processes
            begun = await journal.append(draft(alice, ref="r2"))
            assert begun.reply_id
        await journal.checkpoint(renewed.reply_id, "An ans")
        assert await other_journal.claim_orphans() == []
        monkeypatch.setattr(timezone, "now", real)
        assert await other_journal.claim_orphans() == []
        leases = {str(reply.pk): reply.lease_until - real() for reply in await replies()}
        assert all(timedelta(0) < left <= timedelta(seconds=15) for left in leases.values()), leases
        assert asked.reply_id in leases

    async def test_retries_that_come_together_get_one_reply(self, alice, journal, other_journal):
        asked = await journal.append(draft(alice))
        await journal.end_reply(asked.session_id, asked.reply_id, state="failed", text="").future
        results = await asyncio.gather(
            *(
                each.retry(asked.session_id, asked.message_id, alice.user_id, "")
                for each in (journal, journal, other_journal, other_journal)
            )
        )
        assert sorted(result.is_new for result in results) == [False, False, False, True]
        assert len({result.reply_id for result in results}) == 1
        assert [reply.attempt for reply in await replies()] == [1, 2]

    async def test_the_end_of_a_reply_waits_for_the_database(self, alice, journal):
        asked = await journal.append(draft(alice))
        async with nobody_else_writes():
            job = journal.end_reply(asked.session_id, asked.reply_id, state="complete", text="An answer.")
            await asyncio.wait({job.future}, timeout=0.3)
            assert not job.future.done()
        assert (await job.future).seq == 2


@pytest.mark.skipif(database_kind() != "postgresql", reason="SQLite locks no single rows")
class TestHeldRows:
    """Who deletes a long conversation holds its rows for seconds. Only what concerns them waits, and no ack does."""

    @pytest.fixture
    async def asked(self, alice, journal):
        return await journal.append(draft(alice))

    @pytest.mark.parametrize("job", ["checkpoint", "end", "stop"])
    async def test_a_reply_that_is_held_waits_alone(self, alice, bob, journal, asked, job):
        begin = {
            "checkpoint": lambda: asyncio.ensure_future(journal.checkpoint(asked.reply_id, "An ans")),
            "end": lambda: journal.end_reply(asked.session_id, asked.reply_id, state="complete", text="Done.").future,
            "stop": lambda: asyncio.ensure_future(journal.request_stop(asked.reply_id)),
        }
        async with somebody_holds(Reply.objects.filter(pk=asked.reply_id)):
            waiting = begin[job]()
            began = time.monotonic()
            for n in range(2):
                await journal.append(draft(bob, ref=f"r{n}"))
                await journal.append(draft(alice, ref=f"r{n}", session_id=asked.session_id))
                await asyncio.wait({waiting}, timeout=0.1)
            in_time(time.monotonic() - began, 1.0, "acks while somebody holds a reply")
            assert not waiting.done()
        await waiting
        (reply,) = await replies(pk=asked.reply_id)
        assert {
            "checkpoint": reply.text == "An ans",
            "end": (reply.state, reply.answer_id is None) == ("complete", False),
            "stop": reply.stop_requested,
        }[job]

    async def test_an_orphan_that_is_held_is_left_and_the_others_are_taken(
        self, alice, bob, journal, other_journal, asked
    ):
        other = await journal.append(draft(bob))
        await Reply.objects.aupdate(lease_until=timezone.now() - timedelta(seconds=1))
        async with somebody_holds(Reply.objects.filter(pk=asked.reply_id)):
            async with asyncio.timeout(1):
                assert [orphan.reply_id for orphan in await other_journal.claim_orphans()] == [other.reply_id]
        assert [orphan.reply_id for orphan in await other_journal.claim_orphans()] == [asked.reply_id]

    async def test_a_question_that_is_about_to_be_deleted_is_not_answered_again(self, alice, bob, journal, asked):
        await journal.end_reply(asked.session_id, asked.reply_id, state="failed", text="").future
        async with somebody_holds(ChatMessage.objects.filter(pk=asked.message_id)):
            retry = journal.retry(asked.session_id, asked.message_id, alice.user_id, "")
            waiting = asyncio.create_task(retry)
            await asyncio.wait({waiting}, timeout=0.2)
            assert not waiting.done()
            async with asyncio.timeout(1):
                await journal.append(draft(bob))
        assert (await waiting).is_new

    async def test_a_deletion_and_a_batch_do_not_wait_for_each_other(self, alice, journal, asked, monkeypatch):
        """A row that was changed twice in one transaction has its foreign keys looked up at COMMIT."""
        has_begun, may_go_on, rows = threading.Event(), threading.Event(), sessions.rows

        def slow_rows(model):
            if model is Reply:
                has_begun.set()
                assert may_go_on.wait(10)
            return rows(model)

        def delete():
            session_changes.delete(asked.session_id, alice.user_id)
            connections.close_all()

        monkeypatch.setattr(sessions, "rows", slow_rows)
        deletion = asyncio.create_task(asyncio.to_thread(delete))
        assert await asyncio.to_thread(has_begun.wait, 10)
        try:
            async with asyncio.timeout(1):
                await asyncio.gather(*(journal.request_stop(asked.reply_id) for _ in range(2)))
        finally:
            may_go_on.set()
            await deletion
        assert await replies() == []

    async def test_a_lease_that_cannot_be_renewed_is_logged_with_the_reason_and_renewed_afterwards(
        self, alice, configure, log_lines, monkeypatch
    ):
        configure(checkpoint_s=0.1, database_timeout_s=1)
        is_over = asyncio.Event()

        async def stream(backend, request):
            yield "An answer."
            await is_over.wait()

        def failed():
            return [line["cause"] for line in log_lines if line["event"] == "chat.checkpoint_failed"]

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect("ai_response", reply_id=ack["reply_id"], content="An answer.")
        reply = Reply.objects.filter(pk=ack["reply_id"])
        async with somebody_holds(reply):
            before = (await reply.aget()).lease_until
            await until(lambda: len(failed()) > 1, "two checkpoints that failed")
        assert set(failed()) == {"DATABASE_ERROR: another process holds what it needs"}
        async with asyncio.timeout(5):
            while (await reply.aget()).lease_until == before:  # noqa: ASYNC110 -- a row changes
                await asyncio.sleep(0.01)
        is_over.set()
        await device.expect("ai_response", reply_id=ack["reply_id"], state="complete")
        await device.close()
