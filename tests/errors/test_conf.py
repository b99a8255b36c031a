"""The settings of failures: what the app with the pages offers, and what the project says."""

from __future__ import annotations

import pytest

from errors import conf


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
