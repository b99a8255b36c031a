"""A host project that is not ours: its own user model with UUID keys, its own prefix, no admin."""

from __future__ import annotations

import os

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "errors",
    "chat",
    "tests.foreign.people",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
AUTH_USER_MODEL = "people.Person"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["FOREIGN_DATABASE"],
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
ROOT_URLCONF = "tests.foreign.urls"
USE_TZ = True
CHAT = {
    "allowed_origins": ("http://testserver",),
    "path_prefix": "/talk/here",
    "single_process": True,
    "provider": "tests.foreign.provider.EchoBackend",
}
ERRORS = {"extra_specs": ("tests.foreign.provider.OUT_OF_PAPER",)}
