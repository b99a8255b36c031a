"""Addresses of the chat, below its prefix: pages, the JSON API, and the one WebSocket."""

from __future__ import annotations

from typing import Any

from django.urls import include, path, re_path

from chat import api, conf, scrape, views
from chat.consumers import ChatConsumer
from chat.refusal import refuse_socket

app_name = "chat"

urlpatterns = [
    path("", views.chat_page, name="page"),
    path("s/<uuid:session_id>/", views.chat_page, name="session"),
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("errors/", include("errors.urls")),
    path("metrics/prometheus", scrape.prometheus, name="metrics"),
    path("", api.urls),
    # Not those that get their slash from Django.
    re_path(r"^(?!(?:login|logout|errors|s/[0-9a-f-]{36})$).*$", views.not_found),
]


def websocket_urlpatterns() -> list[Any]:
    """Made when they are asked for: of a mistake in the settings the system checks tell, and no import fails of it."""
    return [
        path(f"{conf.chat().path_prefix.lstrip('/')}/ws", ChatConsumer.as_asgi()),
        re_path(r"^.*$", refuse_socket),  # type: ignore[arg-type]  # the stubs know Django's views only
    ]
