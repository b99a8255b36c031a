"""Pages of the admin that are not ours, under the theme that ours are made of. For a project's `urls.py`."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.templatetags.static import static


def furnish(site: AdminSite) -> None:
    """Give `site` a front page with a box for references, and its plain pages what the theme takes from them.

    Django's own `ModelAdmin` has no widgets of the theme, so that its fields have no outlines, and no link to add
    something, which the theme shows where a page asks for it. Call it once everything is registered.
    """
    site.index_template = "errors/home.html"
    for model in apps.get_models():
        if site.is_registered(model):
            page: Any = site.get_model_admin(model)
            page.show_add_link = getattr(page, "show_add_link", True)
    own = site.each_context

    def each_context(request: HttpRequest) -> dict[str, Any]:
        context = own(request)
        return {**context, "styles": [*context.get("styles", ()), static("errors/plain_pages.css")]}

    site.each_context = each_context  # type: ignore[method-assign]
