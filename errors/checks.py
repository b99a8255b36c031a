"""System checks of `errors/`: a setting that would only fail at the first failure fails at start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from errors import catalogue, conf


@register()
def settings_are_valid(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        levels = conf.errors().log_levels
        catalogue.specs()
    except ImproperlyConfigured as exc:
        return [Error(str(exc), id="errors.E001")]
    problems: list[CheckMessage] = []
    for category, level in levels.items():
        if category not in catalogue.CATEGORIES or level.upper() not in catalogue.LEVELS:
            problems.append(
                Error(
                    f"ERRORS['log_levels'] has {category!r}: {level!r}.",
                    hint=f"Use a category ({', '.join(catalogue.CATEGORIES)}) and a level "
                    f"({', '.join(catalogue.LEVELS)}).",
                    id="errors.E002",
                )
            )
    return problems
