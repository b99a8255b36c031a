"""The filters beside the session list: open or ended, when there was the last activity, and whose they are."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models import ChatSession
from chat.sessions import user_key
from errors.taxonomy import Words

Sessions = QuerySet[ChatSession]

_PERIODS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_OLDER = "older"


class ChoiceFilter(SimpleListFilter):
    words: dict[str, Words] = {}

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[ChatSession]) -> list[tuple[str, str]]:
        return [(value, str(word)) for value, word in self.words.items()]

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        value = self.value()
        if value is None:
            return queryset
        if value not in self.words:
            raise IncorrectLookupParameters(self.parameter_name)
        return self.narrow(queryset, value)

    def narrow(self, sessions: Sessions, value: str) -> Sessions:
        raise NotImplementedError

    @property
    def chosen(self) -> str | None:
        """What is chosen, for people; None if nothing is."""
        value = self.value()
        return None if value is None else str(self.words.get(value, value))


class StateFilter(ChoiceFilter):
    title, parameter_name = _("state"), "state"
    words = {"open": _("open"), "ended": _("ended")}

    def narrow(self, sessions: Sessions, value: str) -> Sessions:
        return sessions.filter(ended_at__isnull=value == "open")


class ActivityFilter(ChoiceFilter):
    title, parameter_name = _("last activity"), "activity"
    words = {
        "24h": _("the last 24 hours"),
        "7d": _("the last 7 days"),
        "30d": _("the last 30 days"),
        _OLDER: _("longer ago"),
    }

    def narrow(self, sessions: Sessions, value: str) -> Sessions:
        if value == _OLDER:
            return sessions.filter(last_activity_at__lt=timezone.now() - _PERIODS["30d"])
        return sessions.filter(last_activity_at__gte=timezone.now() - _PERIODS[value])


class OwnerFilter(SimpleListFilter):
    """Asked for by links. It shows up once it is chosen: nobody picks a user from a list."""

    title, parameter_name = _("owner"), "owner"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[ChatSession]) -> list[tuple[str, str]]:
        value = self.value()
        return [] if value is None else [(value, value)]

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        value = self.value()
        if value is None:
            return queryset
        try:
            if "\x00" in value:
                # PostgreSQL refuses to compare with it, and no key can hold it.
                raise ValueError(self.parameter_name)
            # By way of the users: of a key Django knows which numbers are too large for the database.
            owners = get_user_model()._default_manager.filter(pk=user_key(value))
            return queryset.filter(owner_id__in=owners.values("pk"))
        except (ValidationError, ValueError) as exc:
            raise IncorrectLookupParameters(self.parameter_name) from exc

    @property
    def chosen(self) -> str | None:
        return self.value()


FILTERS = (StateFilter, ActivityFilter, OwnerFilter)
PARAMETERS = frozenset(kind.parameter_name for kind in FILTERS)
