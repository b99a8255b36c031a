"""`redact` itself: the deployment's own secrets, short messages, quotes of any length, hostile text."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import redaction
from errors.redaction import SECRET_MARK, TEXT_MARK, Redactor, redact, redact_end
from tests.waiting import in_time

KEY = "canary" + "k3y" * 15


@pytest.fixture
def forgotten(monkeypatch) -> Any:
    """`monkeypatch`, and the secrets are read anew before and after."""
    for cache in (redaction._known_secrets, redaction._kept_answer):
        cache.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    for cache in (redaction._known_secrets, redaction._kept_answer):
        cache.cache_clear()


class TestKnownSecrets:
    """The values of this deployment's settings, wherever and however they are quoted."""

    HARD = "p'a\"s\\s/w@rd %é!"

    @pytest.mark.parametrize("secret", ["plain-canary-1", HARD])
    @pytest.mark.parametrize(
        "place",
        ["SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASES", "REDIS_URL", "layer", "ERRORS", "mail", "cache", "shop"],
    )
    def test_are_replaced_in_every_form(self, forgotten, secret, place):
        url = f"redis://:{quote(secret, safe='')}@10.0.0.8:6379/0"
        match place:
            case "SECRET_KEY":
                forgotten.setattr(django_settings, place, secret)
            case "SECRET_KEY_FALLBACKS":
                forgotten.setattr(django_settings, place, [secret])
            case "DATABASES":
                forgotten.setattr(django_settings, place, {"default": {"PASSWORD": secret}})
            case "REDIS_URL":
                forgotten.setattr(django_settings, place, url)
            case "layer":
                layers = {"default": {"CONFIG": {"hosts": [{"address": url}]}}}
                forgotten.setattr(django_settings, "CHANNEL_LAYERS", layers)
            case "mail":
                forgotten.setattr(django_settings, "EMAIL_HOST_PASSWORD", secret)
            case "cache":
                forgotten.setattr(django_settings, "CACHES", {"default": {"LOCATION": [url]}})
            case "shop":
                options = {"stores": [{"name": "one", "secret_key": secret}]}
                forgotten.setattr(django_settings, "SHOP", options, raising=False)
            case "ERRORS":
                forgotten.setattr(django_settings, place, {"secrets": (secret,)})
                redaction.conf.errors.cache_clear()
        forms = {secret, repr(secret), json.dumps(secret), quote(secret, safe=""), repr(secret.encode()), str([secret])}
        assert {form: redact(f"before {form} after") for form in forms if secret[:5] in redact(form)} == {}
        assert all(redact(f"before {form} after").startswith("before ") for form in forms)
        redaction.conf.errors.cache_clear()

    def test_ordinary_words_are_no_secrets(self, forgotten):
        """An empty or tiny password would otherwise blot out the whole story."""
        forgotten.setattr(django_settings, "DATABASES", {"a": {"PASSWORD": ""}, "b": {"PASSWORD": "a"}, "c": {}})
        forgotten.setattr(django_settings, "REDIS_URL", "redis://localhost:6379/0")
        words = "a database was away at localhost, of auth.User by django.contrib.auth.backends.ModelBackend"
        assert redact(words) == words

    @pytest.mark.parametrize("offset", range(-len(KEY) - 2, 3))
    def test_are_not_shown_in_half_where_the_text_is_cut(self, forgotten, offset):
        forgotten.setattr(django_settings, "SECRET_KEY", KEY)
        limit = 2_000
        text = "." * (limit + offset) + KEY + "." * 3_000
        redact_start = Redactor((), ()).redact_start
        assert "k3y" not in redact_start(text, limit)
        assert "k3y" not in redact_end(text[::-1].replace(KEY[::-1], KEY), limit)
        assert len(redact_start(text, limit)) <= limit


