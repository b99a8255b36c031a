"""Makes the SDK's client as we want it. The one place that imports the SDK first: over half a second, and 20 MB."""

from __future__ import annotations

import logging
from typing import Any

from chat.llm.conf import ProviderSettings

_CONNECT_S = 2.0  # seconds; a server that is there answers in milliseconds


def make(settings: ProviderSettings) -> Any:
    """Return a client for one event loop. Blocks: call it on a thread.

    It sends nothing that this provider's settings do not say: no proxy, organisation or key from the environment, and
    no second request to wherever an answer points.
    """
    import openai

    from chat.llm import bounded  # needs the SDK's transport

    # At DEBUG these write whole requests, which is to say conversations.
    for name in ("openai", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)

    headers: dict[str, Any] = {
        "Accept-Encoding": "identity",  # compressed, words would arrive in lumps
        "OpenAI-Organization": openai.omit,
        "OpenAI-Project": openai.omit,
    }
    return openai.AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key or "none",  # the SDK insists
        max_retries=0,
        timeout=openai.Timeout(settings.total_s, connect=_CONNECT_S),
        default_headers=headers,
        http_client=openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [] if settings.api_key else [_leave_out_key], "response": [bounded.bound]},
            trust_env=False,
            follow_redirects=False,
        ),
    )


async def _leave_out_key(request: Any) -> None:
    request.headers.pop("Authorization", None)
