"""What each person may ask for now: so many answers at once, so many tokens a day. Within a batch of the journal."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce

from chat import conf
from chat.dialect import Dialect
from chat.entries import Deferred
from chat.models import RUNNING, Reply
from errors.exceptions import ChatError
from errors.taxonomy import ALLOWANCE_USED_UP, TOO_MANY_ANSWERS, UNAUTHORIZED

_RUNNING_RETRY_MS = 3_000  # milliseconds; a short answer takes about as long


class Allowances:
    """Counted for those who are held, once in each batch.

    Args:
        now: When the batch began.
        sql: The database's own way. Nothing here knows the batch: in a circle, each would stay until Python looks.
    """

    def __init__(self, alias: str, now: datetime, sql: Dialect) -> None:
        self._alias = alias
        self._now = now
        self._sql = sql
        self._held: set[Any] = set()
        self._busy: set[Any] = set()  # held by another process
        self._running: dict[str, int] = {}  # replies per person
        self._tokens: dict[str, int] = {}

    def hold(self, user_keys: Collection[Any]) -> None:
        """Lock the people who will get an answer, so that two processes cannot both count one too few."""
        missing = [key for key in user_keys if key not in self._held]
        if not missing:
            return
        users = get_user_model()._base_manager.using(self._alias).filter(pk__in=missing)
        self._held |= set(self._sql.locked(users.order_by("pk")).values_list("pk", flat=True))
        if not self._held.issuperset(missing):
            self._busy = set(users.values_list("pk", flat=True)) - self._held
        names = [str(key) for key in missing]
        running = Reply.objects.using(self._alias).filter(owner_key__in=names, state__in=RUNNING)
        counted = running.values_list("owner_key").annotate(n=Count("pk")).order_by()
        self._running |= dict.fromkeys(names, 0) | dict(counted)
        if conf.chat().tokens_per_day is not None:
            today = Reply.objects.using(self._alias).filter(owner_key__in=names, created_at__gte=self._midnight())
            # Two sums: what one reply cost may be more than the columns' own type can hold.
            spent = Coalesce(Sum("prompt_tokens"), 0) + Coalesce(Sum("completion_tokens"), 0)
            self._tokens |= dict(today.values_list("owner_key").annotate(n=spent).order_by())

    def check(self, user_id: str, user_key: Any) -> None:
        """Refuse what this person may not ask for now: too many answers at once, or too many tokens today.

        Raises:
            ChatError: TOO_MANY_ANSWERS or ALLOWANCE_USED_UP, with the time to wait; UNAUTHORIZED without an account.
            Deferred: Another process is counting for the same person.
        """
        self.hold([user_key])
        if user_key in self._busy:
            raise Deferred
        if user_key not in self._held:
            raise ChatError(UNAUTHORIZED, detail="the account was deleted while it was connected")
        settings = conf.chat()
        if self._running[user_id] >= settings.max_running_replies:
            detail = f"{settings.max_running_replies} replies are running"
            raise ChatError(TOO_MANY_ANSWERS, retry_after_ms=_RUNNING_RETRY_MS, detail=detail)
        used = self._tokens.get(user_id, 0)
        if settings.tokens_per_day is not None and used >= settings.tokens_per_day:
            wait = self._midnight() + timedelta(days=1) - self._now
            raise ChatError(
                ALLOWANCE_USED_UP,
                retry_after_ms=max(1, int(wait.total_seconds() * 1000)),
                detail=f"{used} of {settings.tokens_per_day} tokens today",
            )

    def note(self, user_id: str) -> None:
        """One more answer is asked for in this batch."""
        self._running[user_id] += 1

    def _midnight(self) -> datetime:
        return self._now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
