"""What was read from a setting is read anew when a test changes it: all caches listen in the same way."""

from __future__ import annotations

import re
from pathlib import Path

from chat import conf as chat_conf
from chat import decode, message_types
from chat.llm import conf as llm_conf
from errors import catalogue, conf, redaction

ROOT = Path(__file__).resolve().parent.parent.parent


def test_one_of_the_named_settings_or_any(settings) -> None:
    heard: list[str] = []
    conf.forget_when(("CHAT", "LLM"), lambda: heard.append("named"), lambda: heard.append("second"))
    conf.forget_when((), lambda: heard.append("any"))
    settings.LLM = {}
    assert heard == ["named", "second", "any"]
    settings.USE_TZ = settings.USE_TZ
    assert heard == ["named", "second", "any", "any"]


def test_every_setting_of_ours_is_read_anew(settings) -> None:
    for name, caches in (
        ("CHAT", (chat_conf.chat, message_types.own, message_types.handlers, message_types.counted, decode.prepare)),
        ("LLM", (llm_conf.llm,)),
        ("ERRORS", (conf.errors, catalogue.specs, redaction._known_secrets, redaction._kept_answer)),
    ):
        redaction.redact("some words")
        for cache in caches:
            if not cache.cache_info().currsize:
                cache()
        setattr(settings, name, dict(getattr(settings, name)))
        assert [cache for cache in caches if cache.cache_info().currsize] == [], name


def test_nobody_listens_in_a_way_of_their_own() -> None:
    listeners = [
        str(path.relative_to(ROOT))
        for part in ("chat", "errors")
        for path in (ROOT / part).rglob("*.py")
        if re.search(r"\bsetting_changed\b", path.read_text())
    ]
    assert listeners == ["errors/conf.py"]
