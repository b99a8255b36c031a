"""Providers that raise what is no exception, never wait, or cannot close: their replies end as all do."""

from __future__ import annotations

import asyncio
import time

import pytest

from chat import protocol, reply_reader, runtime
from chat.llm.demo import DemoBackend
from chat.models import Reply
from errors.exceptions import ChatError
from errors.taxonomy import LLM_OVERLOADED, UNAUTHORIZED
from tests.waiting import in_time

SPEAKS = "An answer"


class PanicException(BaseException):
    """As libraries written in Rust raise it in Python."""


NO_EXCEPTIONS = [SystemExit, KeyboardInterrupt, GeneratorExit, PanicException]


class Pieces:
    """An iterator that is no generator: the answer, and then whatever becomes of closing it."""

    def __init__(self, close, fails_with: Exception | None = None) -> None:
        self.left = ["An ", "answer"]
        self.close = close
        self.fails_with = fails_with

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> str:
        if self.fails_with is not None:
            raise self.fails_with
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)

    async def aclose(self) -> None:
        await self.close()


async def hangs() -> None:
    await asyncio.sleep(60)


async def takes_no_notice() -> None:
    until = time.monotonic() + 5  # for ever, but for this test
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            continue


async def breaks() -> None:
    raise ConnectionResetError("closed already")


async def exits() -> None:
    raise SystemExit


class TestWhatIsNoException:
    @pytest.mark.parametrize("kind", NO_EXCEPTIONS)
    async def test_it_fails_the_reply_once_and_takes_nobody_with_it(
        self, alice, bob, configure, monkeypatch, failures, kind
    ):
        configure(lease_s=1, checkpoint_s=0.3)

        async def stream(backend, request):
            yield SPEAKS
            await asyncio.sleep(0.05)
            raise kind

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device, other = await alice.connect(), await bob.connect()
        ack = await device.say("hello", ref="r1")
        frame = await device.expect("error", reply_id=ack["reply_id"])
        assert (frame["error"]["code"], frame["error"]["outcome"]) == ("SERVICE_ERROR", "partial")
        assert frame["content_length"] == len(SPEAKS)
        await other.send("ping", ref="p")
        await other.expect("pong", ref="p")
        await asyncio.sleep(1.5)  # the lease of a reply without an end would be over
        (row,) = await failures()
        assert (row.reference, row.deliveries) == (frame["error"]["reference"], 1)
        assert kind.__name__ in row.cause
        await device.close()
        await other.close()

    @pytest.mark.parametrize("kind", NO_EXCEPTIONS)
    async def test_so_it_is_before_the_first_word(self, alice, monkeypatch, failures, kind):
        def stream(backend, request):
            raise kind

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        error = await device.expect_error("SERVICE_ERROR", reply_id=ack["reply_id"])
        assert error["outcome"] == "saved"
        assert len(await failures()) == 1
        await device.close()

    @pytest.mark.parametrize("kind", NO_EXCEPTIONS)
    async def test_one_that_raises_it_when_it_is_stopped_is_stopped(self, alice, monkeypatch, failures, kind):
        async def stream(backend, request):
            try:
                yield SPEAKS
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise kind from None

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect("ai_response", reply_id=ack["reply_id"])
        await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE, state="stopped")
        assert await failures() == []
        await device.close()


async def test_one_that_is_refused_signs_nobody_out(alice, monkeypatch):
    async def stream(backend, request):
        raise ChatError(UNAUTHORIZED, detail="its server answered 401")
        yield

    monkeypatch.setattr(DemoBackend, "stream", stream)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    error = await device.expect_error("SERVICE_ERROR", reply_id=ack["reply_id"])
    assert (error["category"], "sign_in" in error["actions"]) == ("service", False)
    await device.close()


class TestOneThatNeverWaits:
    """It always has the next piece at hand, so the event loop is its own for as long as nobody takes it back."""

    @pytest.mark.parametrize("piece", ["", "x"], ids=["it thinks", "it speaks"])
    async def test_delays_nobody(self, alice, bob, configure, monkeypatch, piece):
        configure(max_reply_chars=10_000_000)
        heard = []

        async def stream(backend, request):
            until = time.monotonic() + 5
            while not heard and time.monotonic() < until:
                yield piece
            yield "It was heard." if heard else "Nobody was."

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device, other = await alice.connect(), await bob.connect()
        ack = await device.say("hello", ref="r1")
        await other.send("ping", ref="p")
        heard.append(await other.expect("pong", ref="p"))
        frame = await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE)
        assert frame["state"] == "complete"
        assert (await Reply.objects.select_related("answer").aget()).answer.content.endswith("It was heard.")
        await device.close()
        await other.close()

    async def test_is_held_to_its_time(self, alice, configure, monkeypatch):
        configure(first_token_s=0.3, next_token_s=0.3, reply_total_s=0.5)
        began = time.monotonic()

        async def stream(backend, request):
            while time.monotonic() < began + 8:
                yield ""

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect_error("LLM_TIMEOUT", reply_id=ack["reply_id"])
        in_time(time.monotonic() - began, 4, "ending a reply that may take half a second")
        await device.close()

    async def test_is_stopped(self, alice, monkeypatch, failures):
        closed = []

        async def stream(backend, request):
            until = time.monotonic() + 8
            try:
                yield SPEAKS
                while time.monotonic() < until:
                    yield ""
            except GeneratorExit:
                closed.append(request)
                raise

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect("ai_response", reply_id=ack["reply_id"])
        await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE, state="stopped")
        assert len(closed) == 1
        assert await failures() == []
        await device.close()


class TestClosing:
    """What became of an answer stands, whatever becomes of closing what wrote it."""

    @pytest.mark.parametrize("close", [hangs, takes_no_notice, breaks, exits])
    async def test_a_whole_answer_is_whole(self, alice, configure, monkeypatch, failures, log_lines, close):
        configure(next_token_s=0.2)
        monkeypatch.setattr(reply_reader, "CLOSE_S", 0.4)
        monkeypatch.setattr(DemoBackend, "stream", lambda backend, request: Pieces(close))
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        frame = await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE)
        assert (frame["state"], frame["content_length"]) == ("complete", len(SPEAKS))
        assert await failures() == []
        fate = "abandoned" if close in (hangs, takes_no_notice) else "close_failed"
        events = [line["event"] for line in log_lines if line["event"].startswith("chat.provider_")]
        assert events == [f"chat.provider_{fate}"]
        await device.close()

    @pytest.mark.parametrize("close", [hangs, breaks])
    async def test_a_failure_is_the_one_that_it_was(self, alice, configure, monkeypatch, failures, close):
        configure(first_token_s=0.2)
        monkeypatch.setattr(reply_reader, "CLOSE_S", 0.4)
        error = ChatError(LLM_OVERLOADED, retry_after_ms=3_000)
        monkeypatch.setattr(DemoBackend, "stream", lambda backend, request: Pieces(close, error))
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect_error("LLM_OVERLOADED", reply_id=ack["reply_id"])
        assert len(await failures()) == 1
        await device.close()

    async def test_a_server_that_goes_down_meanwhile_interrupts_nothing(self, alice, monkeypatch, failures):
        closing = asyncio.Event()

        async def close():
            closing.set()
            await hangs()

        monkeypatch.setattr(DemoBackend, "stream", lambda backend, request: Pieces(close))
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await closing.wait()
        await runtime.current().aclose(grace_s=3)
        await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE, state="complete")
        assert await failures() == []
        await device.close()
