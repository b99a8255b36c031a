"""Fixtures that start real servers; conftest.py names this module in `pytest_plugins`.

A missing program skips the test with a reason, and fails it under CI=true. Tests are marked by the fixtures that they
use: `redis`, `postgres`, `server`. On PostgreSQL, tests that use no database are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.environment import database_kind
from tests.services.databases import MigratedDatabases
from tests.services.postgres import PostgresServer, find_postgres
from tests.services.process import give_up
from tests.services.redis import RedisServer, find_redis
from tests.services.server import DaphneServer

MARKS = {
    "redis_server": pytest.mark.redis,
    "own_redis": pytest.mark.redis,
    "own_postgres": pytest.mark.postgres,
    "daphne": pytest.mark.server,
    "start_daphne": pytest.mark.server,
}


# A test that uses none of these comes out the same on every database.
DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "migrated_databases"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures; on PostgreSQL keep only those that use a database."""
    for item in items:
        for fixture in _fixtures(item) & set(MARKS):
            item.add_marker(MARKS[fixture])
    if database_kind() != "sqlite":
        indifferent = [item for item in items if not _uses_database(item)]
        config.hook.pytest_deselected(items=indifferent)
        items[:] = [item for item in items if item not in set(indifferent)]


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Test databases are not dropped: their folder or server goes as a whole, whoever is still connected."""
    return True


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """The process's Redis, never stopped or paused; tests use `redis_server`."""
    _need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """A running Redis without keys, shared by the tests of this process; do not stop or pause it."""
    shared_redis.flush()
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis of the test's own, to stop, pause and kill."""
    _need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own with one empty database, to stop, pause and restart."""
    if find_postgres() is None:
        give_up("PostgreSQL is not installed (apt install postgresql)")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_databases() -> Iterator[MigratedDatabases]:
    """Makes migrated databases for servers: `migrated_databases.create()` is a DATABASE_URL."""
    databases = MigratedDatabases()
    yield databases
    databases.close()


@pytest.fixture(scope="module")
def daphne(migrated_databases: MigratedDatabases) -> Iterator[DaphneServer]:
    """One running server for the tests of a module, single process; do not stop it."""
    with DaphneServer(migrated_databases.create()) as server:
        yield server


@pytest.fixture
def start_daphne(migrated_databases: MigratedDatabases) -> Iterator[Callable[..., DaphneServer]]:
    """`start_daphne(redis_url=..., variables=...)`: servers of the test's own, each with a new database unless given
    `database_url`."""
    servers: list[DaphneServer] = []

    def start(database_url: str | None = None, **options: Any) -> DaphneServer:
        server = DaphneServer(database_url or migrated_databases.create(), **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def _uses_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or bool(_fixtures(item) & DATABASE_FIXTURES)


def _need_redis() -> None:
    if find_redis() is None:
        give_up("redis-server is not installed (apt install redis-server)")
