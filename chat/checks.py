"""System checks: mistakes in a deployment that would otherwise only show when the first person's message fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from django.apps import apps
from django.apps.config import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.urls import NoReverseMatch, reverse

from chat import conf, decode, page_modules
from chat.demo_accounts import DEMO_ACCOUNTS
from chat.llm import conf as llm_conf
from chat.llm import registry

_MIN_KEY_CHARS = 50
_MIN_KEY_DISTINCT = 5
_LEASE_CHECKPOINTS = 3  # a lease lasts at least so many checkpoints: two may be late
_PLACEHOLDER_HOST = re.compile(
    r"//(?:[^/]*\.)?(?:example\.(?:com|net|org)|your-domain\.\w+|\w+\.(?:example|invalid))(?::|$)"
)
_PLACEHOLDERS = ("django-insecure", "changeme", "change-me", "change_me", "secret", "password", "example")


@register()
def settings_are_valid(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        conf.chat()
    except ImproperlyConfigured as exc:
        return [Error(str(exc), id="chat.E001")]
    return []


@register()
def provider_can_be_made(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        registry.load()
    except ImproperlyConfigured as exc:
        return [] if str(exc).startswith("CHAT[") else [Error(str(exc), id="chat.E007")]
    return []


@register(deploy=True)
def a_model_answers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        is_demo = conf.chat().provider == "demo" and not llm_conf.providers()
    except ImproperlyConfigured:
        return []  # chat.E001 or chat.E007 says it
    if not is_demo:
        return []
    hint = "Set LLM_BASE_URL, LLM_API_KEY and LLM_MODEL, LLM_PROVIDERS_FILE or CHAT_PROVIDER."
    return [Warning("The built-in demo answers, and no model.", hint=hint, id="chat.W001")]


@register()
def message_types_can_be_read(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        conf.chat()
    except ImproperlyConfigured:
        return []  # chat.E001 says it
    try:
        decode.prepare()
    except ImproperlyConfigured as exc:
        return [Error(str(exc), id="chat.E008")]
    return []


@register()
def deployment_is_sound(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What DEBUG tolerates and production must not."""
    if settings.DEBUG:
        return []
    try:
        chat = conf.chat()
    except ImproperlyConfigured:
        return []  # chat.E001 says it
    problems: list[CheckMessage] = []
    backend = getattr(settings, "CHANNEL_LAYERS", {}).get("default", {}).get("BACKEND", "")
    if backend.endswith("InMemoryChannelLayer") and not chat.single_process:
        problems.append(
            Error(
                "The in-memory channel layer does not reach other processes.",
                hint="Set REDIS_URL, or CHAT_SINGLE_PROCESS=true if only ever one server process runs.",
                id="chat.E002",
            )
        )
    if not chat.allowed_origins:
        problems.append(
            Error(
                "No origin may open a WebSocket.",
                hint="Set CHAT_ALLOWED_ORIGINS to the full origins of your pages, such as https://chat.your-domain.org.",
                id="chat.E003",
            )
        )
    problems += [
        Error(
            f"CHAT_ALLOWED_ORIGINS has {origin}: a placeholder of the documentation.",
            hint="Name the full origins of your own pages.",
            id="chat.E003",
        )
        for origin in chat.allowed_origins
        if _PLACEHOLDER_HOST.search(origin)
    ]
    return problems


@register()
def there_is_a_channel_layer(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if getattr(settings, "CHANNEL_LAYERS", {}).get("default"):
        return []
    return [
        Error(
            "CHANNEL_LAYERS has no 'default'.",
            hint='For one process: CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}',
            id="chat.E011",
        )
    ]


@register()
def static_files_are_gathered(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A storage that puts hashes into names learns them from `collectstatic`."""
    if settings.DEBUG or not apps.is_installed("django.contrib.staticfiles"):
        return []
    hashed = getattr(staticfiles_storage, "hashed_files", None)
    if hashed is None or page_modules.ENTRY in hashed:
        return []
    return [
        Warning(
            "The static files of this version are not gathered, so their names have no hash.",
            hint="Run `manage.py collectstatic` and restart the servers; until then browsers may mix two versions.",
            id="chat.W012",
        )
    ]


@register(Tags.urls)
def prefix_is_that_of_the_urls(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """The page asks for its socket and its data below the prefix, and its links come from the project's urls.py."""
    try:
        prefix = conf.chat().path_prefix
    except ImproperlyConfigured:
        return []  # chat.E001 says it
    try:
        page = reverse("chat:page") if getattr(settings, "ROOT_URLCONF", None) else None
    except NoReverseMatch:
        page = None  # the socket alone, for pages that are elsewhere
    if page in (None, f"{prefix}/"):
        return []
    return [
        Error(
            f"CHAT_PATH_PREFIX is {prefix}, and the project's addresses have the chat at {page}.",
            hint=f'Set CHAT["path_prefix"] to {page.rstrip("/")!r}, or write '
            f'path("{prefix.lstrip("/")}/", include("chat.urls")).',
            id="chat.E010",
        )
    ]


@register()
def secret_key_is_strong(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    is_placeholder = any(word in key.lower() for word in _PLACEHOLDERS)
    if len(key) >= _MIN_KEY_CHARS and len(set(key)) >= _MIN_KEY_DISTINCT and not is_placeholder:
        return []
    return [
        Error(
            "SECRET_KEY is missing or weak." if key else "SECRET_KEY is missing.",
            hint=f"Set SECRET_KEY to at least {_MIN_KEY_CHARS} random characters: "
            "python -c 'import secrets; print(secrets.token_urlsafe(50))'",
            id="chat.E004",
        )
    ]


@register()
def leases_outlast_checkpoints(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A checkpoint renews the lease: one that is late must not give a living reply to another process."""
    try:
        chat = conf.chat()
    except ImproperlyConfigured:
        return []  # chat.E001 says it
    if chat.lease_s >= _LEASE_CHECKPOINTS * chat.checkpoint_s:
        return []
    return [
        Error(
            f"CHAT_LEASE_S is {chat.lease_s:g}: too short for a checkpoint every {chat.checkpoint_s:g} s.",
            hint=f"Set CHAT_LEASE_S to at least {_LEASE_CHECKPOINTS} times CHAT_CHECKPOINT_S, "
            "or replies that are still running will be taken for orphans.",
            id="chat.E009",
        )
    ]


@register()
def redis_client_fits(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if int(version("redis").split(".")[0]) < 8:
        return []
    return [
        Error(
            f"redis-py {version('redis')} closes idle channel-layer connections every 5 seconds.",
            hint="Install redis>=7.4,<8 (channels_redis#422).",
            id="chat.E005",
        )
    ]


@register(Tags.database)
def demo_accounts_are_gone(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Outside DEBUG nobody may sign in with a password that the README prints."""
    if settings.DEBUG or not databases:
        return []
    users = get_user_model()
    try:
        open_doors = [
            account.name
            for account in DEMO_ACCOUNTS
            for user in users._default_manager.filter(**{users.USERNAME_FIELD: account.name}, is_active=True)
            if user.check_password(account.password)
        ]
    except DatabaseError:
        return []  # no database or no tables yet: /readyz and `migrate` say so
    return [
        Error(
            f"The demo account {name!r} still has its published password.",
            hint=f"Change it (manage.py changepassword {name}) or delete the account.",
            id="chat.E006",
        )
        for name in open_doors
    ]
