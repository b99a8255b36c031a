"""The ASGI application: `daphne config.asgi:application`. A mistake of the deployment refuses to start, in one line."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def _start() -> Any:
    http = get_asgi_application()
    from chat.asgi import with_chat  # needs the apps

    return with_chat(http)


try:
    application = _start()
except ImproperlyConfigured as exc:
    sys.exit(f"switchboard: {exc}")
