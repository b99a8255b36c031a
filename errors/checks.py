"""System checks of `errors/`: a setting that would only fail at the first failure fails at start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from errors import catalogue, conf, links

# A path of this site or a whole address; frames carry it, and the page makes a link of it.
_ADDRESS = re.compile(r"(/(?![/\\])|https?://)[^\s\\]*")


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
    return problems + _links_lead_somewhere()


@register()
def theme_is_installed(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The admin's pages are made of the theme's: without it they are not found, or are Django's with parts missing."""
    names = [config.name for config in apps.get_app_configs()]
    if "django.contrib.admin" not in names:
        return []
    if "unfold" in names[: names.index("django.contrib.admin")]:
        return []
    problem = "comes after" if "unfold" in names else "is missing; it belongs before"
    hint = 'INSTALLED_APPS = ["unfold", "django.contrib.admin", ...]'
    return [Error(f"INSTALLED_APPS: 'unfold' {problem} 'django.contrib.admin'.", hint=hint, id="errors.E005")]


@register()
def times_have_zones(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every stored moment is in UTC. Without zones SQLite refuses it, and no failure would ever be stored."""
    if django_settings.USE_TZ:
        return []
    hint = "Moments are stored in UTC; TIME_ZONE remains the one in which they are shown."
    return [Error("USE_TZ is False; it must be True.", hint=hint, id="errors.E006")]


def _links_lead_somewhere() -> list[CheckMessage]:
    settings = conf.errors()
    problems: list[CheckMessage] = []
    for name in ("help_url", "home_url"):
        address = getattr(settings, name)
        if address and not _ADDRESS.fullmatch(address):
            hint = "Use a path of this site, such as /chat/, or a whole address with https://."
            problems.append(Error(f"ERRORS[{name!r}] is {address!r}.", hint=hint, id="errors.E003"))
    if settings.help_url and links.CODE_IN_URL not in settings.help_url:
        hint = f"Say where the code goes, for example /chat/errors/{links.CODE_IN_URL}."
        problems.append(Error(f"ERRORS['help_url'] is {settings.help_url!r}.", hint=hint, id="errors.E003"))
    if path := settings.conversation_link:
        try:
            is_callable = callable(import_string(path))
        except ImportError:
            is_callable = False
        if not is_callable:
            hint = "Name a function that takes the request and the failure."
            problems.append(Error(f"ERRORS['conversation_link'] is {path!r}.", hint=hint, id="errors.E004"))
    return problems
