"""The settings of failures: what the app with the pages offers, and what the project says."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat.conf import ChatSettings
from chat.llm.conf import LlmSettings
from errors import conf
from errors.conf import ErrorsSettings, check

CANARY = "canary-pw-5e1d-77aa"


@pytest.mark.parametrize(
    ("own", "found"), [({}, "/pages/{code}/"), ({"help_url": "/own/{code}/"}, "/own/{code}/"), ({"help_url": ""}, "")]
)
def test_an_offer_that_comes_late_is_taken_where_the_project_says_nothing(settings, monkeypatch, own, found):
    """Something may be logged before the app that has the pages is loaded."""
    settings.ERRORS = own
    monkeypatch.setattr(conf, "_offers", [])
    conf.errors.cache_clear()
    assert conf.errors().help_url == own.get("help_url", "")
    conf.offer(lambda: {"help_url": "/pages/{code}/"})
    assert conf.errors().help_url == found
    monkeypatch.undo()
    conf.errors.cache_clear()


@pytest.mark.parametrize(
    ("name", "kind", "raw"),
    [
        ("ERRORS", ErrorsSettings, {"secrets": CANARY}),  # a text where a tuple belongs
        ("LLM", LlmSettings, {"api_key": CANARY.encode()}),
        ("CHAT", ChatSettings, {"metrics_token": [CANARY]}),
    ],
)
def test_a_secret_of_the_wrong_type_is_not_quoted(name, kind, raw):
    with pytest.raises(ImproperlyConfigured, match=r"Expected") as refused:
        check(name, raw, kind)
    assert CANARY not in str(refused.value)
