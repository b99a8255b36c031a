"""The environment every test process starts from, whatever the shell it was started in holds.

An early plugin (`-p tests.environment` in pyproject.toml): pytest-django reads config.settings before any conftest.py,
so the variables must be in place by then. Nothing of a developer's own configuration reaches a test, and no test
reaches a developer's database.

`TEST_DATABASE=postgresql` runs the same suite on a private PostgreSQL: the controller starts it, xdist's workers find
its URL in the environment that they inherit.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DATABASE_KINDS = ("sqlite", "postgresql")
OWN_PREFIXES = ("CHAT_", "ERRORS_", "LLM_", "REDIS_", "SENTRY_", "OPENAI_", "ANTHROPIC_", "DJANGO_")

scratch: Path | None = None  # this process's own folder: its test database lives here
postgres_server = None  # the controller's, while it runs


def database_kind() -> str:
    """Which database this run is on: `sqlite` or `postgresql`."""
    return os.environ.get("TEST_DATABASE") or "sqlite"


def is_worker() -> bool:
    """Whether this process is one of xdist's workers."""
    return "PYTEST_XDIST_WORKER" in os.environ


def sqlite_url(path: Path) -> str:
    """The DATABASE_URL of a SQLite file."""
    return f"sqlite:///{path}"


def clean(environment: dict[str, str]) -> dict[str, str]:
    """A copy without anything that configures Switchboard or a supplier of its."""
    ours = {"SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "DATABASE_URL", "LOG_LEVEL", "PORT", "LANGUAGE_CODE", "STATIC_ROOT"}
    return {
        name: value for name, value in environment.items() if name not in ours and not name.startswith(OWN_PREFIXES)
    }


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Lay the environment; a wrapper, so that it runs before pytest-django's own hook reads the settings."""
    global scratch
    if database_kind() not in DATABASE_KINDS:
        raise pytest.UsageError(f"TEST_DATABASE is {database_kind()!r}; it can be {' or '.join(DATABASE_KINDS)}")
    scratch = Path(tempfile.mkdtemp(prefix="switchboard-tests-"))
    inherited_url = os.environ.get("DATABASE_URL", "")
    laid = clean(dict(os.environ)) | {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DEBUG": "0",
        "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
        "CHAT_ALLOWED_ORIGINS": "http://testserver,http://localhost",
        "CHAT_SINGLE_PROCESS": "true",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": sqlite_url(scratch / "switchboard.sqlite3"),
        "STATIC_ROOT": str(scratch / "static"),
    }
    if database_kind() == "postgresql":
        laid["DATABASE_URL"] = inherited_url if is_worker() else start_postgres()
    os.environ.clear()
    os.environ.update(laid)
    return (yield)


def start_postgres() -> str:
    """Start the run's PostgreSQL and return its URL."""
    global postgres_server
    from tests.services.postgres import PostgresServer  # lazy: most processes never need it

    postgres_server = PostgresServer()
    postgres_server.start()
    return postgres_server.url


def pytest_report_header() -> str:
    return f"database: {database_kind()}"


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    global postgres_server
    if postgres_server is not None:
        postgres_server.stop()
        postgres_server = None
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
