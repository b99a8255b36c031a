"""`readyz` blames the part that is at fault, and says so in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chat import health
from tests.services.process import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
OK = {"database": "ok", "channel_layer": "ok", "server": "ok"}


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`hang("_ask_database")`: that question has no answer until the test is over, or `hang.release` is set."""
    released = threading.Event()

    def begin(*names: str) -> None:
        for name in names:
            monkeypatch.setattr(health, name, lambda: released.wait(20))

    begin.release = released
    yield begin
    released.set()
    monkeypatch.undo()
    wait_until(lambda: health.checks() == OK, "both parts answer again")


def timed() -> tuple[dict[str, str], float]:
    began = time.monotonic()
    return health.checks(), time.monotonic() - began


def test_both_are_fine() -> None:
    assert health.checks() == OK


@pytest.mark.parametrize(
    ("asked", "part"), [("_ask_database", "database"), ("_ask_layer", "channel_layer")], ids=["database", "layer"]
)
def test_a_part_that_hangs_is_the_only_one_blamed(hang, asked, part) -> None:
    """Also by the probes that come while the first one's question still hangs; those have their answer at once."""
    hang(asked)
    words, seconds = timed()
    assert words == {**OK, part: "no answer"}
    assert seconds < 1.8
    for _ in range(3):
        words, seconds = timed()
        assert words == {**OK, part: "no answer"}
        assert seconds < 0.8


def test_two_parts_that_hang_take_no_longer_than_one(hang) -> None:
    hang("_ask_database", "_ask_layer")
    words, seconds = timed()
    assert words == {**OK, "database": "no answer", "channel_layer": "no answer"}
    assert seconds < 1.8


def test_a_part_that_came_back_is_asked_anew(hang, monkeypatch) -> None:
    hang("_ask_database")
    assert health.checks()["database"] == "no answer"
    hang.release.set()
    wait_until(lambda: health.checks() == OK, "the database answers again")


def test_probes_at_the_same_time_share_one_answer(monkeypatch) -> None:
    """A second proxy that asks a moment later is told no lie."""
    calls = []

    def slow() -> None:
        calls.append(1)
        time.sleep(0.3)

    monkeypatch.setattr(health, "_ask_database", slow)
    with ThreadPoolExecutor(4) as proxies:
        found = [future.result() for future in [proxies.submit(health.checks) for _ in range(4)]]
    assert found == [OK] * 4
    assert len(calls) == 1


def test_an_exception_is_no_word_of_the_public(monkeypatch) -> None:
    def refuse() -> None:
        raise ConnectionError("postgres://app:canary@db")

    monkeypatch.setattr(health, "_ask_database", refuse)
    assert health.checks() == {**OK, "database": "unavailable"}
