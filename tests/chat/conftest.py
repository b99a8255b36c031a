"""A channel layer over Redis, for the tests of the hub; journals, as of two processes."""

from __future__ import annotations

import pytest

from chat.journal import Journal
from tests.chat.hubs import use


@pytest.fixture
def over_redis(settings, own_redis):
    use(settings, own_redis.url)
    return own_redis


@pytest.fixture
async def journal():
    made = Journal(runner="this-process")
    yield made
    await made.aclose()


@pytest.fixture
async def other_journal():
    """Another process's, as the database sees it."""
    made = Journal(runner="other-process")
    yield made
    await made.aclose()
