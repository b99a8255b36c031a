"""Addresses of the chat, below its prefix: pages, the JSON API, and the one WebSocket."""

from __future__ import annotations

from django.urls import include, path, re_path

from chat import api, conf, views
from chat.consumers import ChatConsumer
from chat.refusal import refuse_socket

app_name = "chat"

urlpatterns = [
    path("", views.chat_page, name="page"),
    path("s/<uuid:session_id>/", views.chat_page, name="session"),
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("errors/", include("errors.urls")),
    path("", api.urls),
    re_path(r"^(?!(?:login|logout|errors)$).*$", views.not_found),  # those get their slash from Django
]

websocket_urlpatterns = [
    path(f"{conf.chat().path_prefix.lstrip('/')}/ws", ChatConsumer.as_asgi()),
    re_path(r"^.*$", refuse_socket),  # type: ignore[arg-type]  # the stubs know Django's views only
]
