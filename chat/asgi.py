"""The ASGI stack around a Django project. For its `asgi.py`, once the apps are loaded:

http = get_asgi_application()

from chat.asgi import with_chat  # not earlier

application = with_chat(http)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from chat import shutdown
from chat.probes import Probes
from chat.urls import websocket_urlpatterns
from chat.wrappers import OwnRootPath


def with_chat(http: Any, websocket: Sequence[Any] = ()) -> Any:
    """Return the whole application: `http`, the chat's socket, and SIGTERM in good order under daphne.

    Args:
        websocket: The project's own WebSocket addresses, as `URLRouter` takes them.

    Raises:
        ImproperlyConfigured: What Django's system checks find, one line each: servers run none of their own. daphne's
            command ends with these lines, and without a traceback.
    """
    try:
        _refuse_on_errors()
    except ImproperlyConfigured as exc:
        if "daphne.cli" in sys.modules:
            sys.exit(f"switchboard: {exc}")
        raise
    sockets = URLRouter([*websocket, *websocket_urlpatterns()])
    gate = shutdown.Gate(Probes(ProtocolTypeRouter({"http": http, "websocket": sockets})))
    shutdown.install(gate)
    return OwnRootPath(gate)


def _refuse_on_errors() -> None:
    # On a thread of its own: some servers import their application with the event loop running.
    with ThreadPoolExecutor(1) as thread:
        messages = thread.submit(
            checks.run_checks, include_deployment_checks=False, databases=list(settings.DATABASES)
        ).result()
    errors = [message for message in messages if message.is_serious() and not message.is_silenced()]
    if errors:
        raise ImproperlyConfigured("\n".join(f"{error.id}: {error.msg} {error.hint or ''}".strip() for error in errors))
