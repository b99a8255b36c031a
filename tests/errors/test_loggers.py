"""Events reach the log of a project that configured structlog, and of one that has never heard of it."""

from __future__ import annotations

import io
import json
import logging
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from errors import logs, recorder
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import LLM_OVERLOADED, Stage
from tests.errors.test_log_schema import FORGERIES

CANARY = "postgres://app:canary-81@db/prod"


class HostLog(logging.Handler):
    """The records that a handler of the project is given, and how its plain formatter writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(filename)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def text(self) -> str:
        return "\n".join(map(self.format, self.records))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    """As in a project that calls nothing of ours: structlog is as it was imported."""
    settings.ERRORS = {**settings.ERRORS, "enabled": False}  # the log alone
    ours = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr(logs, "_is_background", False)
    monkeypatch.setattr(recorder, "log", get_logger("errors"))
    yield
    structlog.configure(**ours)


@pytest.fixture
def host_log(elsewhere: None) -> Iterator[HostLog]:
    handler, level = HostLog(), logging.getLogger("errors").level
    logging.getLogger("errors").addHandler(handler)
    logging.getLogger("errors").setLevel(logging.DEBUG)
    yield handler
    logging.getLogger("errors").removeHandler(handler)
    logging.getLogger("errors").setLevel(level)


def fail(detail: str = "busy", **facts: str) -> str:
    """Record a failure with these facts; its reference."""
    try:
        raise ChatError(LLM_OVERLOADED, detail=detail, retry_after_ms=4_200)
    except ChatError as exc:
        return recorder.record(exc, RouteContext(Stage.ROUTE, "user_message", **facts)).reference


def faults() -> float:
    return REGISTRY.get_sample_value("chat_failure_sink_faults_total", {"sink": "log"}) or 0.0


class TestWithoutConfiguration:
    """The standard library's logger of that name is given one record per event."""

    def test_a_failure_is_one_readable_line(self, host_log):
        before = faults()
        reference = fail(user_id="7", ref="r1")
        failed, translated = host_log.records
        assert faults() == before
        assert (failed.levelname, failed.event) == ("ERROR", "chat.routing_failed")
        assert (translated.levelname, translated.event) == ("DEBUG", "chat.error_translated")
        lines = host_log.text.split("\n")
        assert lines[0].startswith("ERROR errors recorder.py chat.routing_failed user_id=7 ")
        assert f" reference={reference} " in lines[0]
        assert " code=LLM_OVERLOADED " in lines[0]
        assert lines[1] == "    Traceback (most recent call last):"
        assert lines[-1].startswith("DEBUG errors recorder.py chat.error_translated user_id=7 ")
        assert all(line.startswith("    ") for line in lines[1:-1])

    def test_every_value_is_an_attribute_of_the_record(self, host_log):
        """A formatter that writes JSON finds them there, unknown ones too."""
        reference = fail(user_id="7")
        failed, translated = map(vars, host_log.records)
        expected = {
            "reference": reference, "user_id": "7", "session_id": None, "code": "LLM_OVERLOADED", "category": "service",
            "stage": "route", "recoverable": True, "outcome": "rejected",
        }  # fmt: skip
        assert expected.items() <= failed.items()
        assert failed["cause"] == "errors.exceptions.ChatError: LLM_OVERLOADED: busy"
        assert failed["exception"].startswith("Traceback")
        assert translated["retry_after_ms"] == 4_200
        assert failed["exc_info"] is None
        json.dumps({key: value for key, value in failed.items() if key != "args"})

    def test_no_value_forges_a_line_or_steers_a_terminal(self, host_log):
        for text in FORGERIES:
            fail(text, ref=text, session_id=f'x" reference="E-FAKE-FAKE {text}')
        text = host_log.text
        assert all(char.isprintable() or char == "\n" for char in text)
        at_margin = [line for line in text.split("\n") if not line.startswith("    ")]
        assert [line.split()[3] for line in at_margin] == ["chat.routing_failed", "chat.error_translated"] * len(
            FORGERIES
        )
        pairs = [dict(word.split("=", 1) for word in shlex.split(line)[4:]) for line in at_margin]
        assert [pair["reference"] for pair in pairs] == [record.reference for record in host_log.records]
        assert all(record.ref.isprintable() for record in host_log.records)

    def test_an_exception_that_is_no_failure_shows_no_secret(self, host_log):
        log = get_logger("errors.task")
        try:
            raise ConnectionError(f"{CANARY} is away\nand gone")
        except ConnectionError as exc:
            log.exception("chat.shutdown_failed")
            log.error("chat.task_died", task="t", exc_info=exc)
        assert host_log.text.count("raise ConnectionError") == 2
        assert "is away" in host_log.text
        assert "canary-81" not in host_log.text + repr([vars(record) for record in host_log.records])

    def test_names_that_a_record_has_itself_are_kept_apart(self, host_log):
        get_logger("errors.export").warning("errors.exported", name="a", message="b c", level="d")
        (record,) = host_log.records
        assert (record.name, record.name_, record.message_, record.level) == ("errors.export", "a", "b c", "d")
        assert host_log.text.endswith('errors.exported name=a message="b c" level=d')

    def test_the_logger_s_level_decides(self, host_log):
        logging.getLogger("errors").setLevel(logging.ERROR)
        fail()
        get_logger("errors").info("errors.exported")
        assert [record.event for record in host_log.records] == ["chat.routing_failed"]

    def test_values_that_structlog_has_bound_to_the_request_are_there(self, host_log):
        with structlog.contextvars.bound_contextvars(request_id="q1"):
            fail()
        assert {record.request_id for record in host_log.records} == {"q1"}

    def test_a_configuration_that_comes_later_is_used(self, host_log):
        log = get_logger("errors")
        log.info("errors.first")
        lines: list[dict] = []
        structlog.configure(processors=[lambda _, __, event: lines.append(event) or ""])
        log.info("errors.second")
        assert [record.event for record in host_log.records] == ["errors.first"]
        assert [line["event"] for line in lines] == ["errors.second"]


class TestConfigurationOfTheProject:
    """Who has structlog set up gets the events there, whatever kind of logger that makes."""

    @pytest.mark.parametrize(
        "wrapper",
        [structlog.make_filtering_bound_logger(logging.DEBUG), structlog.BoundLogger],
        ids=["filtering", "generic"],
    )
    def test_is_kept(self, host_log, wrapper):
        stream, before = io.StringIO(), faults()
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()],
            wrapper_class=wrapper,
            logger_factory=structlog.PrintLoggerFactory(stream),
            cache_logger_on_first_use=True,
        )
        reference = fail()
        fail()
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [line["event"] for line in lines] == ["chat.routing_failed", "chat.error_translated"] * 2
        assert lines[0]["reference"] == reference
        assert lines[0]["cause"] == "errors.exceptions.ChatError: LLM_OVERLOADED: busy"
        assert faults() == before
        assert host_log.records == []

    def test_its_level_is_asked(self, host_log):
        stream = io.StringIO()
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.PrintLoggerFactory(stream),
        )
        assert not get_logger("errors").isEnabledFor(logging.DEBUG)
        fail()
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["chat.routing_failed"]
