from __future__ import annotations

from django.apps import AppConfig


class ErrorsConfig(AppConfig):
    name = "errors"
    label = "errors"
    verbose_name = "Errors"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from errors import checks  # noqa: F401 -- registers the system checks; needs the app registry
