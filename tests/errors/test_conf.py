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


OF_SERVICES = {  # Kubernetes, for services called chat, chat-web and llm
    "CHAT_SERVICE_HOST": "10.0.0.1",
    "CHAT_SERVICE_PORT": "80",
    "CHAT_SERVICE_PORT_HTTP": "80",
    "CHAT_PORT": "tcp://10.0.0.1:80",
    "CHAT_PORT_80_TCP": "tcp://10.0.0.1:80",
    "CHAT_PORT_80_TCP_PROTO": "tcp",
    "CHAT_PORT_80_TCP_PORT": "80",
    "CHAT_PORT_80_TCP_ADDR": "10.0.0.1",
    "CHAT_WEB_SERVICE_HOST": "10.0.0.2",
    "CHAT_WEB_PORT": "udp://10.0.0.2:53",
    "LLM_SERVICE_PORT": "80",
    "LLM_PORT_80_TCP_ADDR": "10.0.0.3",
}


@pytest.mark.parametrize(("name", "kind"), [("CHAT", ChatSettings), ("LLM", LlmSettings)])
def test_the_links_of_services_are_nobodys_settings(name, kind):
    assert conf.from_environment(name, kind, OF_SERVICES) == {}


@pytest.mark.parametrize("variable", ["CHAT_PORT", "CHAT_SERVICE", "CHAT_SERVICE_HOSTS", "CHAT_PORT_TCP", "CHAT_HOST"])
def test_what_only_resembles_one_is_refused(variable):
    with pytest.raises(ImproperlyConfigured, match=f"{variable} is not a setting"):
        conf.from_environment("CHAT", ChatSettings, {variable: "8001"})
