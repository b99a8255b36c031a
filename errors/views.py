"""The public pages of the error codes: what to do, why it happens, what is shown. `help_url` of a frame leads here.

The same for everybody, so they ask no session and no database, and may be cached anywhere.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from errors import conf, explanations

MAX_AGE_S = 3_600  # seconds; the pages change with a release

_cached = cache_control(public=True, max_age=MAX_AGE_S)
_MAX_SHOWN_CHARS = 64  # characters of a made-up code; a real one is not longer


@csrf_exempt  # nothing can be posted: any other method is answered 405
@require_safe
@_cached
def index(request: HttpRequest) -> HttpResponse:
    """Every code, by category."""
    facts = {"groups": explanations.groups(), "outcomes": explanations.OUTCOMES.items()}
    return _render(request, "errors/pages/index.html", facts)


@csrf_exempt
@require_safe
def page(request: HttpRequest, code: str) -> HttpResponseBase:
    """The page of one code. Another spelling leads to it; for an unknown one, the codes that are near are named."""
    if found := explanations.find(code):
        return _page(request, found)
    plain = code.strip("/").strip().upper().replace("-", "_")
    if explanations.find(plain):
        return HttpResponsePermanentRedirect(_address(request, "page", plain))
    return _not_found(request, code)


@_cached
def _page(request: HttpRequest, code: explanations.Code) -> HttpResponse:
    told = [explanations.explain(spec) for spec in code.specs]
    return _render(request, "errors/pages/code.html", {"code": code, "told": told})


@never_cache
def _not_found(request: HttpRequest, code: str) -> HttpResponse:
    facts = {"unknown": code[:_MAX_SHOWN_CHARS], "similar": explanations.similar(code)}
    return _render(request, "errors/pages/not_found.html", facts, status=404)


def _render(request: HttpRequest, template: str, facts: dict[str, Any], status: int = 200) -> HttpResponse:
    """Without the request: the context processors of a project may ask for the session, and set cookies."""
    settings = conf.errors()
    common = {"index_url": _address(request, "index"), "home_url": settings.home_url, "site_title": settings.site_title}
    return HttpResponse(render_to_string(template, common | facts), status=status)


def _address(request: HttpRequest, name: str, *args: str) -> str:
    """The address of another of these pages, wherever the project has put them."""
    namespace = request.resolver_match.namespace if request.resolver_match else "errors"
    return reverse(f"{namespace}:{name}", args=args)
