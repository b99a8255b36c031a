"""LLM_* and the providers' file: wrong values refuse in one line; the example in docs/providers.md works."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat.llm import conf, registry

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "providers.md").read_text()
ONE = '[[provider]]\nid = "a"\nbase_url = "https://x.org/v1"\nmodel = "m"\n'


def _file(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "providers.toml"
    path.write_text(text)
    return {"providers_file": str(path)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base_url": "https://x.org/v1"}, "LLM_MODEL is missing"),
        ({"base_url": "http://x.org/v1", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "ftp://x.org", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "https://me:hunter2@x.org", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "https://x.org", "model": "m", "context_tokens": 0}, "LLM_CONTEXT_TOKENS"),
        ({"modle": "m"}, "did you mean model"),
        ({"providers_file": "/nowhere.toml"}, "cannot be read"),
    ],
)
def test_a_wrong_value_refuses_in_one_line(settings, values, words):
    settings.LLM = values
    with pytest.raises(ImproperlyConfigured, match=words) as refused:
        registry.load()
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[provider", "providers.toml"),
        ("", "provider"),
        ("provider = []", "names no"),
        (ONE + ONE, "same id"),
        (ONE + 'colour = "red"\n', "colour"),
        (ONE + 'api_key = "sk-1"\n', "api_key_env"),
        (ONE + 'api_key_env = "NOT_SET_ANYWHERE"\n', "NOT_SET_ANYWHERE is empty"),
        (ONE.replace("https", "http"), "must be https"),
        ('[[provider]]\nid = "a"\n', "base_url and model are needed"),
        ('[[provider]]\nid = "a"\ntype = "no.such.Thing"\n', "no.such.Thing"),
    ],
)
def test_a_wrong_file_refuses_in_one_line(settings, tmp_path, text, words):
    settings.LLM = _file(tmp_path, text)
    with pytest.raises(ImproperlyConfigured, match=re.escape(words)) as refused:
        registry.load()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "10.1.2.3", "llm", "gpu.internal", "[::1]:9"])
def test_plain_http_is_fine_within_ones_own_network(settings, host):
    settings.LLM = {"base_url": f"http://{host}/v1", "model": "m"}
    assert [model.id for model in registry.load().models] == ["m"]


def test_the_file_of_the_documentation_works(settings, tmp_path, monkeypatch):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    monkeypatch.setenv("PROVIDER_KEY", "sk-12345678")
    settings.LLM = _file(tmp_path, text)
    assert [provider.id for provider in conf.providers()] == ["local", "fast"]
    assert [model.name for model in registry.load().models] == ["On our own machine", "Fast"]


async def test_the_class_of_the_documentation_works(alice, configure, monkeypatch):
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    module = types.ModuleType("parrots")
    monkeypatch.setitem(sys.modules, "parrots", module)
    exec(compile(text, "docs/providers.md", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    configure(provider="parrots.Parrot")
    device = await alice.connect()
    ack = await device.say("pretty polly", ref="r1")
    assert await device.answer(ack["reply_id"]) == "pretty polly "
    ack = await device.say("??", ref="r2", session_id=ack["session_id"])
    assert (await device.expect_error("LLM_UNAVAILABLE", reply_id=ack["reply_id"]))["outcome"] == "saved"
