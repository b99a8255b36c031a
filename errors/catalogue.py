"""The whole catalogue of this deployment: the product's own specs and those a host project adds by setting."""

from __future__ import annotations

import functools

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from errors import conf
from errors.taxonomy import CATALOGUE, Category, ErrorSpec

CATEGORIES = tuple(category.value for category in Category)
_SETTING = "ERRORS['extra_specs'] (environment: ERRORS_EXTRA_SPECS)"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@functools.cache
def specs() -> tuple[ErrorSpec, ...]:
    """Return every spec that may be told here, each name once.

    Raises:
        ImproperlyConfigured: A path in ERRORS["extra_specs"] leads to no `ErrorSpec`, or its name is taken.
    """
    found = {spec.name: spec for spec in CATALOGUE}
    for path in conf.errors().extra_specs:
        try:
            spec = import_string(path)
        except ImportError as exc:
            raise ImproperlyConfigured(f"{_SETTING}: {path} cannot be imported: {exc}.") from exc
        if not isinstance(spec, ErrorSpec):
            raise ImproperlyConfigured(f"{_SETTING}: {path} is no ErrorSpec.")
        if spec.name in found:
            raise ImproperlyConfigured(f"{_SETTING}: the name {spec.name} of {path} is taken.")
        found[spec.name] = spec
    return tuple(found.values())


conf.forget_when(("ERRORS",), specs.cache_clear)
