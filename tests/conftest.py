"""Fixtures that every test may use: people, their connections, the log, the records."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import hypothesis
import pytest
import structlog
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from errors import conf as errors_conf
from errors import report
from errors.models import RoutingFailure
from errors.rows import row_writer
from tests.people import Person

pytest_plugins = ["tests.services.plugin"]

# Hypothesis' own limit on the clock (200 ms an example) would fail a property whenever the machine stands still.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """No pool in the tests' own process: their threads come and go, and it would lose what they do not give back.

    The servers that tests start have theirs.
    """
    for database in connections.settings.values():
        database.get("OPTIONS", {}).pop("pool", None)


@pytest.fixture(autouse=True)
def _own_failures(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test's failures are its own: none of another test's rows come late, and no traceback is suppressed by one."""
    if "transactional_db" in request.fixturenames:
        request.getfixturevalue("transactional_db")  # so that the rows are written before its tables are emptied
    report._last_traceback.clear()
    yield
    row_writer.flush(unsettled_too=True)


@pytest.fixture
async def own_runtime() -> AsyncIterator[None]:
    """Ends what the test's event loop started: tasks, threads, connections."""
    from chat import runtime

    yield
    await runtime.current().aclose(grace_s=2)


@pytest.fixture
def people(transactional_db: None) -> Callable[[str], Person]:
    """`people("alice")` is somebody with an account, signed in."""

    def create(name: str, *, is_staff: bool = False) -> Person:
        # No password: nobody here types one, and its hash would cost a third of a second.
        user = get_user_model().objects.create_user(name, is_staff=is_staff)
        client = Client()
        client.force_login(user)
        return Person(name, str(user.pk), client.cookies["sessionid"].value, client)

    return create


@pytest.fixture
def alice(people: Callable[[str], Person], own_runtime: None) -> Person:
    return people("alice")


@pytest.fixture
def bob(people: Callable[[str], Person], own_runtime: None) -> Person:
    return people("bob")


@pytest.fixture
def mallory(people: Callable[[str], Person], own_runtime: None) -> Person:
    return people("mallory")


@pytest.fixture
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Every event that structlog is given during the test, as a dict with `log_level`."""
    levels = {name: logging.getLogger(name).level for name in ("errors", "chat")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        yield lines
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def failures() -> Callable[..., Any]:
    """`await failures()` are the stored failures, oldest first; filters are those of the model."""

    async def read(**filters: Any) -> list[RoutingFailure]:
        def query() -> list[RoutingFailure]:
            assert row_writer.flush(), "failure rows were not written in time"
            return list(RoutingFailure.objects.filter(**filters).order_by("occurred_at", "id"))

        return await sync_to_async(query)()

    return read


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """`configure(max_running_replies=1)` changes settings of the chat for one test; call it before connecting."""

    def change(**values: Any) -> None:
        settings.CHAT = {**settings.CHAT, **values}

    yield change
    errors_conf.errors.cache_clear()
