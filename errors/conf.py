"""Typed settings: the ERRORS dict of Django's settings, and the two functions by which every app here reads its own.

`read` is called by the apps, `from_environment` by a project's settings module.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

Positive = Annotated[int, msgspec.Meta(ge=1)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]  # a day; `inf` is no time to wait
Settings = TypeVar("Settings", bound=msgspec.Struct)
_SECRET = re.compile(r"secrets?$|password|api_key$|token$")  # settings whose values are never shown

# What Kubernetes sets in every container for each service, and one may be called `chat`. CHAT_PORT=8001 is none of it.
_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_(HOST|PORT(_\w+)?)=|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|PORT=(tcp|udp|sctp)://)"
)


class ErrorsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `errors/`. Each can be set as ERRORS["name"] or in the environment as ERRORS_NAME."""

    enabled: bool = True  # off: failures are reported and logged, but no row is stored
    extra_specs: tuple[str, ...] = ()  # dotted paths to a host project's own ErrorSpecs
    log_levels: dict[str, str] = {}  # category -> level name, where ERROR is too loud: {"validation": "warning"}
    row_queue_size: Positive = 10_000  # failures; about 20 MB of waiting rows, then rows are dropped and counted
    row_batch_size: Positive = 100  # rows of one transaction: SQLite's write lock is held for milliseconds
    row_linger_ms: Positive = 200  # milliseconds for which rows gather, unless a whole batch is there sooner
    row_untold_s: PositiveSeconds = 120  # seconds a row waits for its frame; above the longest way of a reply's end
    retention_days: Positive = 30  # days; `prune_failures` deletes what is older
    max_traceback_chars: Positive = 20_000  # characters kept of one traceback, its end first
    traceback_interval_s: PositiveSeconds = (
        1  # seconds; one traceback text per cause in this time, the rest point to it
    )
    secrets: tuple[str, ...] = ()  # further values that must never be shown to staff either
    # Where the four below are not set, an app that has such pages says where they are (`offer`).
    help_url: str = ""  # address of a code's page, such as "/chat/errors/{code}"; frames carry it unless it is empty
    home_url: str = ""  # where the error pages lead back to
    site_title: str = ""  # the name above the error pages; "Switchboard" where nobody says another
    conversation_link: str = (
        ""  # dotted path of (request, failure) -> address of its conversation in the admin, or None
    )


def forget_when(names: Collection[str], *forget: Callable[[], object]) -> None:
    """Call each of `forget` when one of these settings changes, or any if none is named: in tests, where they do."""

    def listen(*, setting: str, **_: object) -> None:
        if not names or setting in names:
            for each in forget:
                each()

    setting_changed.connect(listen, weak=False)


@functools.cache
def errors() -> ErrorsSettings:
    offered = {key: value for give in _offers for key, value in give().items()}
    return check("ERRORS", {**offered, **getattr(django_settings, "ERRORS", {})}, ErrorsSettings)


_offers: list[Callable[[], Mapping[str, str]]] = []


def offer(give: Callable[[], Mapping[str, str]]) -> None:
    """Let the app that has the pages say where they are; what a project sets in ERRORS wins."""
    _offers.append(give)
    errors.cache_clear()


forget_when(("ERRORS",), errors.cache_clear)


def read(name: str, kind: type[Settings]) -> Settings:
    """Return Django's setting `name`, a dict, as `kind`; raises what `check` raises."""
    return check(name, getattr(django_settings, name, {}), kind)


def check(name: str, raw: Mapping[str, Any], kind: type[Settings]) -> Settings:
    """Return `raw` as `kind`. For a settings module, which cannot read itself yet.

    Raises:
        ImproperlyConfigured: One line: an unknown key, a wrong type, or a value out of range.
    """
    for key in raw:
        if key not in kind.__struct_fields__:
            raise ImproperlyConfigured(f"{name}[{key!r}] is not a setting{_suggestion(key, kind.__struct_fields__)}")
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as exc:
        problem, _, path = str(exc).partition(" - at `$.")
        key = path.rstrip("`").split("[")[0].split(".")[0]
        value = "" if _SECRET.search(key) else f" is {raw.get(key)!r}"
        raise ImproperlyConfigured(f"{name}[{key!r}] (environment: {name}_{key.upper()}){value}: {problem}.") from exc


def from_environment(name: str, kind: type[Settings], environ: Mapping[str, str]) -> dict[str, Any]:
    """Collect the variables `<name>_<KEY>` into a dict fit for `read`; lists are comma-separated, dicts are JSON.

    Raises:
        ImproperlyConfigured: One line: a variable that names no setting, or invalid JSON.
    """
    hints = get_type_hints(kind)
    known = {f"{name}_{field.upper()}": field for field in kind.__struct_fields__}
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(f"{name}_"):
            continue
        if variable not in known:
            if _SERVICE_LINK.match(f"{variable}={text}"):
                continue
            raise ImproperlyConfigured(f"{variable} is not a setting{_suggestion(variable, known)}")
        field = known[variable]
        found[field] = _parse(variable, text, hints[field])
    return found


def _parse(variable: str, text: str, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if origin is dict:
        try:
            return json.loads(text)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{variable} must be a JSON object, not {text!r}.") from exc
    if hint is bool or bool in get_args(hint):
        if (word := text.strip().lower()) in {"1", "true", "yes", "on"}:
            return True
        if word in {"0", "false", "no", "off"}:
            return False
        raise ImproperlyConfigured(f"{variable} must be true or false, not {text!r}.")
    return text.strip()


def _suggestion(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."
