"""Django settings of the servers that ours is compared with: what a tutorial ends with."""

from __future__ import annotations

import os
from typing import Any

import environ

env = environ.Env()

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "bench.peers",
]
DATABASES: dict[str, Any] = {"default": env.db_url_config(os.environ.get("DATABASE_URL") or "sqlite://:memory:")}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}} if os.environ.get("LAYER") else {}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
CHANX = {"SEND_AUTHENTICATION_MESSAGE": False}
