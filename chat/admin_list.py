"""The session list of the admin: what it is searched by, in which order it comes, and what it reads."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin_links import as_key
from chat.sessions import user_key
from errors.changelist import CappedPaginator, LogList
from errors.search import users_named

_MAX_CHARS = 255  # characters; no id and no name is longer


class SessionPaginator(CappedPaginator):
    counted_column = "last_activity_at"
    noun = _("session")
    nouns = _("sessions")


class SessionList(LogList):
    # No index serves this order alone: among a million sessions the page takes 0.25 s, as measured on SQLite, and the
    # index would make each message a quarter dearer to store.
    order = ("-last_activity_at", "-id")
    columns = (
        "title", "owner", f"owner__{get_user_model().USERNAME_FIELD}", "last_seq", "last_activity_at", "ended_at",
    )  # fmt: skip

    @property
    def searched_for(self) -> list[str]:
        return [gettext("a session with exactly this id"), gettext("sessions of a user with exactly this name")]


def condition(text: str) -> Q:
    """Return the condition that selects what `text` means, exactly: parts of words would read the whole table."""
    text = text.strip()
    if len(text) > _MAX_CHARS:
        return Q(pk__in=[])
    selected = Q(owner_id__in=[user_key(user_id) for user_id in users_named(text)])
    session_id = as_key(text)
    return selected if session_id is None else selected | Q(pk=session_id)
