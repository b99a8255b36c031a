"""What the journal does for replies: one end each, by the process that runs it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from chat.models import Reply
from errors.exceptions import ChatError
from tests.chat.journals import draft, replies, stored
from tests.chat.locks import nobody_else_writes
from tests.environment import database_kind


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
