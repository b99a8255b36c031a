"""The values of one stored failure as its admin page shows them: escaped, explained, linked to the failures like it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from errors import catalogue, causes, links, users
from errors.models import RoutingFailure
from errors.taxonomy import Category, ErrorSpec, Outcome, Stage, Words

_ROOT_CHARS = 200  # characters of the root cause above the fold; the chain below has all of it
_CATEGORIES = frozenset(Category)  # those that have a colour
_OUTCOMES: dict[str, Words] = {
    Outcome.REJECTED: _("nothing was stored"),
    Outcome.SAVED: _("the message is stored, its answer is not"),
    Outcome.PARTIAL: _("the message is stored, and the beginning of its answer"),
    Outcome.UNKNOWN: _("unknown; sending it again under the same ref will tell"),
}


def visible(text: str) -> str:
    """Return `text` with characters that do not show, or that turn the text around, written as escapes."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text
    )


def list_address(**facts: str) -> str:
    query = f"?{urlencode(facts)}" if facts else ""
    return f"{reverse('admin:errors_routingfailure_changelist')}{query}"


def lookup_address(reference: str) -> str:
    return f"{reverse('admin:errors_routingfailure_lookup')}?{urlencode({'q': reference})}"


def list_link(failure: RoutingFailure, *names: str, text: str = "") -> SafeString | str:
    """Return the first named fact as a link to the list of failures that share all named facts; "-" if it is empty.

    Args:
        text: Shown instead of the fact, which is still in the title.
    """
    facts = {name: getattr(failure, name) for name in names if getattr(failure, name)}
    fact = facts.get(names[0])
    if not fact:
        return "-"
    title = f"{text} ({fact})" if text else fact
    return format_html(
        '<a class="failure-fact" href="{}" title="{}">{}</a>',
        list_address(**facts),
        visible(title),
        visible(text or fact),
    )


def time(failure: RoutingFailure) -> SafeString:
    local = timezone.localtime(failure.occurred_at)
    return format_html(
        '<time datetime="{}">{}.{:03} {}</time> <small>{}</small>',
        local.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}",
        local.microsecond // 1000,
        local.tzname(),
        ago(failure.occurred_at),
    )


def ago(moment: datetime) -> str:
    """How long ago `moment` was, in its largest unit."""
    if timezone.now() - moment < timedelta(minutes=1):  # another process's clock may be ahead
        return gettext("just now")
    return gettext("%(time)s ago") % {"time": timesince(moment, depth=1)}


def root_cause(failure: RoutingFailure) -> SafeString:
    brief = causes.in_brief(failure.cause, _ROOT_CHARS)
    return format_html('<b class="failure-root">{}</b>', visible(brief) or gettext("Not recorded."))


def cause_in_list(failure: RoutingFailure) -> SafeString | str:
    brief = visible(causes.in_brief(failure.cause))
    longer = visible(causes.in_brief(failure.cause, _ROOT_CHARS))
    return format_html('<span title="{}">{}</span>', longer, brief) if brief else "-"


def code(failure: RoutingFailure) -> SafeString:
    return format_html("{} <small>{}</small>", _label(failure, failure.code), _category(failure))


def code_in_list(failure: RoutingFailure) -> SafeString:
    """The code in its category's colour, which is told to who does not see colours, too; below it, where it failed."""
    hidden = format_html('{}<span class="failure-unseen"> {}</span>', failure.code, _category(failure))
    where = dict.fromkeys((failure.stage, failure.message_type))  # often one word for both
    return format_html(
        '{} <small class="failure-where">{}</small>', _label(failure, hidden), visible(", ".join(filter(None, where)))
    )


def _label(failure: RoutingFailure, text: str) -> SafeString:
    known = failure.category if failure.category in _CATEGORIES else "other"
    return format_html(
        '<span class="failure-label failure-of-{}" title="{}">{}</span>', known, _category(failure), text
    )


def _category(failure: RoutingFailure) -> str:
    return failure.category.replace("_", " ")


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
    name = _name_of_user(failure)
    link = list_link(failure, "user_id", text=name)
    return format_html("{} ({})", link, visible(failure.user_id)) if name else link


def _name_of_user(failure: RoutingFailure) -> str:
    if "user_name" not in vars(failure):  # asked once: the theme renders each value several times
        remember_names([failure])
    return str(vars(failure)["user_name"])


def remember_names(failures: Iterable[RoutingFailure]) -> None:
    """Note the names of the failures' users, asked in one query; empty where the account is gone."""
    failures = list(failures)
    names = users.names(failure.user_id for failure in failures if failure.user_id)
    for failure in failures:
        vars(failure)["user_name"] = names.get(failure.user_id, "")


def user_in_list(failure: RoutingFailure) -> SafeString | str:
    """The user's name; the key where the account is gone; the address where nobody was signed in."""
    if not failure.user_id and failure.address:
        return address(failure)
    return list_link(failure, "user_id", text=_name_of_user(failure))


def address(failure: RoutingFailure) -> SafeString | str:
    """The address as a link to what failed there on that day: it has no index, so the time has to bound the search."""
    if not failure.address:
        return "-"
    day = f"{timezone.localtime(failure.occurred_at):%Y-%m-%d}"
    words = visible(failure.address)
    return format_html(
        '<a class="failure-fact" href="{}" title="{}">{}</a>',
        list_address(address=failure.address, when=day),
        words,
        words,
    )


def remember_conversation(failure: RoutingFailure, address: str | None) -> None:
    """Note where this reader finds the failure's conversation, for `session`."""
    vars(failure)["conversation"] = address


def session(failure: RoutingFailure) -> SafeString | str:
    link = list_link(failure, "session_id")
    address = vars(failure).get("conversation")
    if not address:
        return link
    words = gettext("Open the conversation")
    return format_html('{} <a class="failure-open" href="{}">{}</a>', link, address, words)


def cause_chain(failure: RoutingFailure) -> str:
    chain = [
        {key: visible(str(cause.get(key, ""))) for key in ("type", "message", "where")}
        for cause in failure.causes
        if isinstance(cause, dict)
    ]
    return render_to_string("errors/causes.html", {"causes": chain, "root": visible(failure.cause)})


def traceback(failure: RoutingFailure) -> str:
    known = vars(failure)
    if "same_cause" not in known:  # asked once, like the user's name
        known["same_cause"] = causes.extent(failure.fingerprint)
    facts = {
        "text": visible(failure.traceback),
        "address": list_address(fingerprint=failure.fingerprint),
        "extent": known["same_cause"],
    }
    return render_to_string("errors/traceback.html", facts)


def told(failure: RoutingFailure) -> str:
    return render_to_string(
        "errors/told.html", {"deliveries": list(_deliveries(failure)), "frame": visible(_pretty(failure.frame))}
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
