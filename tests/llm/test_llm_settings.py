"""LLM_* and the providers' file: wrong values refuse in one line; the example in docs/providers.md works."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat import checks
from chat.llm import conf, registry
from chat.llm.providers_file import ProviderSettings

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
        ({"api_key": "hunter2", "model": "m"}, "LLM_API_KEY, LLM_MODEL: no server is named"),
        ({"allow_plain_http": True}, "LLM_ALLOW_PLAIN_HTTP: no server is named"),
        ({"base_url": "http://x.org/v1", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "ftp://x.org", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "https://me:hunter2@x.org", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "https://hunter2@x.org", "model": "m"}, "no user, no password"),
        ({"base_url": "https://x.org/v1?key=hunter2", "model": "m"}, "nothing after a"),
        ({"base_url": "https://x.org/v1#hunter2", "model": "m"}, "nothing after a"),
        ({"base_url": "https://", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": "https://[::1", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": "https://x.org:99999/v1", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": "https://x.org:port/v1", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": "https://x .org/v1", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": "https://x.org/v1\n", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": f"https://{'x' * 64}.org/v1", "model": "m"}, "LLM_BASE_URL is no address"),
        ({"base_url": "http://169.254.169.254/v1", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "http://8.8.8.8/v1", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "http://localhost.evil.org/v1", "model": "m"}, "LLM_BASE_URL must be https"),
        ({"base_url": "https://x.org", "model": "m", "api_key": "hunter2\nX-Evil: 1"}, "characters that no key has"),
        ({"base_url": "https://x.org", "model": "m", "api_key": "hunter2é"}, "characters that no key has"),
        ({"base_url": "https://x.org", "model": "m", "max_tokens_field": "tokens"}, "LLM_MAX_TOKENS_FIELD"),
        ({"base_url": "https://x.org", "model": "m", "max_tokens": 0}, "LLM_MAX_TOKENS"),
        ({"base_url": "https://x.org", "model": "m", "context_tokens": 0}, "LLM_CONTEXT_TOKENS"),
        ({"modle": "m"}, "did you mean model"),
        ({"providers_file": "/nowhere.toml"}, "cannot be read: No such file"),
        ({"providers_file": "/"}, "cannot be read: Is a directory"),
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
        (ONE + 'colour = "red"\n', "'colour' is not a setting."),
        (ONE + 'basse_url = "red"\n', "'basse_url' is not a setting; did you mean base_url?"),
        (ONE + "max_token = 7\n", "did you mean max_tokens?"),
        ("[[providers]]\n", "'providers' is not a setting; did you mean provider?"),
        ("provider = 7", "names no"),
        ("provider = [7]", "names no"),
        ("[provider]\n" + ONE.partition("\n")[2], "names no"),
        (ONE + 'max_tokens = "many"\n', "provider 'a': max_tokens: Expected `int | null`, got `str`"),
        (ONE + "max_tokens = 0\n", "max_tokens: Expected `int` >= 1"),
        (ONE + "total_s = nan\n", "total_s"),
        (ONE + "first_token_s = 0\n", "first_token_s: Expected `float` > 0"),
        (ONE + 'max_tokens_field = "tokens"\n', "max_tokens_field"),
        (ONE.replace('id = "a"\n', ""), "provider 1: Object missing required field `id`"),
        (ONE.replace('"a"', '""'), "id is empty"),
        (ONE.replace('"a"', "7"), "provider 1: id: Expected `str`"),
        (ONE + 'api_key_env = "sk-hunter2"\n', "api_key_env is not the name of an environment variable"),
        (ONE + 'api_key_env = "gsk_hunter2"\n', "the environment variable that api_key_env names is empty"),
        (ONE + 'api_key_env = "BROKEN_KEY"\n', "variable BROKEN_KEY holds a key with characters that no key has"),
        (ONE + 'api_key = "sk-1"\n', "api_key_env"),
        (ONE + 'api_key_env = "NOT_SET_ANYWHERE"\n', "NOT_SET_ANYWHERE is empty"),
        (ONE.replace("https", "http"), "must be https"),
        ('[[provider]]\nid = "a"\n', "base_url and model are needed"),
        ('[[provider]]\nid = "a"\ntype = "no.such.Thing"\n', "no.such.Thing"),
    ],
)
def test_a_wrong_file_refuses_in_one_line(settings, tmp_path, monkeypatch, text, words):
    monkeypatch.setenv("BROKEN_KEY", "hunter2\nhunter2")
    settings.LLM = _file(tmp_path, text)
    with pytest.raises(ImproperlyConfigured, match=re.escape(words)) as refused:
        registry.load()
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_class_of_ones_own_may_read_the_variables_itself(settings, configure):
    settings.LLM = {"api_key": "k"}
    configure(provider="chat.llm.demo.DemoBackend")
    assert registry.load().models


@pytest.mark.parametrize(
    ("values", "own", "ids"),
    [
        ({}, "demo", ["chat.W001"]),
        ({}, "chat.llm.demo.DemoBackend", []),
        ({"base_url": "https://x.org/v1", "model": "m"}, "demo", []),
        ({"base_url": "https://x.org/v1"}, "demo", []),  # chat.E007 says it
    ],
)
def test_a_deployment_without_a_model_is_warned(settings, configure, values, own, ids):
    settings.LLM = values
    configure(provider=own)
    assert [found.id for found in checks.a_model_answers(None)] == ids


def test_a_file_that_is_no_text_refuses_in_one_line(settings, tmp_path):
    (tmp_path / "providers.toml").write_bytes(b"\xff\xfe[")
    settings.LLM = {"providers_file": str(tmp_path / "providers.toml")}
    with pytest.raises(ImproperlyConfigured, match="is no TOML") as refused:
        registry.load()
    assert "\n" not in str(refused.value)


def test_plain_http_beyond_ones_own_network_has_to_be_allowed(settings, tmp_path):
    settings.LLM = {"base_url": "http://x.org/v1", "model": "m", "allow_plain_http": True}
    assert [model.id for model in registry.load().models] == ["m"]
    settings.LLM = _file(tmp_path, ONE.replace("https", "http") + "allow_plain_http = true\n")
    assert [model.id for model in registry.load().models] == ["a"]


def test_a_key_comes_without_the_line_end_of_its_file(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("PROVIDER_KEY", "sk-12345678\n")
    settings.LLM = _file(tmp_path, ONE + 'api_key_env = "PROVIDER_KEY"\n')
    assert [provider.api_key for provider in conf.providers()] == ["sk-12345678"]


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


def test_the_documentation_shows_every_key_of_the_file():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    shown = {line.partition(" = ")[0] for line in text.splitlines() if " = " in line}
    assert shown == {*ProviderSettings.__struct_fields__} - {"api_key"}


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
