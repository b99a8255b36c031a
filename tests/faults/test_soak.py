"""The fast tier of `make soak`: fixed seeds, few faults, short times. Both shapes; all five numbers are 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import soak
from tests.services.postgres import find_postgres
from tests.services.process import give_up
from tests.services.redis import find_redis

SCALE = 0.25  # of the times that faults last in `make soak`


@pytest.mark.soak
@pytest.mark.server
def test_nothing_is_lost_on_sqlite_with_one_process(tmp_path: Path) -> None:
    plan = ("kill -9 + everything sent twice", "SQLite locked", "SIGTERM")
    found, run = soak.run(
        tmp_path, seconds=0, seed=1, database="sqlite", processes=1, has_redis=False, scale=SCALE, plan=plan
    )
    assert found.findings == []
    assert found.acked > 20  # somebody did talk; how much is the machine's
    assert found.faults == 4
    assert run.closed == {}


@pytest.mark.soak
@pytest.mark.server
@pytest.mark.redis
@pytest.mark.postgres
def test_nothing_is_lost_on_postgresql_with_two_processes(tmp_path: Path) -> None:
    if find_postgres() is None or find_redis() is None:
        give_up("PostgreSQL and Redis are needed (apt install postgresql redis-server)")
    plan = ("Redis killed + everything sent twice", "PostgreSQL connections terminated", "kill -9")
    found, run = soak.run(
        tmp_path, seconds=0, seed=2, database="postgresql", processes=2, has_redis=True, scale=SCALE, plan=plan
    )
    assert found.findings == []
    assert found.acked > 20  # somebody did talk; how much is the machine's
    assert found.faults == 4
    assert run.closed == {}
