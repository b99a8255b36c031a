"""The log of failures: one complete line each, at the level asked for, whatever the client sent or the sinks do."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from chat import protocol, router, sessions
from chat.llm import demo
from errors import logs, recorder
from errors.background import BackgroundHandler
from errors.exceptions import ChatError
from errors.taxonomy import LLM_OVERLOADED, LLM_UNAVAILABLE
from tests.errors.written_log import WrittenLog

FACTS = {
    "user_id",
    "session_id",
    "connection_id",
    "address",
    "message_type",
    "ref",
    "reference",
    "stage",
    "code",
    "category",
}
FAILED = FACTS | {"recoverable", "outcome", "fingerprint", "cause", "exception"}
ALWAYS = {"event", "level", "logger", "timestamp"}
FORGED = '\n{"event": "chat.routing_failed", "level": "error", "reference": "E-FAKE-FAKE"}\n'
FORGED_READABLE = (
    "\r\n\x1b[2J2026-01-01T00:00:00Z [error    ] chat.routing_failed reference=E-FAKE-FAKE\x1b[0m\x85\u2028\x00"
)
FORGERIES = (FORGED, FORGED_READABLE, "\x1b]0;title\x07", "\u202eright to left", "\x7f\x08\x0b\x0c")


def raising(make: Callable[[], Exception]) -> Callable[..., Any]:
    async def fail(*_: Any) -> None:
        raise make()

    return fail


def chat_error(detail: str = "private") -> ChatError:
    return ChatError(LLM_OVERLOADED, detail=detail, retry_after_ms=4_200)


class TestFields:
    """Every step's failure is one ERROR line with every field, and a `ChatError` one DEBUG line."""

    @pytest.mark.parametrize(
        ("step", "make", "code"),
        [
            ("receive", None, "UNKNOWN_TYPE"),
            ("registration", lambda: OperationalError("away"), "SERVICE_ERROR"),
            ("route", chat_error, "LLM_OVERLOADED"),
            ("route", lambda: ZeroDivisionError("by nothing"), "SERVICE_ERROR"),
            ("reply", lambda: ChatError(LLM_UNAVAILABLE), "LLM_UNAVAILABLE"),
            ("reply", lambda: OperationalError("away"), "DATABASE_ERROR"),
        ],
    )
    async def test_are_complete(self, alice, monkeypatch, step, make, code):
        monkeypatch.setattr(demo, "_PIECE_S", 0)
        device = await alice.connect()
        ack = await device.say("hello", ref="r0")
        await device.answer(ack["reply_id"])
        session_id = ack["session_id"]
        if step == "registration":
            monkeypatch.setattr(sessions, "owned", lambda *_: (_ for _ in ()).throw(make()))
        elif step == "route":
            monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, raising(make))
        elif step == "reply":
            monkeypatch.setattr(demo.DemoBackend, "stream", _stream_of(make))
        other = await alice.connect()
        with WrittenLog() as log:
            type = "user_messages" if step == "receive" else "user_message"
            await other.send(type, content="x", ref="r1", session_id=session_id)
            frame = await other.expect("error")
        (line,) = log.events("chat.routing_failed")
        assert line.keys() >= FAILED | ALWAYS
        expected = {
            "level": "error", "user_id": alice.user_id, "session_id": session_id, "message_type": type, "ref": "r1",
            "connection_id": other.status["connection_id"], "reference": frame["error"]["reference"], "stage": step,
            "code": code, "category": frame["error"]["category"], "recoverable": True,
        }  # fmt: skip
        assert expected.items() <= line.items()
        assert line.get("reply_id") == frame.get("reply_id")
        assert line["exception"].startswith("Traceback (most recent call last)") or "Traceback" in line["exception"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])
        told = log.events("chat.error_translated", level="debug")
        assert len(told) == int(
            line["cause"].startswith("errors.exceptions.ChatError") or step in ("receive", "registration")
        )
        assert all(one.keys() >= FACTS | {"recoverable"} for one in told)
        assert [one["reference"] for one in told] == [line["reference"]] * len(told)
        for each in (device, other):
            await each.close()

    async def test_are_there_when_nothing_is_known(self, alice):
        """A query need not ask whether a field exists."""
        device = await alice.connect()
        with WrittenLog() as log:
            await device.send_text("[]")
            await device.expect("error")
        (line,) = log.events("chat.routing_failed")
        assert [line[name] for name in ("message_type", "ref", "session_id", "address")] == [
            "unparsed",
            None,
            None,
            None,
        ]
        await device.close()

    async def test_a_setting_lowers_a_category(self, alice, settings, monkeypatch):
        settings.ERRORS = {**settings.ERRORS, "log_levels": {"validation": "warning", "auth": "critical"}}
        monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, raising(chat_error))
        device = await alice.connect()
        with WrittenLog() as log:
            await device.send_text("[]")
            await device.send("user_message", content="x")
            assert [(await device.expect("error"))["error"]["category"] for _ in range(2)] == ["validation", "service"]
        levels = [(line["category"], line["level"]) for line in log.events("chat.routing_failed")]
        assert levels == [("validation", "warning"), ("service", "error")]
        await device.close()


