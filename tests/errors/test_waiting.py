"""What waits: rows for the database and for their frame, words for their reader. None of it costs memory or time."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from django.db import connections

from errors import recorder, report
from errors.background import BackgroundHandler
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import Failure
from errors.models import RoutingFailure
from errors.redaction import TEXT_MARK
from errors.rows import row_writer
from errors.taxonomy import INVALID_FORMAT, LLM_UNAVAILABLE, Stage

MEGABYTE = 1_000_000
HISTORY = tuple(f'the {number}th thing that was said: "so it\'s been"\n' * 250 for number in range(40))


@asynccontextmanager
async def held_table() -> AsyncIterator[None]:
    """Meanwhile another program holds the table of failures: nobody else writes it."""
    other = connections.create_connection("default")
    other.inc_thread_sharing()

    def hold() -> None:
        # On SQLite this takes the write lock.
        other.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        if other.vendor == "postgresql":
            other.cursor().execute("LOCK TABLE errors_routingfailure IN ACCESS EXCLUSIVE MODE")

    def release() -> None:
        other.rollback()
        other.close()

    await asyncio.to_thread(hold)
    try:
        yield
    finally:
        await asyncio.to_thread(release)


@contextmanager
def handlers(*kinds: type[logging.Handler]) -> Iterator[None]:
    """Meanwhile these handlers only: pytest's would read every report where it is recorded."""
    root = logging.getLogger()
    kept = root.handlers
    root.handlers = [logging.NullHandler(), *[handler for handler in kept if type(handler) in kinds]]
    try:
        yield
    finally:
        root.handlers = kept


def fail(*said: str, words: str = "boom", stage: Stage = Stage.ROUTE) -> Failure:
    try:
        try:
            raise ConnectionRefusedError(words)
        except ConnectionRefusedError as exc:
            raise ChatError(LLM_UNAVAILABLE, detail=words) from exc
    except ChatError as exc:
        return recorder.record(exc, RouteContext(stage, message_type="user_message", private_texts=said))


async def test_refused_frames_are_gone_while_their_rows_wait(alice, failures):
    """Neither the exception nor what was said is kept: sixty frames of a megabyte used to be sixty megabytes."""
    device = await alice.connect()

    async def send_frames(count: int) -> None:
        for number in range(count):
            await device.send_text(f"{number:07}" + "x" * MEGABYTE)
            await device.expect_error("FRAME_TOO_LARGE")

    with handlers(BackgroundHandler):
        async with held_table():
            await send_frames(2)
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await send_frames(60)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert not await asyncio.to_thread(row_writer.flush, 0.1), "nothing waited"
    assert after - before < 3 * MEGABYTE
    assert len(await failures(code="FRAME_TOO_LARGE")) == 62
    await device.close()


def test_a_context_lets_go_of_what_was_said(settings):
    """A connection keeps the context of its last message as long as it lives."""
    settings.ERRORS = {**settings.ERRORS, "enabled": False}
    failure = fail("what was said to the assistant")
    assert failure.context.private_texts == ()
    assert TEXT_MARK in fail("what was said", words="it quotes what was said").report.root


