"""The admin page of one failure: which facts it shows, in reading order, and how each is drawn."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from errors import cells, detail, links
from errors.models import RoutingFailure
from errors.read_only import ReadOnlyAdmin

_HAPPENED = (
    "reference_shown", "root_cause_shown", "code_shown", "time_shown", "outcome_shown", "user_shown", "session_shown",
)  # fmt: skip
_FACTS = (
    "connection_link",
    "address_link",
    "message_type_link",
    "ref_link",
    "reply_link",
    "in_reply_to_shown",
    "stage",
    "field_shown",
    "recoverable_shown",
    "retry_after_shown",
    "attempt",
)

_OPTIONAL = {
    "field_shown": "field",
    "retry_after_shown": "retry_after_ms",
    "attempt": "attempt",
    "session_shown": "session_id",
    "connection_link": "connection_id",
    "address_link": "address",
    "ref_link": "ref",
    "reply_link": "reply_id",
    "in_reply_to_shown": "in_reply_to",
}


class FailurePage(ReadOnlyAdmin):
    """The half of the failures' admin that shows one of them."""

    fieldsets = (
        # In the order in which somebody on call reads: what broke, and for whom, what the person knows of it, the rest.
        (_("What happened"), {"fields": _HAPPENED}),
        (_("Why it failed"), {"fields": ("causes_shown", "traceback_shown")}),
        (_("What the person was told"), {"fields": ("advice_shown", "told_shown")}),
        (_("Where it happened"), {"fields": _FACTS}),
    )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> RoutingFailure | None:
        failure: RoutingFailure | None = super().get_object(request, object_id, from_field)
        if failure is not None:
            # Here, because the fields below are not told who reads.
            detail.remember_conversation(failure, links.conversation(request, failure))
        return failure

    def get_fieldsets(self, request: HttpRequest, obj: RoutingFailure | None = None) -> Any:
        """Leave out what this failure has not: a page of dashes hides what there is to see."""
        absent = {name for name, column in _OPTIONAL.items() if obj is not None and getattr(obj, column) in ("", None)}
        return [
            (title, {"fields": [name for name in options["fields"] if name not in absent]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    @display(description=_("reference"))
    def reference_shown(self, failure: RoutingFailure) -> SafeString:
        # A click selects it whole, for copying.
        return format_html('<code class="failure-reference">{}</code>', failure.reference)

    @display(description=_("root cause"))
    def root_cause_shown(self, failure: RoutingFailure) -> SafeString:
        return detail.root_cause(failure)

    @display(description=_("time"))
    def time_shown(self, failure: RoutingFailure) -> SafeString:
        return detail.time(failure)

    @display(description=_("code"))
    def code_shown(self, failure: RoutingFailure) -> SafeString:
        return detail.code(failure)

    @display(description=_("field at fault"))
    def field_shown(self, failure: RoutingFailure) -> str:
        return cells.visible(failure.field)

    @display(description=_("outcome"))
    def outcome_shown(self, failure: RoutingFailure) -> SafeString:
        return detail.outcome(failure)

    @display(description=_("recoverable"))
    def recoverable_shown(self, failure: RoutingFailure) -> str:
        return detail.recoverable(failure)

    @display(description=_("retry after"))
    def retry_after_shown(self, failure: RoutingFailure) -> str:
        return detail.retry_after(failure)

    @display(description=_("user"))
    def user_shown(self, failure: RoutingFailure) -> str:
        return detail.user(failure)

    @display(description=_("session"))
    def session_shown(self, failure: RoutingFailure) -> str:
        return detail.session(failure)

    @display(description=_("connection"))
    def connection_link(self, failure: RoutingFailure) -> str:
        return cells.list_link(failure, "connection_id")

    @display(description=_("address"))
    def address_link(self, failure: RoutingFailure) -> str:
        return cells.address(failure)

    @display(description=_("message type"))
    def message_type_link(self, failure: RoutingFailure) -> str:
        return cells.list_link(failure, "message_type")

    @display(description=_("ref"))
    def ref_link(self, failure: RoutingFailure) -> str:
        return cells.list_link(failure, "ref", "session_id")

    @display(description=_("reply"))
    def reply_link(self, failure: RoutingFailure) -> str:
        return cells.list_link(failure, "reply_id", "session_id")

    @display(description=_("in reply to"))
    def in_reply_to_shown(self, failure: RoutingFailure) -> str:
        return cells.visible(failure.in_reply_to)

    @display(description=_("cause chain"))
    def causes_shown(self, failure: RoutingFailure) -> str:
        return detail.cause_chain(failure)

    @display(description=_("traceback"))
    def traceback_shown(self, failure: RoutingFailure) -> str:
        return detail.traceback(failure)

    @display(description=_("advice"))
    def advice_shown(self, failure: RoutingFailure) -> str:
        return detail.advice(failure)

    @display(description=_("frame"))
    def told_shown(self, failure: RoutingFailure) -> str:
        return detail.told(failure)
