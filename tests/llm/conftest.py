"""The misbehaving provider, and settings that point to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import openai  # noqa: F401 -- takes over a second: not within a test's first token
import pytest

from tests.services.llm_server import LlmServer

KEY = "sk-canary-key-77aa88bb99"


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
        lines = [f"{name} = {value!r}" for name, value in facts.items()]
        path = tmp_path / "providers.toml"
        path.write_text("[[provider]]\n" + "\n".join(lines) + "\n" + more)
        settings.LLM = {"providers_file": str(path)}
        llm_server.requests.clear()
        llm_server.headers.clear()
        llm_server.hung_up.clear()

    return use