class TestSettling:
    """A row is written once somebody has said who was told, however long that takes."""

    def test_a_row_waits_for_its_frame(self, transactional_db):
        failure = fail()
        assert row_writer.flush()
        assert not RoutingFailure.objects.exists()
        failure.settle('{"type": "error"}', deliveries=2, drops=1)
        failure.settle(None, deliveries=0)  # as a `finally` does; the first word counts
        assert row_writer.flush()
        row = RoutingFailure.objects.get()
        assert (row.reference, row.frame, row.deliveries, row.drops) == (failure.reference, '{"type": "error"}', 2, 1)

    def test_a_row_that_nobody_settles_is_written_in_the_end(self, transactional_db, settings):
        settings.ERRORS = {**settings.ERRORS, "row_untold_s": 0.2}
        assert row_writer.flush()  # from here on it looks as often as that
        failure = fail()
        deadline = time.monotonic() + 5
        while not RoutingFailure.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        failure.settle("too late", deliveries=1)
        row = RoutingFailure.objects.get()
        assert (row.frame, row.deliveries) == ("", 0)

    def test_a_process_that_ends_writes_what_it_has(self, transactional_db):
        failure = fail()
        assert row_writer.flush(unsettled_too=True)
        assert RoutingFailure.objects.get().reference == failure.reference

    async def test_a_reply_whose_end_takes_long_is_recorded_as_told(
        self, alice, configure, monkeypatch, settings, failures
    ):
        """The end of a reply may take longer than rows gather: the record still names who was told."""
        from chat.llm.demo import DemoBackend
        from chat.replies import Replies

        has_failed, is_due = asyncio.Event(), asyncio.Event()
        end_failed = Replies._end_failed

        async def end_late(*args: object, **kwargs: object) -> None:
            has_failed.set()
            await is_due.wait()
            await end_failed(*args, **kwargs)

        async def stream(self: object, request: object) -> AsyncIterator[str]:
            raise ChatError(LLM_UNAVAILABLE)
            yield ""

        monkeypatch.setattr(Replies, "_end_failed", end_late)
        monkeypatch.setattr(DemoBackend, "stream", stream)
        settings.ERRORS = {**settings.ERRORS, "row_linger_ms": 1}
        device = await alice.connect()
        await device.say("hello", ref="r1")
        async with asyncio.timeout(5):
            await has_failed.wait()
        assert await failures() == []
        is_due.set()
        await device.expect("error")
        (row,) = await failures()
        assert (row.code, row.deliveries) == ("LLM_UNAVAILABLE", 1)
        assert row.reference in row.frame
        await device.close()


class TestWords:
    """Redacting is the work of whoever reads first, not of the event loop; what waits for that is bounded."""

    @pytest.fixture(autouse=True)
    def no_rows(self, settings):
        settings.ERRORS = {**settings.ERRORS, "enabled": False}

    def test_a_long_history_costs_the_loop_nothing(self):
        """Forty texts of ten thousand characters; going through them once takes many times as long."""
        failures, spent = [], []
        for _ in range(20):
            report._last_traceback.clear()
            with handlers():
                began = time.thread_time()
                failures.append(fail(*HISTORY, words=f"cannot take {HISTORY[7][:200]}", stage=Stage.REPLY))
                spent.append(time.thread_time() - began)
        assert failures[-1].report.is_waiting
        began = time.thread_time()
        told = failures[-1].report.causes
        reading_s = time.thread_time() - began
        assert [TEXT_MARK in cause.message for cause in told] == [True, True]
        assert "thing that was said" not in str(told) + failures[-1].report.traceback
        assert sorted(spent)[10] < reading_s / 5

    def test_what_waits_to_be_read_is_bounded(self, monkeypatch):
        """The oldest keep their types and places; every one still has its line."""
        monkeypatch.setattr(report, "_MAX_WAITING_CHARS", 10 * sum(map(len, HISTORY)))
        with handlers():
            failures = [fail(*HISTORY) for _ in range(30)]
        assert 8 <= sum(failure.report.is_waiting for failure in failures) <= 10
        assert failures[-1].report.root == "ConnectionRefusedError: boom"
        assert failures[0].report.root == f"ConnectionRefusedError: {report._LOST}"
        assert failures[0].report.fingerprint == failures[-1].report.fingerprint
        assert all(failure.report.causes[0].where for failure in failures)

    def test_what_was_read_or_dropped_does_not_count(self, monkeypatch):
        monkeypatch.setattr(report, "_MAX_WAITING_CHARS", 3 * sum(map(len, HISTORY)))
        for _ in range(10):
            assert fail(*HISTORY).report.root.endswith("boom")
            fail(*HISTORY)
        assert fail(*HISTORY).report.root.endswith("boom")


async def test_a_bad_report_costs_neither_the_line_nor_the_row(alice, monkeypatch, failures, log_lines):
    def broken(*args: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(report, "_told", broken)
    device = await alice.connect()
    await device.send_text("{")
    error = await device.expect_error(INVALID_FORMAT.code)
    (line,) = [line for line in log_lines if line["event"] == "chat.routing_failed"]
    (row,) = await failures()
    assert line["reference"] == row.reference == error["reference"]
    assert line["cause"] == row.cause
    assert row.cause.endswith(report._LOST)
    await device.close()
