"""What staff are shown of an exception, however strange it is; and how much of it under a flood."""

from __future__ import annotations

from typing import Any

import pytest

from chat import protocol, router
from errors import recorder, report
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.taxonomy import LLM_TIMEOUT, Stage
from tests.errors.written_log import WrittenLog


class Unspeakable(Exception):
    """Cannot be turned into text."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class Mute:
    def __repr__(self) -> str:
        raise ValueError("no words")


def circle() -> Exception:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def long_chain() -> Exception:
    exc: Exception = ValueError("the root of 1000")
    for number in range(1_000):
        outer = RuntimeError(f"link {number}")
        outer.__cause__ = exc
        exc = outer
    return exc


def recursion() -> Exception:
    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError as exc:
        return exc
    raise AssertionError


STRANGE = {
    "cannot be turned into text": lambda: Unspeakable("x"),
    "its metadata cannot": lambda: ChatError(LLM_TIMEOUT, metadata={"body": Mute()}),
    "has such a cause": lambda: with_cause(ChatError(LLM_TIMEOUT), Unspeakable("x")),
    "is its own cause": circle,
    "has a thousand causes": long_chain,
    "recursion": recursion,
    "ten megabytes": lambda: ValueError("long " * 2_000_000),
    "lone surrogates and NUL": lambda: ValueError("\ud800\x00\udfff"),
    "many in one": lambda: ExceptionGroup("many", [ValueError(str(number)) for number in range(100)]),
    "not its own class": lambda: type("Strange\nName", (Exception,), {"__module__": None})("x"),
    "no arguments": lambda: Exception(),
}


def with_cause(exc: Exception, cause: Exception) -> Exception:
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize("name", STRANGE)
async def test_a_strange_exception_is_recorded_like_any_other(alice, monkeypatch, failures, name):
    """One answer, one line, one row; the code is what it would be anyway."""

    async def fail(connection: Any, message: Any) -> None:
        raise STRANGE[name]()

    monkeypatch.setitem(router.HANDLERS, protocol.Ping, fail)
    device = await alice.connect()
    with WrittenLog() as log:
        await device.send("ping", ref="r1")
        error = (await device.expect("error", ref="r1"))["error"]
    is_chat_error = isinstance(STRANGE[name](), ChatError)
    assert error["code"] == ("LLM_TIMEOUT" if is_chat_error else "SERVICE_ERROR")
    (line,) = log.events("chat.routing_failed")
    (row,) = await failures()
    assert row.reference == line["reference"] == error["reference"]
    assert row.cause
    assert 1 <= len(row.causes) <= 20
    assert max(len(row.traceback), *(len(str(cause)) for cause in row.causes)) <= 21_000
    monkeypatch.undo()
    await device.send("ping", ref="r2")
    await device.expect("pong", ref="r2")
    await device.close()


class Boom(Exception):
    pass


def raise_here() -> None:
    raise Boom("here")


def raise_there() -> None:
    raise Boom("there")


class TestFlood:
    """Under a flood only traceback *text* is left out: one a second and cause; everything else is there."""

    def failure(self, place: Any = raise_here, stage: Stage = Stage.ROUTE) -> report.Report:
        try:
            place()
        except Boom as exc:
            failure = recorder.record(exc, RouteContext(stage, message_type="test"))
            failure.settle(None, deliveries=0)
            return failure.report
        raise AssertionError

    @pytest.fixture(autouse=True)
    def no_rows(self, settings):
        settings.ERRORS = {**settings.ERRORS, "enabled": False}

    def test_the_same_cause_has_one_traceback_a_second(self):
        first, second = self.failure(), self.failure()
        assert first.traceback
        assert not second.traceback
        assert (first.causes, first.fingerprint) == (second.causes, second.fingerprint)
        self.a_second_passes(first)
        assert self.failure().traceback == first.traceback

    def test_another_cause_has_its_own(self):
        reports = [self.failure(), self.failure(raise_there), self.failure(stage=Stage.REPLY)]
        assert all(one.traceback for one in reports)
        assert len({one.fingerprint for one in reports}) == 3

    def test_every_line_is_written_with_its_cause(self):
        with WrittenLog() as log:
            reports = [self.failure() for _ in range(50)]
        lines = log.events("chat.routing_failed")
        assert len(lines) == 50
        assert {(line["cause"], line["fingerprint"]) for line in lines} == {(reports[0].root, reports[0].fingerprint)}
        assert len([line for line in lines if "exception" in line]) == 1
        assert len({line["reference"] for line in lines}) == 50

    def test_what_was_raised_with_other_values_is_the_same_cause(self):
        def raise_value(value: str) -> None:
            raise Boom(value)

        prints = {self.failure(lambda value=value: raise_value(value)).fingerprint for value in ("a", "b", "c")}
        assert len(prints) == 1

    def test_the_memory_of_causes_is_bounded(self):
        for number in range(report._MAX_FINGERPRINTS + 10):
            report._is_due(str(number))
        assert len(report._last_traceback) <= report._MAX_FINGERPRINTS

    @staticmethod
    def a_second_passes(of: report.Report) -> None:
        report._last_traceback[of.fingerprint] -= 1.0


class TestPlace:
    """Where an exception was raised is told by names of modules: a release in another folder has the same causes."""

    @pytest.mark.parametrize(
        ("file", "module", "place"),
        [
            ("orders.py", "orders", "ship in orders.py:2"),
            ("shop/orders.py", "shop.orders", "ship in shop/orders.py:2"),
            ("shop/__init__.py", "shop", "ship in shop/__init__.py:2"),
            ("site-packages/deep/er/and/deeper.py", "deep.er.and.deeper", "ship in deep/er/and/deeper.py:2"),
            ("manage.py", "__main__", "ship in manage.py:2"),
            ("templates/orders.html", "shop.engine", "ship in orders.html:2"),
            ("orders.py", ["no name"], "ship in orders.py:2"),
            ("orders.py", None, "ship in orders.py:2"),
        ],
    )
    def test_is_the_same_in_two_copies(self, tmp_path, file, module, place):
        found = []
        for release in ("releases/2026-11-01/shop", "releases/2026-11-02/shop"):
            path = tmp_path / release / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("def ship():\n    raise ValueError('no paper')\n")
            names = {"__name__": module}
            exec(compile(path.read_text(), str(path), "exec"), names)  # noqa: S102 -- two copies of a module in one process
            try:
                names["ship"]()
            except ValueError as exc:
                found.append(report.sketch(exc, code="SERVICE_ERROR", stage="route", private_texts=()))
        assert [one.causes[0].where for one in found] == [place] * 2
        assert found[0].fingerprint == found[1].fingerprint

    def test_of_a_file_of_the_same_name_elsewhere_is_another(self):
        assert report._place("f", "shop.models", "/srv/shop/models.py", 1) != report._place(
            "f", "stock.models", "/srv/stock/models.py", 1
        )

    def test_of_what_is_no_file_is_what_python_calls_it(self):
        assert report._place("f", "importlib._bootstrap", "<frozen importlib._bootstrap>", 7) == (
            "f in <frozen importlib._bootstrap>:7"
        )
