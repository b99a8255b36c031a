"""The filters beside the failure list. Each narrows by one column to one exact value, or to a stretch of time.

No filter asks the database what there is to choose: choices come from the vocabulary, the catalogue and the calendar.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from errors import catalogue, causes, cells, periods, search, users
from errors.models import RoutingFailure
from errors.taxonomy import Category, Outcome, Stage

Failures = QuerySet[RoutingFailure]
Choices = list[tuple[str, str]]


class ExactFilter(SimpleListFilter):
    """One column, one exact value."""

    parameter_name = ""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: Failures) -> Failures:
        value = self.value()
        if value is None:
            return queryset
        if "\x00" in value:
            # PostgreSQL refuses to compare with it, and no row can hold it.
            raise IncorrectLookupParameters(self.parameter_name)
        return queryset.filter(**{self.parameter_name: value})

    @property
    def chosen(self) -> str | None:
        """What is chosen, for people; None if nothing is."""
        value = self.value()
        return None if value is None else str(dict(self.lookup_choices).get(value, value or "(none)"))


class CategoryFilter(ExactFilter):
    title, parameter_name = _("category"), "category"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        return [(word.value, word.value.replace("_", " ")) for word in Category]


class CodeFilter(ExactFilter):
    title, parameter_name = _("code"), "code"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        # Specs may share a code; the list shows it once.
        return [(code, code) for code in sorted({spec.code for spec in catalogue.specs()})]


class StageFilter(ExactFilter):
    title, parameter_name = _("stage"), "stage"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        return [(word.value, word.value) for word in Stage]


class OutcomeFilter(ExactFilter):
    title, parameter_name = _("outcome"), "outcome"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        return [(word.value, word.value) for word in Outcome]


class FactFilter(ExactFilter):
    """A fact that a link on the pages asks for. It shows up once it is chosen: nobody picks a session from a list."""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        value = self.value()
        if value is None:
            return []
        # What no row can hold is not looked up either; `queryset` refuses it.
        return [(value, self.named(value) if value and "\x00" not in value else value or "(none)")]

    def named(self, value: str) -> str:
        """What people call the fact."""
        return value


class UserFilter(FactFilter):
    title, parameter_name = _("user"), "user_id"

    def named(self, value: str) -> str:
        name = users.names([value]).get(value)
        return f"{cells.visible(name)} ({value})" if name else value


class SessionFilter(FactFilter):
    title, parameter_name = _("session"), "session_id"


class ConnectionFilter(FactFilter):
    title, parameter_name = _("connection"), "connection_id"


class MessageTypeFilter(FactFilter):
    title, parameter_name = _("message type"), "message_type"


class SearchedFilter(FactFilter):
    """A fact that no index has: it is looked for in a bounded number of failures, the newest that the others leave."""

    reach: datetime | None = None  # back to when

    def queryset(self, request: HttpRequest, queryset: Failures) -> Failures:
        found = super().queryset(request, queryset)
        if self.value() is None:
            return found
        self.reach = search.reach(queryset)
        return found.filter(occurred_at__gte=self.reach) if self.reach else found


class RefFilter(SearchedFilter):
    title, parameter_name = _("ref"), "ref"


class ReplyFilter(SearchedFilter):
    title, parameter_name = _("reply"), "reply_id"


class AddressFilter(SearchedFilter):
    title, parameter_name = _("address"), "address"


class CauseFilter(FactFilter):
    title, parameter_name = _("cause"), "fingerprint"

    def named(self, value: str) -> str:
        """The cause in words: nobody knows its fingerprint."""
        return cells.visible(causes.called(value))


class WhenFilter(SimpleListFilter):
    """What has just been, and a drill-down: months, the days of one, the hours of one of its days."""

    title, parameter_name = _("time"), "when"
    template = "errors/when_filter.html"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[RoutingFailure]) -> Choices:
        self._now = timezone.now()
        return [(word, word) for word in periods.RECENT]

    def queryset(self, request: HttpRequest, queryset: Failures) -> Failures:
        if self.value() is None:
            return queryset
        period = self._period()
        if period is None:
            raise IncorrectLookupParameters(self.parameter_name)
        return queryset.filter(occurred_at__gte=period.begin, occurred_at__lt=period.end)

    @property
    def chosen(self) -> str | None:
        period = self._period()
        return period.label if period else None

    @property
    def zone(self) -> str:
        return timezone.get_current_timezone_name()

    @property
    def has_months(self) -> bool:
        """Whether the next steps are months, whose names need more room than numbers."""
        chosen = self._period()
        return chosen is None or chosen.word in periods.RECENT

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Rows above each other, from any time down to what is chosen, then cells: the next steps."""
        chosen = self._period()
        yield self._choice(changelist, None, gettext("Any time"), is_cell=False)
        path = [recent for word in periods.RECENT if (recent := periods.read(word, self._now))]
        path += periods.around(chosen)
        if chosen and chosen.word not in periods.RECENT and "T" not in chosen.word:
            path.append(chosen)
        for period in path:
            yield self._choice(changelist, period.word, capfirst(period.label), is_cell=False)
        for period in periods.steps(chosen, self._now):
            yield self._choice(changelist, period.word, period.short, is_cell=True, title=period.label)

    def _choice(
        self, changelist: ChangeList, word: str | None, display: str, *, is_cell: bool, title: str = ""
    ) -> dict[str, Any]:
        return {
            "selected": self.value() == word,
            "query_string": changelist.get_query_string({self.parameter_name: word}),
            "display": display,
            "title": title or display,
            "is_cell": is_cell,
        }

    def _period(self) -> periods.Period | None:
        word = self.value()
        return None if word is None else periods.read(word, self._now)


FILTERS = (
    WhenFilter,
    CategoryFilter,
    CodeFilter,
    StageFilter,
    OutcomeFilter,
    UserFilter,
    SessionFilter,
    ConnectionFilter,
    MessageTypeFilter,
    CauseFilter,
    # The last: they count what the others leave.
    RefFilter,
    ReplyFilter,
    AddressFilter,
)
PARAMETERS = frozenset(kind.parameter_name for kind in FILTERS)
