"""The ASGI application: `daphne config.asgi:application`. A mistake in the deployment stops it with one line."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def _start() -> Any:
    http = get_asgi_application()
    from chat.asgi import with_chat  # needs the apps

    application = with_chat(http)
    # What lives as long as the process need not be traversed again and again, and a message's own objects need no
    # collector: running it less often saves about a twentieth of the processor time per message.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 20)
    return application


try:
    application = _start()
except ImproperlyConfigured as exc:
    sys.exit(f"switchboard: {exc}")
