"""Every way in which a provider fails, over real HTTP: its code, the text kept, how often it was asked, who reads."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

import pytest

from errors import report
from errors.taxonomy import Category
from tests.llm.conftest import KEY, PRIVATE
from tests.services import llm_scenarios
from tests.services.llm_scenarios import FAULTS, REFUSALS
from tests.services.llm_server import CANARY, TEXT, LlmServer
from tests.services.llm_speech import body

_MAX_CAUSE_CHARS = 400  # characters of a provider's words that staff may read at once


@dataclass(frozen=True)
class Told:
    code: str
    text: str = ""
    wait: tuple[int, int] | None = None  # bounds of retry_after in milliseconds
    asked: int = 1


UNAVAILABLE = Told("LLM_UNAVAILABLE")
AGAIN = Told("LLM_UNAVAILABLE", asked=3)
TIMEOUT = Told("LLM_TIMEOUT")
TOO_LONG = Told("CONTEXT_TOO_LONG")
REFUSED = Told("LLM_REFUSED")
BROKEN = Told("REPLY_INTERRUPTED", TEXT)
BUSY = Told("LLM_OVERLOADED", wait=(5_000, 5_000))


def overloaded(least: int, most: int | None = None) -> Told:
    return Told("LLM_OVERLOADED", wait=(least, most or least))


TABLE: dict[str, Told] = {
    # The server says no. Statuses that may pass are tried again, where it does not name a time beyond the budget.
    "400": UNAVAILABLE,
    "401": UNAVAILABLE,
    "402": UNAVAILABLE,
    "403": UNAVAILABLE,
    "404": UNAVAILABLE,
    "405": UNAVAILABLE,
    "408": AGAIN,
    "409": AGAIN,
    "413": TOO_LONG,
    "422": UNAVAILABLE,
    "429": BUSY,
    "429 seconds": overloaded(7_000),
    "429 soon": overloaded(1_000),
    "429 date": overloaded(600_000),
    "429 past date": overloaded(1_000),
    "429 garbage": BUSY,
    "429 negative": overloaded(1_000),
    "429 huge": overloaded(600_000),
    "429 nan": overloaded(600_000),
    "429 milliseconds": overloaded(2_500),
    "429 quota": UNAVAILABLE,
    "429 quota by type": UNAVAILABLE,
    "429 in a list": BUSY,
    "500": AGAIN,
    "502 page": AGAIN,
    "503": BUSY,
    "503 page": AGAIN,
    "503 page seconds": Told("LLM_UNAVAILABLE", wait=(7_000, 7_000)),
    "504": AGAIN,
    "529": BUSY,
    "error is words": UNAVAILABLE,
    "error is a number": UNAVAILABLE,
    "error is null": UNAVAILABLE,
    "empty error": AGAIN,
    "10 MiB error": AGAIN,
    "endless error": AGAIN,
    "hanging error": TIMEOUT,
    "gzip error": UNAVAILABLE,
    "gzip that is none": AGAIN,
    "encoding unknown": AGAIN,
    "too long": TOO_LONG,
    "too long by param": TOO_LONG,
    "too long by type": TOO_LONG,
    "too long, vLLM": TOO_LONG,
    "too long, llama.cpp": TOO_LONG,
    "too long, Ollama": TOO_LONG,
    "too long, TGI": TOO_LONG,
    "long words, other code": UNAVAILABLE,
    "filtered request": REFUSED,
    # It says nothing, or nonsense, or goes away.
    "hang before headers": TIMEOUT,
    "hang after headers": TIMEOUT,
    "hang midstream": BROKEN,
    "comments for ever": TIMEOUT,
    "comments midstream": BROKEN,
    "thinks and hangs": TIMEOUT,
    "trickle": Told("REPLY_INTERRUPTED", "drip drip "),
    "reset": BROKEN,
    "reset at once": AGAIN,
    "reset after headers": AGAIN,
    "half a head": AGAIN,
    "no HTTP": AGAIN,
    "clean end": BROKEN,
    "clean end at once": UNAVAILABLE,
    "chunked without end": BROKEN,
    "chunked nonsense": AGAIN,
    "no stream": UNAVAILABLE,
    "JSON instead": UNAVAILABLE,
    "bad json": BROKEN,
    "bad json at once": UNAVAILABLE,
    "deep json": BROKEN,
    "long number": BROKEN,
    "bad utf-8": BROKEN,
    "huge line": BROKEN,
    "huge event": BROKEN,
    "bomb": AGAIN,
    # It says so in the stream, under status 200.
    "error event": BROKEN,
    "error event at once": AGAIN,
    "error event in words": UNAVAILABLE,
    "error event, named": UNAVAILABLE,
    "busy event": BUSY,
    "overloaded event": BUSY,
    "too long event": TOO_LONG,
    "quota event": UNAVAILABLE,
    "empty": Told("", asked=1),  # the provider ends well; that nothing was said is the reply's business
    "DONE at once": UNAVAILABLE,
    "refusal": REFUSED,
    "content filter": Told("LLM_REFUSED", TEXT),
    "content filter at once": REFUSED,
    "length": BROKEN,
    "length at once": UNAVAILABLE,
    "tool_calls": BROKEN,
    "function_call at once": UNAVAILABLE,
    "ended with error": BROKEN,
    "odd end": BROKEN,
}


def test_every_scenario_has_its_row():
    assert set(TABLE) == {*REFUSALS, *FAULTS}


@pytest.mark.parametrize("scenario", list(TABLE))
async def test_a_fault_has_its_code_and_leaves_nothing_behind(ask, llm_server, scenario):
    told = TABLE[scenario]
    asked = await ask(scenario)
    if told.code:
        _check(asked, told)
    else:
        assert (asked.error, asked.text) == (None, told.text)
    assert len(llm_server.requests) == told.asked
    assert await asyncio.to_thread(llm_server.wait_idle, 2), "the provider's connection was left open"


def _check(asked, told: Told) -> None:
    error = asked.error
    assert error is not None, f"no error, but {asked.text!r}"
    assert (error.spec.code, error.spec.category) == (told.code, _category(told.code))
    if told.text == TEXT or not told.text:
        assert asked.text == told.text
    else:
        assert asked.text.startswith(told.text)
    if told.wait is None:
        assert error.retry_after_ms is None
    else:
        assert told.wait[0] <= error.retry_after_ms <= told.wait[1]
    assert CANARY not in error.spec.message
    _check_what_staff_read(error)


def _category(code: str) -> Category:
    return Category.VALIDATION if code == "CONTEXT_TOO_LONG" else Category.SERVICE


def _check_what_staff_read(error: BaseException) -> None:
    """The server's errors repeat the key and the question; staff see neither, and of the rest no more than a line."""
    report._last_traceback.clear()
    told = report.sketch(error, code="X", stage="reply", private_texts=(PRIVATE,))
    shown = f"{told.causes}{told.traceback}"
    assert KEY not in shown
    assert PRIVATE not in shown
    assert all(len(cause.message) <= _MAX_CAUSE_CHARS for cause in told.causes)


