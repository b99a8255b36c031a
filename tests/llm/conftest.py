"""The misbehaving provider, settings that point to it, and a way to ask it as a reply does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import openai  # noqa: F401 -- takes over half a second: not within a test's first token
import pytest

from chat.llm import openai as provider
from chat.llm import registry
from chat.llm.base import Deadlines, ReplyRequest, Turn, Usage
from chat.reply_reader import Pieces, ReplyReader
from errors.exceptions import ChatError
from tests.services.llm_server import LlmServer

KEY = "sk-canary-key-77aa88bb99"
PRIVATE = "my aunt's gallstones"  # what no staff surface may show


@pytest.fixture(scope="module")
def llm_server() -> Iterator[LlmServer]:
    with LlmServer() as server:
        yield server


@pytest.fixture
def use_provider(settings, tmp_path, monkeypatch, llm_server) -> Callable[..., None]:
    """`use_provider(first_token_s=1)`: one model at the server, configured by a TOML file."""

    def use(*, more: str = "", **values: object) -> None:
        monkeypatch.setenv("TEST_LLM_KEY", KEY)
        facts = {"id": "real", "base_url": llm_server.url, "model": "m", "api_key_env": "TEST_LLM_KEY", **values}
        lines = [
            f"{name} = {str(value).lower() if value in (True, False) else repr(value)}" for name, value in facts.items()
        ]
        path = tmp_path / "providers.toml"
        path.write_text("[[provider]]\n" + "\n".join(lines) + "\n" + more)
        settings.LLM = {"providers_file": str(path)}
        assert llm_server.wait_idle(5)
        llm_server.forget()

    return use


@dataclass
class Asked:
    """What came of one question: the text, how often the provider counted, and the error at its end."""

    text: str = ""
    usage: list[Usage] = field(default_factory=list)
    error: ChatError | None = None

    def take(self, piece: str | Usage) -> None:
        if isinstance(piece, Usage):
            self.usage.append(piece)
        else:
            self.text += piece


@pytest.fixture
def ask(use_provider, monkeypatch) -> Callable[..., object]:
    """`await ask("401")` plays a scenario at the provider alone, under a reply's own time limits."""
    monkeypatch.setattr(provider, "_BACKOFF_S", 0.01)

    async def ask(scenario: str, **values: object) -> Asked:
        use_provider(**{"first_token_s": 1.5, "next_token_s": 0.5, "total_s": 2.0, **values})
        choice = registry.load()
        await choice.warm_up()
        asked = Asked()
        abandoned: list[asyncio.Task[None]] = []
        request = ReplyRequest("real", (Turn("user", f"{scenario} # {PRIVATE}"),))

        async def stream() -> tuple[Pieces, Deadlines]:
            return choice.stream(request), choice.deadlines("real")

        try:
            await ReplyReader(stream, asked.take, abandoned.append).end()
            assert not abandoned
        except ChatError as exc:
            asked.error = exc
        finally:
            await choice.aclose()
        return asked

    return ask
