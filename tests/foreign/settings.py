"""A host project that is not ours: its own user model with UUID keys, its own prefix, two databases, no admin."""

from __future__ import annotations

import os

from tests.foreign import databases

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
    "default": {},
    **{
        alias: {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{os.environ['FOREIGN_DATABASES']}/{alias}.sqlite3",
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        }
        for alias in (databases.PEOPLE, databases.FAILURES)
    },
}
DATABASE_ROUTERS = ["tests.foreign.databases.Router"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
ROOT_URLCONF = "tests.foreign.urls"
USE_TZ = True
CHAT = {
    "allowed_origins": ("http://testserver",),
    "path_prefix": "/talk/here",
    "single_process": True,
    "provider": "tests.foreign.provider.EchoBackend",
    "message_types": ("tests.foreign.messages.SHOUT",),
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "[%(levelname)s %(name)s] %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"errors": {"handlers": ["console"], "level": "DEBUG"}},
}
ERRORS = {"extra_specs": ("tests.foreign.provider.OUT_OF_PAPER",)}
