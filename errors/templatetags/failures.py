"""What the templates of the error pages and of the admin share; `failure_desk` fits into any project's admin index."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters, admin_urlname
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from errors import cells, summary

register = template.Library()


@register.filter
def inline_code(text: str) -> SafeString:
    """Return `text`, escaped, with what stands between backticks set as code, as the catalogue's sentences have it."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return format_html("{}", text)  # a lone backtick means itself
    marked = [format_html("<code>{}</code>", part) if place % 2 else part for place, part in enumerate(parts)]
    return format_html_join("", "{}", ((part,) for part in marked))


@register.filter
def ago(moment: datetime) -> str:
    return cells.ago(moment)


@register.simple_block_tag(takes_context=True)
def with_filters(context: dict[str, Any], content: str) -> SafeString:
    """Return `content` with its links to the page's list kept to the filters from which the reader came."""
    address = reverse(admin_urlname(context["opts"], "changelist"))  # type: ignore[arg-type]
    kept = escape(add_preserved_filters(context, address))
    # Safe: the theme's own HTML, and an address of ours that is escaped.
    return mark_safe(content.replace(f'href="{address}"', f'href="{kept}"'))  # noqa: S308


@register.inclusion_tag("errors/desk.html", takes_context=True)
def failure_desk(context: dict[str, Any]) -> dict[str, Any]:
    """The lookup box for a quoted reference and the figures of the last 24 hours; nothing for who may not see them."""
    if not context["request"].user.has_perm("errors.view_routingfailure"):
        return {"may_view": False}
    shown = summary.read(timezone.now(), with_causes=True)
    return {"may_view": True, "summary": shown, "list_address": cells.list_address()}
