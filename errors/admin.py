"""The admin of stored failures: where staff find why a message failed, under the reference that a person quotes.

Read-only for everybody, and cheap on a million rows: see changelist.py, filters.py and search.py.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from errors import detail, filters, summary
from errors.changelist import CappedPaginator, FailureList
from errors.models import RoutingFailure
from errors.search import condition
from errors.taxonomy import Category

# Colours of unfold's labels. They are never the only sign: the label says the word.
_COLOURS = {
    Category.SERVICE: "danger",
    Category.AUTH: "warning",
    Category.RATE_LIMIT: "primary",
    Category.VALIDATION: "info",
}

_HAPPENED = ("reference_shown", "time_shown", "code_shown", "category_shown", "stage", "field_shown", "outcome_shown")
_FATE = ("recoverable_shown", "retry_after_shown", "attempt")
_PERSON = (
    "user_shown",
    "session_link",
    "connection_link",
    "message_type_link",
    "ref_link",
    "reply_link",
    "in_reply_to_shown",
)

_OPTIONAL = {
    "field_shown": "field",
    "retry_after_shown": "retry_after_ms",
    "attempt": "attempt",
    "session_link": "session_id",
    "connection_link": "connection_id",
    "ref_link": "ref",
    "reply_link": "reply_id",
    "in_reply_to_shown": "in_reply_to",
}


@admin.register(RoutingFailure)
class RoutingFailureAdmin(ModelAdmin):
    list_display = (
        "time_in_list", "code_label", "category_label", "stage", "message_type_in_list",
        "user_link", "session_link", "reference",
    )  # fmt: skip
    list_display_links = ("time_in_list", "reference")
    list_filter = filters.FILTERS
    list_filter_sheet = True
    list_fullwidth = True
    list_per_page = 100
    list_before_template = "errors/before_list.html"
    search_fields = ("reference",)  # makes the box appear; what it does is in search.py
    search_help_text = "Reference, session, connection or user"
    sortable_by = ()
    ordering = ("-occurred_at", "-id")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    actions = None
    empty_value_display = "-"
    fieldsets = (
        ("What happened", {"fields": _HAPPENED + _FATE}),
        ("Whom it hit", {"fields": _PERSON}),
        ("Why it failed", {"fields": ("causes_shown",)}),
        ("Traceback", {"fields": ("traceback_shown",)}),
        ("What the person was told", {"fields": ("told_shown",)}),
    )

    class Media:
        css = {"all": ("errors/admin.css",)}

    # --- Who may do what ----------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: RoutingFailure | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RoutingFailure | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters: any other lookup in an address could read the whole table."""
        return lookup in filters.PARAMETERS

    # --- The list -----------------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FailureList]:
        return FailureList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RoutingFailure], search_term: str
    ) -> tuple[QuerySet[RoutingFailure], bool]:
        return queryset.filter(condition(search_term)) if search_term.strip() else queryset, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        facts = {"summary": summary.read(timezone.now())}
        return super().changelist_view(request, facts | (extra_context or {}))

    @display(description=lazy(lambda: f"time ({timezone.get_current_timezone_name()})", str)())
    def time_in_list(self, failure: RoutingFailure) -> str:
        return f"{timezone.localtime(failure.occurred_at):%Y-%m-%d %H:%M:%S}"

    @display(description="code", label=_COLOURS)
    def code_label(self, failure: RoutingFailure) -> tuple[str, str] | str:
        return _labelled(failure.category, failure.code)

    @display(description="category", label=_COLOURS)
    def category_label(self, failure: RoutingFailure) -> tuple[str, str] | str:
        return _labelled(failure.category, failure.category.replace("_", " "))

    @display(description="message type")
    def message_type_in_list(self, failure: RoutingFailure) -> str:
        return detail.visible(failure.message_type)

    @display(description="user")
    def user_link(self, failure: RoutingFailure) -> str:
        return detail.list_link(failure, "user_id")

    @display(description="session")
    def session_link(self, failure: RoutingFailure) -> str:
        return detail.list_link(failure, "session_id")

    # --- The page of one failure --------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: RoutingFailure | None = None) -> Any:
        """Leave out what this failure has not: a page of dashes hides what there is to see."""
        absent = {name for name, column in _OPTIONAL.items() if obj is not None and getattr(obj, column) in ("", None)}
        return [
            (title, {"fields": [name for name in options["fields"] if name not in absent]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    @display(description="reference")
    def reference_shown(self, failure: RoutingFailure) -> SafeString:
        # A click selects it whole, for copying.
        return format_html('<code class="failure-reference">{}</code>', failure.reference)

    @display(description="time")
    def time_shown(self, failure: RoutingFailure) -> SafeString:
        return detail.time(failure)

    @display(description="code")
    def code_shown(self, failure: RoutingFailure) -> str:
        return detail.code(failure)

    @display(description="category")
    def category_shown(self, failure: RoutingFailure) -> str:
        return failure.category.replace("_", " ")

    @display(description="field at fault")
    def field_shown(self, failure: RoutingFailure) -> str:
        return detail.visible(failure.field)

    @display(description="outcome")
    def outcome_shown(self, failure: RoutingFailure) -> SafeString:
        return detail.outcome(failure)

    @display(description="recoverable")
    def recoverable_shown(self, failure: RoutingFailure) -> str:
        return detail.recoverable(failure)

    @display(description="retry after")
    def retry_after_shown(self, failure: RoutingFailure) -> str:
        return detail.retry_after(failure)

    @display(description="user")
    def user_shown(self, failure: RoutingFailure) -> str:
        return detail.user(failure)

    @display(description="connection")
    def connection_link(self, failure: RoutingFailure) -> str:
        return detail.list_link(failure, "connection_id")

    @display(description="message type")
    def message_type_link(self, failure: RoutingFailure) -> str:
        return detail.list_link(failure, "message_type")

    @display(description="ref")
    def ref_link(self, failure: RoutingFailure) -> str:
        return detail.list_link(failure, "ref", "session_id")

    @display(description="reply")
    def reply_link(self, failure: RoutingFailure) -> str:
        return detail.list_link(failure, "reply_id", "session_id")

    @display(description="in reply to")
    def in_reply_to_shown(self, failure: RoutingFailure) -> str:
        return detail.visible(failure.in_reply_to)

    @display(description="cause chain")
    def causes_shown(self, failure: RoutingFailure) -> str:
        return detail.causes(failure)

    @display(description="traceback")
    def traceback_shown(self, failure: RoutingFailure) -> str:
        return detail.traceback(failure)

    @display(description="frame")
    def told_shown(self, failure: RoutingFailure) -> str:
        return detail.told(failure)


def _labelled(category: str, text: str) -> tuple[str, str] | str:
    """Return what the theme's label takes: where it knows no colour for the first of a pair, it would show that one."""
    return (category, text) if category in _COLOURS else text
