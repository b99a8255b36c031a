"""All settings of the deployment, from the environment. The server refuses to start on a wrong value, or an unknown
variable that begins with CHAT_, LLM_ or ERRORS_, and says in one line what to change.

The table of variables is in docs/configuration.md.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from redis.asyncio.connection import parse_url

from chat.conf import ChatSettings
from chat.llm.conf import LlmSettings
from config import theme
from errors import logs
from errors.conf import ErrorsSettings, check, from_environment

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"  # everything that this deployment writes; git-ignored

env = environ.Env()
_MAX_PORT = 65_535


def _port() -> int:
    text = os.environ.get("PORT", "").strip() or "8000"
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_PORT:
        raise ImproperlyConfigured(f"PORT is {text!r}: it must be a port number.")
    return int(text)


def _redis_url() -> str:
    """Never echoed: it may hold a password. Read as its users will: they first do when somebody connects."""
    url = os.environ.get("REDIS_URL", "").strip()
    try:
        if url:
            parse_url(url)
    except ValueError:
        raise ImproperlyConfigured(
            "REDIS_URL must be redis://HOST:PORT/DATABASE, rediss://... or unix://PATH, with %5B for a [ in a password."
        ) from None
    return url


def _boolean(variable: str, default: bool) -> bool:
    text = os.environ.get(variable, "").strip().lower()
    if text in {"", "1", "true", "yes", "on", "0", "false", "no", "off"}:
        return default if text == "" else text in {"1", "true", "yes", "on"}
    raise ImproperlyConfigured(f"{variable} is {text!r}: it must be true or false.")


def _development_key() -> str:
    """A random key that stays the same over restarts, so that a developer stays signed in."""
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()


# --- The deployment ---------------------------------------------------------------------------------------------------

DEBUG = _boolean("DEBUG", default=False)  # manage.py and `make run` turn it on; under daphne it stays off
PORT = _port()  # only decides which origins are local in development
SECRET_KEY = env.str("SECRET_KEY", default="") or (_development_key() if DEBUG else "")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"] if DEBUG else [])
REDIS_URL = _redis_url()

INSTALLED_APPS = [
    "daphne",  # runserver serves WebSockets too
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "errors",
    "chat",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Storage ----------------------------------------------------------------------------------------------------------


_DATABASE_URL_SHAPE = "DATABASE_URL must be sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME."


def _database() -> dict[str, Any]:
    VAR_DIR.mkdir(exist_ok=True)  # SQLite makes the file, not its folder
    url = os.environ.get("DATABASE_URL", "").strip() or f"sqlite:///{VAR_DIR / 'switchboard.sqlite3'}"
    # The scheme first: the parser warns of others, and its warning quotes the whole URL with its password.
    if url.partition(":")[0] not in {"sqlite", "postgres", "postgresql"}:
        raise ImproperlyConfigured(_DATABASE_URL_SHAPE)
    try:
        database = env.db_url_config(url)
    except Exception:
        raise ImproperlyConfigured(_DATABASE_URL_SHAPE) from None
    if not database.get("NAME"):
        raise ImproperlyConfigured(_DATABASE_URL_SHAPE)
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",  # a writer waits at BEGIN, where waiting is safe, not at the first write
            "timeout": 2,  # seconds for the write lock; below what a person waits for an answer
            # WAL: readers and the writer do not hold each other up. A page that is written again and again is copied
            # into the database once per 16 000 pages of the log (64 MiB), not once per 1000: whoever commits just then
            # waits for it.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=16000",
        }
        # Each HTTP request has its own thread, which would leave the file open if it did not close its connection. The
        # sockets' threads keep theirs (chat/database.py).
        database["CONN_MAX_AGE"] = 0
        # Tests need a file too: several threads share it.
        database["TEST"] = {"NAME": str(Path(database["NAME"]).with_suffix(".test.sqlite3"))}
    else:
        database["CONN_MAX_AGE"] = 0  # the pool keeps the connections
        # The pool looks whether one still works before it hands it out: after a restart of PostgreSQL each of those
        # that it kept would fail a request.
        database["CONN_HEALTH_CHECKS"] = True
        database["OPTIONS"] = {
            **database.get("OPTIONS", {}),
            "connect_timeout": 2,  # seconds; a dead host must not hold a thread for minutes
            # milliseconds; both below what a person waits for an answer
            "options": "-c statement_timeout=5000 -c lock_timeout=2000",
            "pool": {
                "min_size": 1,
                # for HTTP: the threads of the sockets, of the journal and of failure rows keep their own connections
                "max_size": 24,
                "timeout": 2,  # seconds to wait for a connection
            },
        }
    return database


DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- The two apps -----------------------------------------------------------------------------------------------------

CHAT: dict[str, Any] = from_environment("CHAT", ChatSettings, os.environ)
ERRORS: dict[str, Any] = from_environment("ERRORS", ErrorsSettings, os.environ)
LLM: dict[str, Any] = from_environment("LLM", LlmSettings, os.environ)
if DEBUG:
    CHAT.setdefault("allowed_origins", (f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"))
    CHAT.setdefault("fault_commands", True)
    CHAT.setdefault("single_process", True)

_CHAT = check("CHAT", CHAT, ChatSettings)
check("ERRORS", ERRORS, ErrorsSettings)
check("LLM", LLM, LlmSettings)

DATABASES = {"default": _database()}

CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "switchboard"},
    }
    if REDIS_URL
    else {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        # events; all sessions of the process share one channel, so the default of 100 would drop a busy moment
        "CONFIG": {"capacity": 10_000},
    }
}

# --- Pages ------------------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default="") or VAR_DIR / "static")
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns about a missing one at every start
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "chat.static_files.HashedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True  # under plain names it serves what is installed, with or without `collectstatic`
LOGIN_URL = "chat:login"
LOGIN_REDIRECT_URL = "chat:page"
LOGOUT_REDIRECT_URL = "chat:login"
LANGUAGE_CODE = env.str("LANGUAGE_CODE", default="en")  # of frames, pages and the admin
LOCALE_PATHS = [BASE_DIR / "locale"]  # where `manage.py makemessages` writes; nothing is shipped
TIME_ZONE = "UTC"
USE_TZ = True

CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],  # the admin theme evaluates its own expressions (Alpine.js)
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
_HAS_HTTPS = not DEBUG and any(origin.startswith("https://") for origin in CHAT.get("allowed_origins", ()))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HAS_HTTPS
CSRF_TRUSTED_ORIGINS = list(CHAT.get("allowed_origins", ()))
UNFOLD = theme.UNFOLD

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- Logs -------------------------------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="DEBUG" if DEBUG else "INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}: it must be DEBUG, INFO, WARNING or ERROR.")
LOGGING_CONFIG = None  # the two lines below configure logging, for the standard library and structlog alike
logs.configure(as_json=not DEBUG, level=LOG_LEVEL)
