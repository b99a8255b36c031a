"""What the journal does for replies: one end each, by the process that runs it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from errors.exceptions import ChatError
from tests.chat.journals import draft, replies, stored
from tests.chat.locks import nobody_else_writes
from tests.environment import database_kind


class TestReplies:
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
