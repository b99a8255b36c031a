"""Two databases, neither of them called "default": one of people and their conversations, one of failures."""

from __future__ import annotations

from typing import Any

PEOPLE, FAILURES = "people", "failures"


class Router:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _home(model._meta.app_label)

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == _home(app_label)


def _home(app_label: str) -> str:
    return FAILURES if app_label == "errors" else PEOPLE
