"""A channel layer over Redis, for the tests of the hub."""

from __future__ import annotations

import pytest

from tests.chat.hubs import use


@pytest.fixture
def over_redis(settings, own_redis):
    use(settings, own_redis.url)
    return own_redis
