"""The page that Prometheus fetches: for who brings the token, and every figure of it moves."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from chat import conf, router, runtime
from chat.llm.base import Usage
from chat.llm.demo import DemoBackend
from errors import logs, recorder, redaction
from errors.background import BackgroundHandler
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import Failure
from errors.taxonomy import CATALOGUE, LLM_UNAVAILABLE, NOT_FOUND, REPLY_INTERRUPTED, Category, Stage
from tests.test_docs import DOCS

PATH = "/chat/metrics/prometheus"
TOKEN = "prometheus-token-7f3a"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
GOOD = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def opened(configure: Callable[..., None]) -> None:
    configure(metrics_token=TOKEN)


class TestWhoMayFetch:
    def test_nobody_where_no_token_is_set(self):
        """It is an address like any other that there is not."""
        for method in METHODS:
            answer = Client().generic(method, PATH, headers={"Authorization": "Bearer "})
            assert answer.status_code == 404
            assert method == "HEAD" or answer.json() == {"error": "This was not found.", "code": "NOT_FOUND"}

    @pytest.mark.parametrize(
        "given",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            TOKEN,
            "Bearer é",
        ],
    )
    def test_nobody_with_another_token(self, opened, given):
        answer = Client().get(PATH, headers={} if given is None else {"Authorization": given})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json() == {"error": "Please sign in to continue.", "code": "UNAUTHORIZED"}

    def test_who_brings_it(self, opened):
        for given in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
            answer = Client().get(PATH, headers={"Authorization": given})
            assert answer.status_code == 200
            assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "no-store" in answer["Cache-Control"]

    def test_by_no_other_method(self, opened):
        for method in METHODS[1:]:
            answer = Client().generic(method, PATH, headers=GOOD)
            assert (answer.status_code, answer["Allow"]) == (405, "GET"), method
            assert method == "HEAD" or answer.json()["code"] == "METHOD_NOT_ALLOWED"

    @pytest.mark.parametrize("token", ["canary-15-chars", "canary with spaces in it", "canary-ünlesbar-0123"])
    def test_a_token_that_is_weak_or_no_header_refuses_to_start(self, configure, token):
        configure(metrics_token=token)
        with pytest.raises(ImproperlyConfigured, match="CHAT_METRICS_TOKEN") as refused:
            conf.chat()
        assert "\n" not in str(refused.value)
        assert token not in str(refused.value)

    def test_staff_never_see_the_token(self, opened):
        assert conf.chat().metrics_token == TOKEN
        assert TOKEN not in redaction.redact(f"cannot parse {TOKEN}")


async def scraped() -> str:
    return await asyncio.to_thread(lambda: Client().get(PATH, headers=GOOD).content.decode())


def labelled(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of their names."""
    return {(name, *(of for _, of in sorted(labels))): value for name, labels, value in samples(text)}


