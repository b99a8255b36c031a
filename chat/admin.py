"""The admin of conversations: staff find a session, read it where they may, and follow its failures. Read-only.

Seeing that a session exists needs `view_chatsession`. Its words -- the messages, and the title, which is made of the
first one -- need `read_transcript`, and each conversation that is opened is logged.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from chat import admin_filters, admin_list, admin_transcript
from chat.admin_links import READ, VIEW_FAILURES
from chat.models import ChatSession
from errors import cells
from errors.changelist import warn_of_unreadable
from errors.loggers import get_logger
from errors.read_only import ReadOnlyAdmin
from errors.taxonomy import Words

log = get_logger("chat")

# Colours of unfold's labels. They are never the only sign: the label says the word.
_STATE_COLOURS = {"open": "success", "ended": "default"}
_STATES = {"open": _("open"), "ended": _("ended")}


def _in_zone(text: Words) -> Any:
    return lazy(lambda: f"{text} ({timezone.get_current_timezone_name()})", str)()


@admin.register(ChatSession)
class ChatSessionAdmin(ReadOnlyAdmin):
    list_filter = admin_filters.FILTERS
    list_filter_sheet = True
    list_fullwidth = True
    list_per_page = 100
    list_select_related = ("owner",)
    list_before_template = "errors/active_filters.html"
    search_fields = ("id",)  # makes the box appear; what it does is in admin_list.py
    search_help_text = _("Session id, or a user's exact name")
    sortable_by = ()
    ordering = ("-last_activity_at", "-id")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = admin_list.SessionPaginator
    empty_value_display = "-"
    change_form_outer_after_template = "admin/chat/chatsession/transcript.html"

    class Media:
        css = {"all": ("errors/admin.css", "chat/admin.css")}

    # --- Who may do what ----------------------------------------------------------------------------------------------

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters: any other lookup in an address could read the whole table, or guess at its words."""
        return lookup in admin_filters.PARAMETERS

    # --- The list -----------------------------------------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        facts = ("owner_link", "messages", "last_activity", "state")
        return ("title_in_list", *facts) if request.user.has_perm(READ) else ("id", *facts)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[admin_list.SessionList]:
        return admin_list.SessionList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ChatSession], search_term: str
    ) -> tuple[QuerySet[ChatSession], bool]:
        return queryset.filter(admin_list.condition(search_term)) if search_term.strip() else queryset, False

    @display(description=_("title"))
    def title_in_list(self, session: ChatSession) -> SafeString:
        return _title(session)

    @display(description=_("owner"))
    def owner_link(self, session: ChatSession) -> SafeString:
        address = f"{reverse('admin:chat_chatsession_changelist')}?{urlencode({'owner': session.owner_id})}"
        name = cells.visible(session.owner.get_username())
        return format_html('<a class="failure-fact" href="{}" title="{}">{}</a>', address, name, name)

    @display(description=_("messages"))
    def messages(self, session: ChatSession) -> int:
        return session.last_seq  # it has no gaps

    @display(description=_in_zone(_("last activity")))
    def last_activity(self, session: ChatSession) -> str:
        return _moment(session.last_activity_at)

    @display(description=_("state"), label=_STATE_COLOURS)
    def state(self, session: ChatSession) -> tuple[str, Words]:
        word = _state(session)
        return word, _STATES[word]

    @display(description=_("state"))
    def state_shown(self, session: ChatSession) -> Words:
        return _STATES[_state(session)]  # on the page of one session the theme would write the pair as it is

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        warn_of_unreadable(request, response, _("This address has a filter that cannot be read; showing all sessions."))
        return response

    # --- The page of one session --------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: ChatSession | None = None) -> Any:
        title = ("title_shown",) if request.user.has_perm(READ) else ()
        times = ("started", "last_activity", *(("ended",) if obj is not None and obj.ended_at else ()))
        rows = (*title, "id", ("owner_link", "state_shown"), times, ("messages", "assistant"))
        return ((None, {"fields": rows}),)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        facts = self._facts(request, object_id) | (extra_context or {})
        return super().change_view(request, object_id, form_url, facts)

    def _facts(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        """What the transcript below the fields is drawn from. The view itself answers for one that does not exist."""
        session = self.get_object(request, object_id)
        if session is None or not self.has_view_permission(request, session):
            return {}
        may_see_failures = request.user.has_perm(VIEW_FAILURES)
        may_read = request.user.has_perm(READ)
        if may_read:
            log.info("chat.transcript_read", user_id=str(request.user.pk), session_id=str(session.pk))
        return {
            "transcript": admin_transcript.read(session, request.GET) if may_read else None,
            "failures_address": cells.list_address(session_id=str(session.pk)) if may_see_failures else None,
            "lookup_address": reverse("admin:errors_routingfailure_lookup") if may_see_failures else None,
        }

    @display(description=_("title"))
    def title_shown(self, session: ChatSession) -> SafeString:
        return _title(session)

    @display(description=_in_zone(_("started")))
    def started(self, session: ChatSession) -> str:
        return _moment(session.created_at)

    @display(description=_in_zone(_("ended")))
    def ended(self, session: ChatSession) -> str:
        return _moment(session.ended_at)

    @display(description=_("assistant"))
    def assistant(self, session: ChatSession) -> str:
        if not session.assistant_enabled:
            return gettext("switched off: messages are delivered, and nobody answers")
        return cells.visible(session.model_id) or gettext("the model in use by default")


def _state(session: ChatSession) -> str:
    return "ended" if session.ended_at else "open"


def _title(session: ChatSession) -> SafeString:
    # Isolated: a title that turns its text around turns nothing else.
    return format_html('<bdi class="session-title">{}</bdi>', session.title or gettext("(no title yet)"))


def _moment(moment: Any) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"
