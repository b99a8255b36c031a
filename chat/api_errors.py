"""The one error shape of the JSON API: {"error": text, "code": CODE, "reference": ...}. The catalogue has the text."""

from __future__ import annotations

import math
from typing import Any

from django.http import HttpRequest, JsonResponse

from chat import addresses
from errors import recorder, translator
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.taxonomy import (
    INSUFFICIENT_PERMISSIONS,
    INVALID_FORMAT,
    UNAUTHORIZED,
    Category,
    ErrorSpec,
    Stage,
)


def body(spec: ErrorSpec, **more: Any) -> dict[str, Any]:
    return {"error": spec.message, "code": spec.code, **{key: value for key, value in more.items() if value}}


def respond(request: HttpRequest, exc: Any) -> JsonResponse:
    """Answer an exception of a view. A failure behind the service is recorded, and the body has its reference."""
    error = translator.translate(exc)
    reference = None
    failure = None
    if error.spec.category is Category.SERVICE:
        failure = recorder.record(exc, _context(request))
        reference = failure.reference
    response = JsonResponse(body(error.spec, field=error.field, reference=reference), status=error.spec.http_status)
    if error.retry_after_ms is not None:
        response["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))
    if failure is not None:
        failure.settle(response.content.decode(), deliveries=1)
    return response


def respond_to_input_error(request: HttpRequest, exc: Any) -> JsonResponse:
    """A parameter of the wrong type or out of range."""
    place = exc.errors[0].get("loc", ()) if exc.errors else ()
    return respond(request, ChatError(INVALID_FORMAT, field=str(place[-1]) if place else None))


def respond_to_http_error(request: HttpRequest, exc: Any) -> JsonResponse:
    """What the API framework itself refuses: no sign-in, a missing CSRF token, an unreadable body."""
    spec = {401: UNAUTHORIZED, 403: INSUFFICIENT_PERMISSIONS}.get(exc.status_code, INVALID_FORMAT)
    return respond(request, ChatError(spec))


def _context(request: HttpRequest) -> RouteContext:
    # The resolved pattern, not the address: an address can hold anything, and a record should group by what failed.
    route = request.resolver_match.route if request.resolver_match else ""
    match_args = request.resolver_match.kwargs if request.resolver_match else {}
    # Only a user that is already loaded: asking the database now would fail the way the view did.
    user = getattr(request, "_cached_user", None)
    return RouteContext(
        Stage.HTTP,
        message_type=f"{request.method} {route}"[:64],
        user_id=str(user.pk) if user is not None and user.pk else None,
        session_id=str(match_args["session_id"]) if "session_id" in match_args else None,
        address=addresses.of_request(request),
    )
