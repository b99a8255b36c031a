"""The ASGI application: `daphne config.asgi:application`. Stacks the wrappers; the outermost is the last one here.

daphne runs no system checks, so they run here, once, and a mistake refuses to start in one line each.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core import checks
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def _start() -> ProtocolTypeRouter:
    http = get_asgi_application()
    _refuse_on_errors()
    from chat import shutdown
    from chat.urls import websocket_urlpatterns
    from chat.wrappers import OwnRootPath

    shutdown.install()
    return OwnRootPath(ProtocolTypeRouter({"http": http, "websocket": URLRouter(websocket_urlpatterns)}))


def _refuse_on_errors() -> None:
    # On a thread of its own: some servers import this module with their event loop running.
    with ThreadPoolExecutor(1) as thread:
        messages = thread.submit(
            checks.run_checks, include_deployment_checks=False, databases=list(settings.DATABASES)
        ).result()
    errors = [message for message in messages if message.is_serious() and not message.is_silenced()]
    if errors:
        raise ImproperlyConfigured("\n".join(f"{error.id}: {error.msg} {error.hint or ''}".strip() for error in errors))


try:
    application = _start()
except ImproperlyConfigured as exc:
    sys.exit(f"switchboard: {exc}")
