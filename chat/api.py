"""The JSON API beside the socket: sessions, their messages, health. One error shape for everything that goes wrong.

Views are synchronous; Django runs each request on a thread of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI, Query
from ninja.errors import HttpError, ValidationError
from ninja.security import SessionAuth

from chat import api_errors, api_staff, conf, health, history, login_store, session_changes, sessions
from chat.announcements import SessionEvent, announce
from chat.api_shapes import message_shape, session_shape
from errors.exceptions import ChatError
from errors.taxonomy import FRAME_TOO_LARGE, INVALID_FORMAT, METHOD_NOT_ALLOWED

READ = ["GET", "HEAD"]
USER_HEADER = "X-Chat-User"  # whose data an answer has: the browser's cookie may be somebody else's by now


class SessionChanges(msgspec.Struct):
    title: str = ""  # absent is empty: MISSING_FIELD


Limit = Annotated[int, Query(ge=1, le=500)]

api = NinjaAPI(title="Switchboard", docs_url=None, openapi_url=None, urls_namespace="chat-api")
api.add_exception_handler(Exception, api_errors.respond)
api.add_exception_handler(Http404, api_errors.respond)
api.add_exception_handler(ChatError, api_errors.respond)
api.add_exception_handler(HttpError, api_errors.respond_to_http_error)
api.add_exception_handler(ValidationError, api_errors.respond_to_input_error)


class _SignedIn(SessionAuth):
    """Whoever is not signed in is told that (401) before a missing CSRF token (403)."""

    def __call__(self, request: HttpRequest) -> Any:
        is_readable = login_store.may_be_key(request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""))
        return super().__call__(request) if is_readable and request.user.is_authenticated else None


signed_in = _SignedIn()
api.add_router("admin/", api_staff.router, auth=signed_in)


@api.api_operation(READ, "sessions", auth=signed_in)
def list_sessions(request: HttpRequest, limit: Limit = 50, cursor: str | None = None) -> dict[str, Any]:
    """The person's sessions, newest activity first; `next` is the cursor of the next page."""
    page = sessions.page(_user_id(request), cursor=cursor, limit=min(limit, conf.chat().history_page))
    return {
        "sessions": [session_shape(session) for session in page.sessions],
        "has_more": page.has_more,
        "next": page.next_cursor,
    }


@api.api_operation(READ, "sessions/{session_id}", auth=signed_in)
def show_session(
    request: HttpRequest,
    session_id: str,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> dict[str, Any]:
    """A session and its newest messages below `before`, in ascending order."""
    session = sessions.owned(session_id, _user_id(request))
    page = history.page(session, before=before, limit=min(limit, conf.chat().history_page))
    return {
        "session": session_shape(session),
        "messages": [message_shape(message) for message in page.messages],
        "has_more": page.has_more,
    }


@api.patch("sessions/{session_id}", auth=signed_in)
def rename_session(request: HttpRequest, session_id: str) -> dict[str, Any]:
    """Give a session another title: {"title": 1 to 80 characters}."""
    session = session_changes.rename(session_id, _user_id(request), _changes(request).title)
    announce(_user_id(request), session_id, SessionEvent.UPDATED, title=session.title)
    return {"session": session_shape(session)}


@api.delete("sessions/{session_id}", auth=signed_in)
def delete_session(request: HttpRequest, session_id: str) -> dict[str, Any]:
    """Delete a session with everything said in it; the records of its failures remain."""
    session_changes.delete(session_id, _user_id(request))
    announce(_user_id(request), session_id, SessionEvent.DELETED)
    return {"deleted": True}


@api.post("sessions/{session_id}/end", auth=signed_in)
def end_session(request: HttpRequest, session_id: str) -> dict[str, Any]:
    """End a session; ending it again changes nothing."""
    session = sessions.end(session_id, _user_id(request))
    announce(_user_id(request), session_id, SessionEvent.ENDED)
    return {"session": session_shape(session)}


@api.api_operation(READ, "healthz")
def healthz(request: HttpRequest) -> dict[str, str]:
    """Liveness: the process answers. Asks nothing behind it."""
    return health.ALIVE


@api.api_operation(READ, "readyz")
def readyz(request: HttpRequest) -> HttpResponse:
    status, said = health.readiness()
    return JsonResponse(said, status=status)


def _changes(request: HttpRequest) -> SessionChanges:
    """Read the body strictly; the API framework would take the `title` of whatever has one, also of a plain text."""
    try:
        return msgspec.json.decode(request.body, type=SessionChanges)
    except RequestDataTooBig as exc:
        raise ChatError(FRAME_TOO_LARGE) from exc
    except msgspec.ValidationError as exc:
        raise ChatError(INVALID_FORMAT, field="title") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ChatError(INVALID_FORMAT) from exc


def _user_id(request: HttpRequest) -> str:
    return str(request.user.pk)


def _in_our_shape(view: Any) -> Callable[..., HttpResponseBase]:
    """Name the user; answer a wrong method with the one error shape, the framework alone does so in plain text."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if user := getattr(request, "auth", None):
            response[USER_HEADER] = quote(str(user.pk), safe="")
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        refusal = api_errors.respond(request, ChatError(METHOD_NOT_ALLOWED))
        refusal["Allow"] = ", ".join(sorted(response["Allow"].split(", ")))
        return refusal

    return answer


urls = api.urls
for pattern in urls[0]:
    pattern.callback = _in_our_shape(pattern.callback)
