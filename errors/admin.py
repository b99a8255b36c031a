"""The admin of stored failures: where staff find why a message failed, under the reference that a person quotes.

Read-only for everybody, and cheap on a million rows: see changelist.py, filters.py and search.py. The page of one
failure is in admin_page.py, the file for a spreadsheet in export.py.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from errors import cells, export, filters, search, summary
from errors.admin_page import FailurePage
from errors.changelist import CappedPaginator, FailureList, warn_of_unreadable
from errors.models import RoutingFailure

_UNREADABLE = _("This address has a filter that cannot be read; showing all failures.")


@admin.register(RoutingFailure)
class RoutingFailureAdmin(FailurePage):
    list_display = (
        "time_in_list", "code_label", "cause_in_list", "user_link", "session_link", "reference",
    )  # fmt: skip
    list_display_links = ("time_in_list", "reference")
    list_filter = filters.FILTERS
    list_filter_sheet = True
    list_fullwidth = True
    list_per_page = 100
    list_before_template = "errors/before_list.html"
    search_fields = ("reference",)  # makes the box appear; what it does is in search.py
    search_help_text = _("Reference, session, connection or user")
    sortable_by = ()
    ordering = ("-occurred_at", "-id")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    empty_value_display = "-"

    class Media:
        css = {"all": ("errors/admin.css",)}

    # --- Who may do what ----------------------------------------------------------------------------------------------

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.has_perm("errors.export_routingfailure")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only the filters: any other lookup in an address could read the whole table."""
        return lookup in filters.PARAMETERS

    # --- The list -----------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        def own(name: str, view: Any) -> URLPattern:
            return path(f"{name}/", self.admin_site.admin_view(view), name=f"errors_routingfailure_{name}")

        return [own("lookup", self.lookup_view), own("export", self.export_view), *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[FailureList]:
        return FailureList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RoutingFailure], search_term: str
    ) -> tuple[QuerySet[RoutingFailure], bool]:
        return queryset.filter(search.condition(search_term)) if search_term.strip() else queryset, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if address := search.address(request.GET.get("q", "")):
            return HttpResponseRedirect(_with_address(request, address))
        only = {name: request.GET[name] for name in summary.NARROWING if name in request.GET}
        facts = {
            "summary": summary.read(timezone.now(), with_causes=True, only=only),
            "narrowed_by": [str(kind.title) for kind in filters.FILTERS if kind.parameter_name in only],
            "may_export": self.has_export_permission(request),
        }
        response = super().changelist_view(request, facts | (extra_context or {}))
        warn_of_unreadable(request, response, _UNREADABLE)
        if isinstance(response, TemplateResponse) and (shown := (response.context_data or {}).get("cl")):
            # Here, for all rows at once: a column is asked for one row at a time. An export shows no names.
            cells.remember_names(shown.result_list)
        return response

    def lookup_view(self, request: HttpRequest) -> HttpResponse:
        """Lead from what a person quoted to the failure; to the list where it is not exactly one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.GET.get("q", "").replace("\x00", "").strip()
        if not text:
            messages.info(request, _("Type or paste a reference to look it up."))
            return HttpResponseRedirect(cells.list_address())
        found = list(RoutingFailure.objects.filter(search.condition(text)).values_list("pk", flat=True)[:2])
        if len(found) == 1:
            return HttpResponseRedirect(reverse("admin:errors_routingfailure_change", args=found))
        if found:
            messages.info(request, _("More than one failure matches. Here they are, newest first."))
        return HttpResponseRedirect(cells.list_address(q=text))

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is narrowed in the address, as a file."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        try:
            chosen = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            messages.warning(request, _UNREADABLE)
            return HttpResponseRedirect(cells.list_address())
        return export.respond(request, chosen.queryset)

    @display(description=lazy(lambda: f"{_('time')} ({timezone.get_current_timezone_name()})", str)())
    def time_in_list(self, failure: RoutingFailure) -> str:
        return f"{timezone.localtime(failure.occurred_at):%Y-%m-%d %H:%M:%S}"

    @display(description=_("code"))
    def code_label(self, failure: RoutingFailure) -> SafeString:
        return cells.code_in_list(failure)

    @display(description=_("cause"))
    def cause_in_list(self, failure: RoutingFailure) -> SafeString | str:
        return cells.cause_in_list(failure)

    @display(description=_("user"))
    def user_link(self, failure: RoutingFailure) -> str:
        return cells.user_in_list(failure)

    @display(description=_("session"))
    def session_link(self, failure: RoutingFailure) -> str:
        return cells.list_link(failure, "session_id")


def _with_address(request: HttpRequest, address: str) -> str:
    """The list as it is narrowed in the address bar, by the address that was typed: a filter, which shows its reach."""
    kept = {name: request.GET[name] for name in request.GET if name in filters.PARAMETERS}
    return cells.list_address(**kept | {filters.AddressFilter.parameter_name: address})