class TestMessageText:
    @pytest.mark.parametrize("text", ["hi", "é?", "no", "'", "a\nb"])
    def test_short_words_are_replaced_where_they_are_quoted(self, text):
        """Everywhere else they are syllables of the operator's own words."""
        for form in (repr(text), json.dumps(text), json.dumps(text, ensure_ascii=False)):
            assert TEXT_MARK in redact(f"invalid value {form} in nothing", (text,))
        assert redact("hidden annotation of nothing", ("hi", "no")) == "hidden annotation of nothing"

    def test_blanks_around_it_do_not_hide_it(self):
        assert redact("KeyError: secret1", ("  secret1 \n",)) == f"KeyError: {TEXT_MARK}"
        assert redact("nothing at all", ("", " ", "\n")) == "nothing at all"

    @settings(max_examples=500, deadline=None)
    @given(
        st.text(st.characters(exclude_characters="[]"), min_size=12, max_size=80).filter(lambda text: text.strip()),
        st.sampled_from([str, repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False)]),
        st.data(),
    )
    def test_no_quote_of_twelve_characters_is_left(self, said, form, data):
        """However long it is, wherever it begins, and in whatever form it is written."""
        written = form(said)
        begin = data.draw(st.integers(0, len(written)))
        end = data.draw(st.integers(begin, len(written)))
        junk = data.draw(st.text(max_size=20))
        left = redact(f"{junk}{written[begin:end]}{junk}", (said,))
        inner = form(said.strip()) if form is str else form(said.strip())[1:-1]  # the quotation marks were not said
        forms = {said.strip(), inner}
        assert not [1 for text in forms for i in range(len(text) - 11) if text[i : i + 12] in left]

    @pytest.mark.parametrize(
        "said", ["I am ill, and 'they' do not know", "я болен и никто не знает", 'she said "no" to it']
    )
    @pytest.mark.parametrize(
        "quoted",
        [
            lambda said: f"400 for url 'https://api.example/?q={quote(said)}'",
            lambda said: f"400 for url 'https://api.example/?q={quote_plus(said)}&n=1'",
            lambda said: repr(json.dumps({"content": said})),
            lambda said: json.dumps({"body": json.dumps({"content": said})}),
        ],
        ids=["address", "form", "repr of JSON", "JSON in JSON"],
    )
    def test_is_found_in_what_a_library_made_of_it(self, said, quoted):
        told = redact(f"bad request: {quoted(said)}", (said,))
        assert TEXT_MARK in told
        assert quoted(said)[-20:-8] not in told or said.isascii()

    def test_of_several_messages_each_is_replaced(self):
        told = redact("first: one two three four, second: five six seven", ("one two three four", "five six seven"))
        assert told == f"first: {TEXT_MARK}, second: {TEXT_MARK}"


class TestWhatStaysReadable:
    @pytest.mark.parametrize(
        "text",
        [
            "no token within 15 s",
            "Expected `str`, got `int` - at `$.last_seq`",
            "connection to server at 10.0.0.7, port 5432 failed: Connection refused",
            "column chat_message.client_ref does not exist",
            'File "chat/journal.py", line 12, in append',
            "the cookie, which was set yesterday, has expired",
            "https://api.provider.example:8443/v1/chat/completions answered 502",
            "max_tokens=512 is too many",
        ],
    )
    def test_the_operators_words(self, text):
        assert redact(text, ("What is the weather like today, my friend?",)) == text

    def test_what_a_url_connects_to(self):
        told = redact("postgres://app:hunter22@db.internal:5432/prod is away")
        assert told == f"postgres://app:{SECRET_MARK}@db.internal:5432/prod is away"


HOSTILE = {
    "letters and points": "a." * 10_000, "letters and hyphens": "a-" * 10_000, "one word": "a" * 20_000,
    "schemes": "a.://b" * 3_333, "half tokens": "-eyJaaaaaaaa" * 1_818, "blanks": "token" + " " * 20_000,
    "open quotes": "password='" * 2_000, "escapes": "password='" + "a\\" * 10_000, "headers": "cookie:'" * 2_500,
    "line ends": "\n" * 20_000, "escaped line ends": "\\n" * 10_000, "bars": "| " * 10_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(name):
    """A client chooses what an exception quotes; the event loop must not stand still over it (it did, for a second)."""
    began = time.thread_time()
    redact(HOSTILE[name])
    in_time(time.thread_time() - began, 0.25, "redacting it")


def test_a_long_message_does_not_make_a_short_exception_expensive():
    """A frame of 100 kB that is no JSON is looked for in words like "DecodeError": thousands of times a second."""
    said = "".join(chr(97 + number * 7 % 26) + str(number) for number in range(20_000))[:100_000]
    began = time.thread_time()
    for _ in range(5):
        redact("INVALID_FORMAT: DecodeError", (said,))
    in_time(time.thread_time() - began, 0.1, "redacting it five times")