class TestForgery:
    """Nothing that a client sends makes a line of its own, breaks one, or steers the terminal that shows it."""

    async def test_no_field_forges_a_line(self, alice, monkeypatch):
        quoting: list[str] = []
        monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, raising(lambda: ValueError(quoting[-1])))
        device = await alice.connect()
        with WrittenLog() as log:
            for text in FORGERIES:
                quoting.append(f"cannot parse {text}")
                await device.send("user_message", content="x", ref=text.replace("\x00", "")[:64])
                await device.send(f"ping{text}", ref="r1")
                await device.send("ping", session_id=f"a{text}", ref="r2")
                await device.send("model_select", session_id="a", model_id=text, ref="r3")
                await device.send_text(json.dumps({"type": text, "ref": text, "session_id": text}))
                await device.rest()
        failed = log.events("chat.routing_failed")
        assert len(failed) == 5 * len(FORGERIES)
        assert "E-FAKE-FAKE" not in {line.get("reference") for line in log.lines}
        check_shape(log)
        await device.close()

    def test_other_libraries_lines_are_held_to_the_same(self):
        logger = logging.getLogger("some.supplier")
        with WrittenLog() as log:
            for text in FORGERIES:
                logger.warning("not found: %s", text, extra={"path": text})
                try:
                    raise ValueError(f"{text} postgres://app:canary-77@db/prod")
                except ValueError:
                    logger.exception("failed at redis://:canary-77@cache/0")
        assert len(log.lines) == 2 * len(FORGERIES)
        check_shape(log)
        assert "canary-77" not in log.json_text + log.readable_text

    def test_whatever_they_add_to_a_record_holds_no_secret(self):
        """Nested, as bytes, under a telling name, in an object's own words, as a key, in the arguments."""
        dsn = "postgres://app:canary-79@db/prod"
        extra = {
            "request": {"headers": [("authorization", "canary-79"), (b"cookie", b"sessionid=canary-79")]},
            "deep": [{"a": ({"b": [dsn, {"password": "canary-79", "x-api-key": b"canary-79", "max_tokens": 512}]},)}],
            "client_secret": "canary-79",
            "connection": Stranger(f"<connection to {dsn}>"),
            "circle": circle(dsn),
            dsn: 1,
            "exceptions": [ValueError(dsn)],
        }
        logger = logging.getLogger("some.supplier")
        with WrittenLog() as log:
            logger.warning("connected", extra=extra)
            logger.warning("connected to %(url)s", {"url": dsn})
            logger.warning("connected to %s and %s", dsn, {"password": "canary-79"})
        assert "canary-79" not in log.json_text + log.readable_text
        assert len(log.lines) == 3
        line = log.lines[0]
        assert line["deep"][0]["a"][0]["b"][1]["max_tokens"] == 512
        assert line["connection"].startswith("<connection to postgres://app:")
        check_shape(log)

    def test_what_they_add_is_bounded(self):
        """A line stays a line: neither a million entries, nor a megabyte, nor an object that cannot be shown."""
        extra = {"many": list(range(10**6)), "long": "x" * 10**6, "broken": Stranger(None), "lines\nin a name": "\n"}
        with WrittenLog() as log:
            logging.getLogger("some.supplier").warning("added", extra=extra)
        (line,) = log.lines
        assert len(log.json_text) < 50_000
        assert "ValueError" in line["broken"]
        check_shape(log)

    def test_a_record_that_cannot_be_formatted_is_written_all_the_same(self):
        stream = io.StringIO()
        handler = BackgroundHandler(stream, logs.formatter(as_json=True))
        for message, args in (("of %d things", ("redis://:canary-80@cache/0",)), ("%s", (Stranger(None),))):
            handler.handle(logging.LogRecord("some.supplier", logging.ERROR, "", 0, message, args, None))
        handler.flush()
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [line["event"].split(" (")[0] for line in lines] == ["of %d things", "%s"]
        assert all("cannot be formatted" in line["event"] and line["level"] == "error" for line in lines)

    async def test_a_task_that_died_is_logged_without_secrets(self, alice, own_runtime):
        from chat import runtime

        async def die() -> None:
            raise OperationalError("postgres://app:canary-78@db/prod is away")

        with WrittenLog() as log:
            task = runtime.current().spawn(die())
            await asyncio.wait([task])
            await asyncio.sleep(0)
        (line,) = log.events("chat.task_died")
        assert "is away" in line["exception"]
        assert "canary-78" not in log.json_text + log.readable_text


