"""A real server that logs everything, for the walks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.databases import MigratedDatabases
from tests.services.server import DaphneServer


@pytest.fixture(scope="module")
def logging_daphne(migrated_databases: MigratedDatabases) -> Iterator[DaphneServer]:
    """One server for the walks of a module, with the DEBUG lines of errors and chat."""
    with DaphneServer(migrated_databases.create(), variables={"LOG_LEVEL": "DEBUG"}) as server:
        yield server
