"""How the admin of this deployment looks: the settings of its theme, django-unfold."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static


def _icon(request: HttpRequest) -> str:
    return static("chat/icon.svg")  # asked for per page: the address of static files is not known yet


def _style(request: HttpRequest) -> str:
    return static("chat/admin_site.css")


def _script(request: HttpRequest) -> str:
    return static("chat/admin_site.js")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Switchboard",
    "SITE_HEADER": "Switchboard",
    "SITE_SYMBOL": "forum",
    "STYLES": [_style],
    "SCRIPTS": [_script],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _icon}],
    # The blue of the chat page in eleven shades: 600 is its accent, 400 reads well on the dark ground.
    "COLORS": {
        "primary": {
            "50": "#f2f5fe",
            "100": "#e4eafc",
            "200": "#cdd7f9",
            "300": "#aabbf4",
            "400": "#8199ec",
            "500": "#5f7be3",
            "600": "#3556c9",
            "700": "#2d49ad",
            "800": "#263d8d",
            "900": "#22356f",
            "950": "#172145",
        }
    },
}
