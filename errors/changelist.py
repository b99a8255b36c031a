"""Admin lists that stay cheap on a million rows: a bounded count, one order, only the columns that are shown.

`LogList` and `CappedPaginator` serve any table that grows with use; `FailureList` is the failures' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from unfold.views import ChangeList

from errors import causes, cells, conf, search
from errors import extent as extents
from errors.models import RoutingFailure
from errors.taxonomy import Words

MAX_COUNT = 10_000  # rows; counting a million takes longer than reading the page, and nobody turns a hundred pages


class CappedPaginator(Paginator):
    """Counts at most `MAX_COUNT` rows; `is_capped` tells that there are more."""

    template_name = "errors/pagination.html"
    # One that every index has: with the key, which Django would take, each row would be looked up.
    counted_column = "occurred_at"
    noun = _("failure")
    nouns = _("failures")

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by().values(self.counted_column)[: MAX_COUNT + 1].count()

    @property
    def count(self) -> int:
        return min(self._counted, MAX_COUNT)

    @property
    def is_capped(self) -> bool:
        return self._counted > MAX_COUNT


def warn_of_unreadable(request: HttpRequest, response: HttpResponse, sentence: Words) -> None:
    """Say `sentence` where Django's list leads away from an address that it cannot read: it does so without a word."""
    if isinstance(response, HttpResponseRedirect) and response.url.endswith(f"?{ERROR_FLAG}=1"):
        messages.warning(request, str(sentence))


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    title: str
    value: str
    query_without: str


class LogList(ChangeList):
    """Newest first, whatever the address says: any other order would sort the whole table."""

    order: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[str, ...]]  # what the list shows

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Sequence[str]:
        return list(self.order)

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        return super().get_queryset(request, exclude_parameters).only(*self.columns)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # The theme's head line would repeat a count that may be capped as if it were all there is.
        self.full_result_count = self.result_count

    @property
    def active_filters(self) -> list[ActiveFilter]:
        """What the list is narrowed by, each with the way back."""
        return [
            ActiveFilter(str(spec.title), spec.chosen, self.get_query_string({spec.parameter_name: None}))
            for spec in self.filter_specs
            if spec.chosen is not None
        ]

    @property
    def query_without_filters(self) -> str:
        return self.get_query_string(remove=[spec.parameter_name for spec in self.filter_specs])


class FailureList(LogList):
    order = ("-occurred_at", "-id")
    # A traceback alone is up to 20 000 characters.
    columns = (
        "reference", "occurred_at", "code", "category", "cause", "stage", "message_type", "user_id", "session_id",
        "address",
    )  # fmt: skip

    @cached_property
    def extent(self) -> extents.Extent | None:
        """How far the failures of this list reach; None while it is not narrowed, where the summary tells."""
        is_narrowed = self.active_filters or self.query
        return extents.read(self.queryset) if is_narrowed else None

    @cached_property
    def cause_since(self) -> datetime | None:
        """When the cause of this list was first seen, where the other filters hide that; else None."""
        cause = next((spec.value() for spec in self.filter_specs if spec.parameter_name == "fingerprint"), None)
        since = causes.since(cause) if cause is not None else None
        return None if self.extent is None or since == self.extent.first else since

    @property
    def reach(self) -> datetime | None:
        """Back to when this list was looked through; None for all of it."""
        return max((spec.reach for spec in self.filter_specs if getattr(spec, "reach", None)), default=None)

    @property
    def max_searched(self) -> int:
        return search.MAX_SEARCHED

    @property
    def retention_days(self) -> int:
        return conf.errors().retention_days

    @property
    def searched_for(self) -> list[str]:
        return search.described(self.query)

    @cached_property
    def near(self) -> list[tuple[RoutingFailure, str]]:
        """Failures that a misheard reference may mean, each with its user's name."""
        found = search.near(self.query)
        cells.remember_names(found)
        return [(failure, cells.name_of_user(failure)) for failure in found]

    @property
    def query_of_all_pages(self) -> str:
        return self.get_query_string(remove=["p"])