class Stranger:
    """Somebody else's object: it shows itself in words of its own, or cannot."""

    def __init__(self, words: str | None) -> None:
        self.words = words

    def __repr__(self) -> str:
        if self.words is None:
            raise ValueError("no words")
        return self.words


def circle(*entries: Any) -> list[Any]:
    found = [*entries]
    found.append(found)
    return found


def check_shape(log: WrittenLog) -> None:
    """JSON: one line per event, nothing unprintable. Readable: one line at the margin per event, the rest indented."""
    assert all(char.isprintable() or char == "\n" for char in log.json_text)
    assert all(char.isprintable() or char == "\n" for char in log.readable_text)
    lines = log.readable_text.rstrip("\n").split("\n")
    at_margin = [line for line in lines if not line.startswith("    ")]
    begin = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(debug|info|warning|error) +\] \S")
    assert [line for line in at_margin if not begin.match(line)] == []
    assert len(at_margin) == len(log.lines)


class Broken:
    """A part of the recorder that fails whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("the sink is broken")


class TestBrokenSinks:
    """A fault in one sink keeps neither the others nor the answer from the person."""

    @pytest.mark.parametrize("broken", [("log",), ("metric",), ("row",), ("log", "metric", "row")], ids=", ".join)
    async def test_hinder_nothing_else(self, alice, monkeypatch, failures, broken):
        monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, raising(chat_error))
        device = await alice.connect()
        labels = {"code": "LLM_OVERLOADED", "category": "service", "stage": "route"}
        before = REGISTRY.get_sample_value("chat_failures_total", labels) or 0.0
        faults = {sink: _faults(sink) for sink in ("log", "metric", "row")}
        with monkeypatch.context() as patch, WrittenLog() as log:
            if "log" in broken:
                patch.setattr(recorder, "log", Broken())
            if "metric" in broken:
                patch.setattr(recorder, "_counter", Broken())
            if "row" in broken:
                patch.setattr(recorder, "row_writer", Broken())
            await device.send("user_message", content="x", ref="r1")
            assert (await device.expect("error", ref="r1"))["error"]["code"] == "LLM_OVERLOADED"
        assert len(log.events("chat.routing_failed")) == int("log" not in broken)
        after = REGISTRY.get_sample_value("chat_failures_total", labels) or 0.0
        assert after - before == int("metric" not in broken)
        assert len(await failures()) == int("row" not in broken)
        assert {sink for sink, count in faults.items() if _faults(sink) > count} == set(broken)
        assert {line["event"].split()[2] for line in log.lines if "is broken" in line["event"]} == set(broken)
        monkeypatch.undo()
        assert (await device.say("hello", ref="r2"))["seq"] == 1
        await device.close()

    async def test_a_row_that_the_database_refuses_takes_no_other_along(self, alice, monkeypatch, failures):
        monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, raising(chat_error))
        device = await alice.connect()
        for text in ("a\x00b", "\ud800", "😀" * 64):
            await device.send_text(json.dumps({"type": "ping", "ref": text, "session_id": text, "last_seq": 1}))
            await device.send("nonsense" + text, ref="r1")
        await device.rest()
        assert len(await failures()) >= 5
        await device.close()


def _faults(sink: str) -> float:
    return REGISTRY.get_sample_value("chat_failure_sink_faults_total", {"sink": sink}) or 0.0


def _stream_of(make: Callable[[], Exception]) -> Callable[..., Any]:
    async def stream(self: Any, request: Any) -> Any:
        yield "a few words "
        raise make()

    return stream
