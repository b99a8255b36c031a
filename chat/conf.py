"""Typed settings of the chat: the CHAT dict of Django's settings. `chat()` is the one way to read them."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Annotated

import msgspec
from django.core.exceptions import ImproperlyConfigured

from errors import conf as errors_conf
from errors.conf import Positive, PositiveSeconds, forget_when, read
from errors.redaction import keep_secret

_TOKEN = re.compile(r"[!-~]{16,}")  # long enough that nobody guesses it, and fit for a header
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `chat/`. Each can be set as CHAT["name"] or in the environment as CHAT_NAME."""

    # What the page says of itself
    title: str = "Switchboard"  # above the list of conversations, at the sign-in, and in the names of tabs
    # What an empty conversation offers to ask; the demo has an answer to each of these.
    suggestions: tuple[str, ...] = ("What can you do?", "How do I use Switchboard?", "Tell me a short story")

    # Who may connect, and where
    allowed_origins: tuple[str, ...] = ()  # full origins, compared letter by letter; cookies travel by themselves
    path_prefix: str = "/chat"  # where pages, API and socket live; a proxy forwards this one path
    single_process: bool = False  # one server process only: the in-memory channel layer is enough

    trusted_proxies: tuple[str, ...] = ()  # addresses or networks that may say where a connection comes from
    access_check_s: PositiveSeconds = 60  # seconds until a login whose end went unnoticed closes its sockets; one query

    metrics_token: str = ""  # opens {path_prefix}/metrics/prometheus to who brings it; empty: there is no such page

    # What a client may send. Lengths count characters (Unicode code points).
    max_frame_bytes: Annotated[int, msgspec.Meta(ge=1_024, le=1_048_576)] = 131_072  # daphne resets above 1 MiB
    max_content_chars: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000  # as JSON escapes, within a frame
    max_registrations: Positive = 20  # sessions of one connection; the least recently used leaves
    message_types: tuple[str, ...] = ()  # dotted paths to a project's own `MessageType`s
    address_messages_per_minute: Positive = 1_200  # per client address, over all its people; an office stays below
    connection_frames_per_minute: Positive = 600  # per connection, of any type; a page sends a few
    connections_per_user: Positive = 20  # tabs and devices; each may cost a megabyte
    handshakes_per_minute: Positive = 1_200  # per client address; an office of a thousand comes back after a restart
    messages_per_minute: Positive = 60  # per user, over all connections; a person types less, a script more
    refused_per_minute: Positive = 600  # per connection, less what the person's last ones used up; each costs a record
    max_running_replies: Positive = 3  # per user; each one costs a provider request
    tokens_per_day: Positive | None = None  # per user and UTC day, asked and answered; none: no limit
    outbox_size: Positive = 256  # frames waiting for one connection; more than a page of `resume`
    outbox_chars: Positive = 131_072  # characters waiting for one connection; a client that never reads costs no more
    slow_client_s: PositiveSeconds = 30  # seconds without room until 4408; below the server's own ping timeout

    # The assistant
    provider: str = "demo"  # "demo", or the dotted path of a class with the interface of chat.llm.base.Backend
    fault_commands: bool = False  # `/fault <kind>` causes any failure; settings.DEBUG turns it on too
    history_messages: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 40  # earlier messages given to the model
    first_token_s: PositiveSeconds = 15  # seconds; above the p99 of the slowest model, below a proxy's usual 60
    next_token_s: PositiveSeconds = 10  # seconds between two pieces of a reply before it counts as interrupted
    reply_total_s: PositiveSeconds = 120  # seconds; even a trickle must end
    max_reply_chars: Positive = 200_000  # characters; a longer answer is kept up to here and counts as interrupted
    chunk_ms: Positive = 40  # milliseconds of text per frame; too short for the eye to see steps
    checkpoint_s: PositiveSeconds = 1  # seconds of text that may be lost when a server is killed
    checkpoint_chars: Positive = 2_048  # or this much text, whichever comes first
    end_patience_s: PositiveSeconds = (
        10  # seconds for which the end of a reply waits to be stored before people are told
    )
    lease_s: PositiveSeconds = 15  # seconds after which a reply whose process died is ended by another
    stop_grace_s: PositiveSeconds = 8  # seconds from SIGTERM to exit; the orchestrator's own grace must be longer

    idle_session_s: PositiveSeconds = 604_800  # seconds without use until a session ends by itself; seven days

    # Storage and delivery
    database_threads: Positive = 8  # queries of sockets in flight; each holds one database connection
    database_timeout_s: PositiveSeconds = 2.5  # seconds a person waits for storage before being told
    database_queue_size: Positive = 1_000  # queries, or appends, that wait; then SERVER_BUSY
    layer_timeout_s: PositiveSeconds = 1  # seconds one call to the channel layer may take
    local_delivery: bool = True  # deliver within the process without going through the layer
    heartbeat_s: PositiveSeconds = 25  # seconds; below the 60 s at which proxies drop a silent connection
    resume_page: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200  # messages per answer to `resume`
    resume_limit: Positive = 1_000  # missed messages; beyond that, only the newest page is sent
    history_page: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50  # messages or sessions per HTTP page, at most


@functools.cache
def chat() -> ChatSettings:
    """Return the settings.

    Raises:
        ImproperlyConfigured: One line that says which value is wrong.
    """
    settings = read("CHAT", ChatSettings)
    for origin in settings.allowed_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ImproperlyConfigured(
                f"CHAT['allowed_origins'] (environment: CHAT_ALLOWED_ORIGINS) has {origin!r}: an origin is "
                "scheme://host or scheme://host:port, in lower case, without a path."
            )
    if not settings.title.strip():
        raise ImproperlyConfigured("CHAT['title'] (environment: CHAT_TITLE) is empty: the page needs a name.")
    for proxy in settings.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise ImproperlyConfigured(
                f"CHAT['trusted_proxies'] (environment: CHAT_TRUSTED_PROXIES) has {proxy!r}: "
                "it must be an address or a network, such as 10.0.0.7 or 10.0.0.0/24."
            ) from None
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", settings.path_prefix):
        raise ImproperlyConfigured(
            f"CHAT['path_prefix'] (environment: CHAT_PATH_PREFIX) is {settings.path_prefix!r}: "
            "it must begin with a slash and not end with one, such as /chat."
        )
    if settings.metrics_token:
        if not _TOKEN.fullmatch(settings.metrics_token):
            raise ImproperlyConfigured(
                "CHAT['metrics_token'] (environment: CHAT_METRICS_TOKEN) must be at least 16 letters, digits or other "
                "ASCII characters, without spaces."  # it is not quoted: a short one may be a slip of a good one
            )
        keep_secret(settings.metrics_token)
    return settings


def _pages_of_failures() -> dict[str, str]:
    try:
        prefix = chat().path_prefix
    except ImproperlyConfigured:
        return {}  # the system checks say it
    return {
        "help_url": f"{prefix}/errors/{{code}}",
        "home_url": f"{prefix}/",
        "site_title": chat().title,
        "conversation_link": "chat.admin_links.conversation",
    }


errors_conf.offer(_pages_of_failures)
forget_when(("CHAT",), chat.cache_clear, errors_conf.errors.cache_clear)
