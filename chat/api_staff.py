"""The JSON API for staff: everybody's sessions, and how many there are. Who may see the admin's list may ask here."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from chat import conf, sessions
from chat.admin_links import READ, VIEW
from chat.api_shapes import session_shape
from chat.models import ChatSession
from errors.exceptions import ChatError
from errors.taxonomy import INSUFFICIENT_PERMISSIONS

router = Router()


@router.api_operation(["GET", "HEAD"], "sessions")
def list_all_sessions(
    request: HttpRequest, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None
) -> dict[str, Any]:
    """Everybody's sessions, newest activity first. Titles are what somebody wrote: they need `read_transcript`."""
    _refuse_others(request)
    everybodys = sessions.rows(ChatSession)
    page = sessions.page_from(everybodys, cursor=cursor, limit=min(limit, conf.chat().history_page))
    may_read = request.user.has_perm(READ)
    return {
        "sessions": [_shape(session, may_read=may_read) for session in page.sessions],
        "has_more": page.has_more,
        "next": page.next_cursor,
    }


@router.api_operation(["GET", "HEAD"], "metrics")
def count_sessions(request: HttpRequest) -> dict[str, int]:
    _refuse_others(request)
    return sessions.counts()


def _refuse_others(request: HttpRequest) -> None:
    if not (getattr(request.user, "is_staff", False) and request.user.has_perm(VIEW)):
        raise ChatError(INSUFFICIENT_PERMISSIONS)


def _shape(session: ChatSession, *, may_read: bool) -> dict[str, Any]:
    shape = {**session_shape(session), "user_id": str(session.owner_id)}
    if not may_read:
        del shape["title"]
    return shape
