"""The values of one stored failure as its admin page shows them: escaped, explained, linked to the failures like it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from errors import catalogue, causes, cells, links
from errors.models import RoutingFailure
from errors.taxonomy import ErrorSpec, Outcome, Stage, Words

_OUTCOMES: dict[str, Words] = {
    Outcome.REJECTED: _("nothing was stored"),
    Outcome.SAVED: _("the message is stored, its answer is not"),
    Outcome.PARTIAL: _("the message is stored, and the beginning of its answer"),
    Outcome.UNKNOWN: _("unknown; sending it again under the same ref will tell"),
}


def time(failure: RoutingFailure) -> SafeString:
    local = timezone.localtime(failure.occurred_at)
    return format_html(
        '<time datetime="{}">{}.{:03} {}</time> <small>{}</small>',
        local.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}",
        local.microsecond // 1000,
        local.tzname(),
        cells.ago(failure.occurred_at),
    )


def root_cause(failure: RoutingFailure) -> SafeString:
    brief = causes.in_brief(failure.cause, cells.MORE_CHARS)
    return format_html('<b class="failure-root">{}</b>', cells.visible(brief) or gettext("Not recorded."))


def code(failure: RoutingFailure) -> SafeString:
    return format_html("{} <small>{}</small>", cells.label(failure, failure.code), cells.category(failure))


def advice(failure: RoutingFailure) -> str:
    """What the person read, why it happens, and what they can do about it."""
    facts = {"failure": failure, "specs": _specs(failure), "help_url": links.help_url(failure.code)}
    return render_to_string("errors/advice.html", facts)


def outcome(failure: RoutingFailure) -> SafeString:
    meaning = _OUTCOMES.get(failure.outcome)
    return format_html("<b>{}</b>: {}", failure.outcome, meaning) if meaning else format_html("{}", failure.outcome)


def recoverable(failure: RoutingFailure) -> str:
    if failure.stage == Stage.HTTP:
        return gettext("yes") if failure.recoverable else gettext("no: the person has to sign in, or lacks the right")
    return gettext("yes: the connection went on") if failure.recoverable else gettext("no: the connection was closed")


def retry_after(failure: RoutingFailure) -> str:
    return f"{failure.retry_after_ms} ms" if failure.retry_after_ms else "-"


def user(failure: RoutingFailure) -> SafeString | str:
    """The user's name and id; the id alone where there is no such user any more."""
    if not failure.user_id:
        return gettext("nobody was signed in")
    name = cells.name_of_user(failure)
    link = cells.list_link(failure, "user_id", text=name)
    return format_html("{} ({})", link, cells.visible(failure.user_id)) if name else link


def remember_conversation(failure: RoutingFailure, address: str | None) -> None:
    """Note where this reader finds the failure's conversation, for `session`."""
    vars(failure)["conversation"] = address


def session(failure: RoutingFailure) -> SafeString | str:
    link = cells.list_link(failure, "session_id")
    address = vars(failure).get("conversation")
    if not address:
        return link
    words = gettext("Open the conversation")
    return format_html('{} <a class="failure-open" href="{}">{}</a>', link, address, words)


def cause_chain(failure: RoutingFailure) -> str:
    chain = [
        {key: cells.visible(str(cause.get(key, ""))) for key in ("type", "message", "where")}
        for cause in failure.causes
        if isinstance(cause, dict)
    ]
    return render_to_string("errors/causes.html", {"causes": chain, "root": cells.visible(failure.cause)})


def traceback(failure: RoutingFailure) -> str:
    known = vars(failure)
    if "same_cause" not in known:  # asked once, like the user's name
        known["same_cause"] = causes.extent(failure.fingerprint)
    facts = {
        "text": cells.visible(failure.traceback),
        "address": cells.list_address(fingerprint=failure.fingerprint),
        "extent": known["same_cause"],
    }
    return render_to_string("errors/traceback.html", facts)


def told(failure: RoutingFailure) -> str:
    return render_to_string(
        "errors/told.html", {"deliveries": list(_deliveries(failure)), "frame": cells.visible(_pretty(failure.frame))}
    )


def _deliveries(failure: RoutingFailure) -> Iterable[str]:
    told, dropped = failure.deliveries, failure.drops
    if told:
        yield ngettext("Told to %(count)d connection.", "Told to %(count)d connections.", told) % {"count": told}
    if dropped:
        yield ngettext(
            "Dropped for %(count)d connection: the outbox was full.",
            "Dropped for %(count)d connections: the outbox was full.",
            dropped,
        ) % {"count": dropped}
    if not told and not dropped and failure.stage == Stage.HTTP:
        yield gettext("Nobody was connected any more: the answer reached no one.")
    elif not told and not dropped:
        yield gettext("Nobody was connected any more: the frame reached no one.")


def _pretty(frame: str) -> str:
    try:
        return json.dumps(json.loads(frame), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return frame


def _specs(failure: RoutingFailure) -> list[ErrorSpec]:
    """The specs that share this code, as the person was told; none where a host project has taken its own away."""
    specs = [spec for spec in catalogue.specs() if spec.code == failure.code]
    with translation.override(settings.LANGUAGE_CODE):  # which frames speak, whatever the reader does
        told = [spec for spec in specs if spec.message in failure.frame]
    return told or specs
