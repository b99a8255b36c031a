"""A fact of a failure wherever the admin shows it: escaped, linked to the failures that share it; the list's cells."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext

from errors import causes, users
from errors.models import RoutingFailure
from errors.taxonomy import Category

MORE_CHARS = 200  # characters of a cause where there is room for more than in a cell
_CATEGORIES = frozenset(Category)  # those that have a colour


def visible(text: str) -> str:
    """Return `text` with characters that do not show, or that turn the text around, written as escapes."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text
    )


def ago(moment: datetime) -> str:
    """How long ago `moment` was, in its largest unit."""
    if timezone.now() - moment < timedelta(minutes=1):  # another process's clock may be ahead
        return gettext("just now")
    return gettext("%(time)s ago") % {"time": timesince(moment, depth=1)}


def list_address(**facts: str) -> str:
    query = f"?{urlencode(facts)}" if facts else ""
    return f"{reverse('admin:errors_routingfailure_changelist')}{query}"


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


def cause_in_list(failure: RoutingFailure) -> SafeString | str:
    brief = visible(causes.in_brief(failure.cause))
    longer = visible(causes.in_brief(failure.cause, MORE_CHARS))
    return format_html('<span title="{}">{}</span>', longer, brief) if brief else "-"


def code_in_list(failure: RoutingFailure) -> SafeString:
    """The code in its category's colour, which is told to who does not see colours, too; below it, where it failed."""
    hidden = format_html('{}<span class="failure-unseen"> {}</span>', failure.code, category(failure))
    where = dict.fromkeys((failure.stage, failure.message_type))  # often one word for both
    return format_html(
        '{} <small class="failure-where">{}</small>', label(failure, hidden), visible(", ".join(filter(None, where)))
    )


def label(failure: RoutingFailure, text: str) -> SafeString:
    known = failure.category if failure.category in _CATEGORIES else "other"
    return format_html('<span class="failure-label failure-of-{}" title="{}">{}</span>', known, category(failure), text)


def category(failure: RoutingFailure) -> str:
    return failure.category.replace("_", " ")


def user_in_list(failure: RoutingFailure) -> SafeString | str:
    """The user's name; the key where the account is gone; the address where nobody was signed in."""
    if not failure.user_id and failure.address:
        return address(failure)
    return list_link(failure, "user_id", text=name_of_user(failure))


def remember_names(failures: Iterable[RoutingFailure]) -> None:
    """Note the names of the failures' users, asked in one query; empty where the account is gone."""
    failures = list(failures)
    names = users.names(failure.user_id for failure in failures if failure.user_id)
    for failure in failures:
        vars(failure)["user_name"] = names.get(failure.user_id, "")


def name_of_user(failure: RoutingFailure) -> str:
    if "user_name" not in vars(failure):  # asked once: the theme renders each value several times
        remember_names([failure])
    return str(vars(failure)["user_name"])
