"""The figures of this process as Prometheus fetches them. Closed unless `CHAT["metrics_token"]` opens it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import generate_latest

from chat import api_errors, conf
from errors.exceptions import ChatError
from errors.taxonomy import METHOD_NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED

# What every Prometheus reads, whatever else it would take.
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@csrf_exempt  # nothing can be posted: any other method is answered 405
@never_cache
def prometheus(request: HttpRequest) -> HttpResponse:
    """Every figure, for who brings the token. Asks no session and no database."""
    token = conf.chat().metrics_token
    if not token:
        return api_errors.respond(request, ChatError(NOT_FOUND))  # as any other address that is none
    if request.method != "GET":
        refusal = api_errors.respond(request, ChatError(METHOD_NOT_ALLOWED))
        refusal["Allow"] = "GET"
        return refusal
    if not _brings(request, token):
        refusal = api_errors.respond(request, ChatError(UNAUTHORIZED))
        refusal["WWW-Authenticate"] = "Bearer"
        return refusal
    return HttpResponse(generate_latest(), content_type=_TEXT)


def _brings(request: HttpRequest, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and constant_time_compare(given.strip(), token)