async def figures() -> dict[str, float]:
    """What is fetched: the sum of each sample over its labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(await scraped()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


async def reaches(name: str, value: float) -> None:
    async with asyncio.timeout(5):
        while (await figures())[name] != value:  # noqa: ASYNC110 -- as Prometheus asks
            await asyncio.sleep(0.02)


def refused() -> Failure:
    return recorder.record(ChatError(NOT_FOUND), RouteContext(Stage.ROUTE, "user_message"))


@pytest.mark.usefixtures("opened")
class TestFigures:
    """Each one moves with what it counts."""

    async def test_failures_and_routes(self, alice):
        device, before = await alice.connect(), await figures()
        await device.send_text("[]")
        await device.expect("error")
        await device.send("ping", ref="p1")
        await device.expect("pong", ref="p1")
        after = await figures()
        assert after["chat_failures_total"] - before.get("chat_failures_total", 0.0) == 1
        assert after["chat_route_seconds_count"] - before.get("chat_route_seconds_count", 0.0) == 1
        assert after["chat_route_seconds_sum"] > before.get("chat_route_seconds_sum", 0.0)
        await device.close()

    async def test_connections_and_replies(self, alice, monkeypatch):
        release = asyncio.Event()

        async def slow(self: Any, request: Any) -> Any:
            yield "so "
            await release.wait()
            yield "far"

        monkeypatch.setattr(DemoBackend, "stream", slow)
        before = await figures()
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await reaches("chat_replies_running", before["chat_replies_running"] + 1)
        await reaches("chat_connections", before["chat_connections"] + 1)
        release.set()
        await device.answer(ack["reply_id"])
        await device.close()
        await reaches("chat_replies_running", before["chat_replies_running"])
        await reaches("chat_connections", before["chat_connections"])

    async def test_replies_by_their_end(self, alice, monkeypatch):
        """One of each: how it ended, how long it took, what it cost. A model that is no longer there is not named."""
        never = asyncio.Event()

        async def play(self: Any, request: Any) -> Any:
            if request.question == "failed":
                raise ChatError(LLM_UNAVAILABLE)
            yield "so far"
            if request.question == "partial":
                raise ChatError(REPLY_INTERRUPTED)
            if request.question == "stopped":
                await never.wait()
            yield Usage(prompt_tokens=3, completion_tokens=5)

        monkeypatch.setattr(DemoBackend, "stream", play)
        device = await alice.connect()
        for state in ("failed", "partial", "stopped", "complete"):
            before = labelled(await scraped())
            ack = await device.say(state, ref=state)
            if state == "stopped":
                await device.expect("ai_response", reply_id=ack["reply_id"])
                await device.send("stop", reply_id=ack["reply_id"])
            if state in ("failed", "partial"):
                await device.expect("error", reply_id=ack["reply_id"])
            else:
                await device.expect("ai_response", reply_id=ack["reply_id"], state=state)
            after = labelled(await scraped())
            moved = {key: value - before.get(key, 0.0) for key, value in after.items()}
            ended = {key: value for key, value in moved.items() if key[0] == "chat_replies_total" and value}
            assert ended == {("chat_replies_total", "demo", state): 1}
            assert moved[("chat_reply_seconds_count", "demo")] == 1
            assert moved.get(("chat_reply_first_word_seconds_count", "demo"), 0.0) == (state != "failed")
        assert moved[("chat_reply_tokens_total", "prompt", "demo")] == 3
        assert moved[("chat_reply_tokens_total", "completion", "demo")] == 5
        await device.close()

    async def test_providers_that_do_not_end(self, alice, monkeypatch):
        release = asyncio.Event()

        async def deaf(self: Any, request: Any) -> Any:
            yield "so far"
            while not release.is_set():
                with suppress(asyncio.CancelledError):
                    await release.wait()

        monkeypatch.setattr(DemoBackend, "stream", deaf)
        before = await figures()
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect("ai_response", reply_id=ack["reply_id"])
        await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("ai_response", reply_id=ack["reply_id"], state="stopped")
        await reaches("chat_providers_abandoned", before["chat_providers_abandoned"] + 1)
        assert (await figures())["chat_replies_running"] == before["chat_replies_running"]
        release.set()
        await reaches("chat_providers_abandoned", before["chat_providers_abandoned"])
        await device.close()

    async def test_what_waits_for_the_journal(self, alice, monkeypatch):
        device = await alice.connect()
        writer, held = runtime.current().journal._writer, []
        with monkeypatch.context() as patch:
            patch.setattr(writer, "submit", held.append)
            await device.send("user_message", content="hello", ref="r1")
            await reaches("chat_journal_waiting", 1)
        writer.submit(held.pop())
        ack = await device.expect("ack", ref="r1")
        await device.answer(ack["reply_id"])
        await reaches("chat_journal_waiting", 0)
        await device.close()

    async def test_what_waits_for_a_thread(self, alice, configure):
        configure(metrics_token=TOKEN, database_threads=1)
        release = threading.Event()
        work = [asyncio.create_task(runtime.current().threads.run(release.wait, 5)) for _ in range(3)]
        await reaches("chat_queries_waiting", 2)
        release.set()
        await asyncio.gather(*work)
        await reaches("chat_queries_waiting", 0)

    async def test_rows_that_wait_and_rows_that_are_dropped(self, transactional_db, settings):
        before = await figures()
        failure = refused()
        assert (await figures())["chat_failure_rows_waiting"] == before["chat_failure_rows_waiting"] + 1
        settings.ERRORS = {**settings.ERRORS, "row_queue_size": 1}
        refused()
        assert (await figures())["chat_failure_rows_dropped_total"] == before["chat_failure_rows_dropped_total"] + 1
        failure.settle(None, deliveries=0)
        await reaches("chat_failure_rows_waiting", before["chat_failure_rows_waiting"])

    async def test_frames_that_are_dropped(self, transactional_db):
        before = await figures()
        refused().settle("{}", deliveries=0, drops=2)
        after = await figures()
        assert after["chat_failure_frames_dropped_total"] - before["chat_failure_frames_dropped_total"] == 2

    async def test_faults_of_the_recorder(self, monkeypatch):
        before = await figures()
        monkeypatch.setattr(recorder, "row_writer", None)
        refused()
        after = await figures()
        assert after["chat_failure_sink_faults_total"] - before["chat_failure_sink_faults_total"] == 1

    async def test_lines_that_wait_and_lines_that_are_dropped(self):
        (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, BackgroundHandler)]
        before = await figures()
        with handler._writing:  # as if nobody read what we write
            logging.getLogger("errors.test").error("this waits")
            assert (await figures())["chat_log_lines_waiting"] >= 1
        await reaches("chat_log_lines_waiting", 0)
        stream = io.StringIO()
        closed = BackgroundHandler(stream, logs.formatter(as_json=True))
        stream.close()
        closed.handle(logging.makeLogRecord({"msg": "this is lost"}))
        closed.flush()
        await reaches("chat_log_lines_dropped_total", before["chat_log_lines_dropped_total"] + 1)

    async def test_are_all_in_the_documents(self):
        page = (DOCS / "operations.md").read_text()
        listed = set(re.findall(r"^\| `(chat_\w+)` \|", page, re.MULTILINE))
        text = await asyncio.to_thread(lambda: Client().get(PATH, headers=GOOD).content.decode())
        shown = {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in text_string_to_metric_families(text)
            if family.name.startswith("chat_") and not family.name.endswith("_created")
        }
        assert listed == shown
        rules = "".join(re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
        asked = set(re.findall(r"\bchat_\w+\b", rules))
        assert asked
        assert asked <= shown


async def test_nothing_of_a_person_is_in_it(alice, opened, monkeypatch):
    """Labels are closed sets, whatever is sent: no name, no text, no id."""

    async def fail(*_: Any) -> None:
        raise ValueError("canary-91")

    monkeypatch.setitem(router.HANDLERS, router.protocol.UserMessage, fail)
    before = samples(Client().get(PATH, headers=GOOD).content.decode())
    device = await alice.connect()
    for text in ('{"type": "canary-91"}', '{"type": "user_message", "content": "canary-91", "ref": "canary-91"}'):
        await device.send_text(text)
        await device.expect("error")
    text = await asyncio.to_thread(lambda: Client().get(PATH, headers=GOOD).content.decode())
    await device.close()
    assert "canary-91" not in text
    assert device.status["connection_id"] not in text
    allowed = {
        "code": {spec.code for spec in CATALOGUE},
        "category": set(Category),
        "stage": set(Stage),
        "sink": {"log", "metric", "row", "describe"},
        "type": {type.__struct_config__.tag for type in router.HANDLERS},
    }
    # What this test has counted; other tests of this process count what their own projects have added.
    moved = samples(text) - before
    assert moved
    for name, labels, _ in moved:
        assert all(label == "le" or value in allowed[label] for label, value in labels), (name, labels)


def samples(text: str) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    """The chat's samples of a scrape: name, labels, value."""
    return {
        (sample.name, tuple(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(text)
        if family.name.startswith("chat_")
        for sample in family.samples
    }