async def test_a_status_is_not_lost_for_a_body_that_never_ends(ask, llm_server):
    """Where the first word's time allows it, a refusal whose words do not come is told as the refusal it is."""
    _check(await ask("hanging error", first_token_s=6.0, total_s=9.0), UNAVAILABLE)
    assert await asyncio.to_thread(llm_server.wait_idle, 2)


class TestNobodyIsThere:
    async def test_nobody_listens(self, ask):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            asked = await ask("hello", base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
        _check(asked, UNAVAILABLE)
        assert "Connect" in repr(asked.error.__cause__.__cause__)

    async def test_no_such_name(self, ask):
        asked = await ask("hello", base_url="http://nowhere.invalid.internal/v1", first_token_s=10.0, total_s=10.0)
        _check(asked, UNAVAILABLE)

    async def test_a_server_that_accepts_nobody(self, ask):
        """Its backlog is full: the connection's own limit ends the wait, not the first word's."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            callers = [socket.socket() for _ in range(8)]
            for caller in callers:
                caller.setblocking(False)
                caller.connect_ex(full.getsockname())
            asked = await ask(
                "hello", base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1", first_token_s=3.5, total_s=9.0
            )
            for caller in callers:
                caller.close()
        _check(asked, UNAVAILABLE)
        assert "ConnectTimeout" in repr(asked.error.__cause__.__cause__)

    async def test_no_tls_there(self, ask, llm_server):
        base_url = llm_server.url.replace("http:", "https:")
        asked = await ask("hello", base_url=base_url, first_token_s=3.5, total_s=9.0)
        _check(asked, UNAVAILABLE)
        assert await asyncio.to_thread(llm_server.wait_idle, 2)
        assert llm_server.requests == []
        links = [asked.error]
        while links[-1].__cause__ or links[-1].__context__:
            links.append(links[-1].__cause__ or links[-1].__context__)
        assert any(isinstance(link, ssl.SSLError) for link in links)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(ask, llm_server, monkeypatch, code):
    """Neither the key nor the conversation goes where an answer points."""
    with LlmServer() as elsewhere:
        location = f"Location: {elsewhere.url}/chat/completions"
        monkeypatch.setitem(llm_scenarios.SCENARIOS, "redirect", body(code, CANARY, location))
        asked = await ask("redirect")
        assert elsewhere.connections == 0
    _check(asked, UNAVAILABLE)
    assert len(llm_server.requests) == 1
