"""What the connections of a thread of our own are like, and that those of others stay as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection, connections

from errors.own_connections import use_own_connections

FULL, NORMAL = 2, 1  # of PRAGMA synchronous

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="settings of SQLite's"),
]


def synchronous() -> int:
    try:
        with connection.cursor() as cursor:
            return int(cursor.execute("PRAGMA synchronous").fetchone()[0])
    finally:
        connections.close_all()


@pytest.mark.parametrize(("syncs_commits", "level"), [(True, FULL), (False, NORMAL)])
def test_a_commit_waits_for_the_disk_unless_it_need_not(syncs_commits, level):
    with ThreadPoolExecutor(1, initializer=partial(use_own_connections, syncs_commits=syncs_commits)) as thread:
        assert thread.submit(synchronous).result() == level
    assert synchronous() == FULL  # of every other thread


def test_a_commit_waits_where_there_is_no_write_ahead_log(monkeypatch):
    """Without one a file can be damaged by a commit that did not wait."""
    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.setitem(options, "init_command", "PRAGMA cache_size=-128")
    with ThreadPoolExecutor(1, initializer=partial(use_own_connections, syncs_commits=False)) as thread:
        assert thread.submit(synchronous).result() == FULL
