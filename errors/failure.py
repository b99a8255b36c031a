"""`Failure`: one thing that went wrong, with its reference, and `ErrorPayload`: what the public hears of it."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic

import msgspec

from errors import links, metrics, report, translator
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.taxonomy import SERVICE_ERROR, Action, Outcome, Stage

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOK_ALIKES = str.maketrans("ILO", "110")


class ErrorPayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `error` object of a frame. `retry_after` is in milliseconds."""

    code: str
    category: str
    message: str
    recoverable: bool
    outcome: str
    reference: str
    actions: tuple[str, ...]
    retry_after: int | None = None
    attempt: int | None = None
    field: str | None = None
    help_url: str | None = None


@dataclass(slots=True)
class Failure:
    """One failure, from the moment it is caught to the row in the database.

    Attributes:
        told: The exact frame or body the person got, as text; None if nobody was left to tell.
        deliveries: Connections whose outbox took the frame.
        drops: Connections whose outbox was full.
        is_settled: Whoever tells the person has said what became of the frame; the row may be written.
    """

    error: ChatError
    context: RouteContext
    report: report.Report
    outcome: Outcome
    reference: str = ""
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    recorded_at: float = field(default_factory=monotonic)
    told: str | None = None
    deliveries: int = 0
    drops: int = 0
    is_settled: bool = False

    @classmethod
    def of(cls, exc: Exception, context: RouteContext) -> Failure:
        error = translator.translate(exc)
        return cls(
            error=error,
            # A copy: the walk goes on and changes its own. What was said does not travel further.
            context=replace(context, private_texts=()),
            report=report.build(
                exc, code=error.spec.code, stage=context.stage.value, private_texts=context.private_texts
            ),
            # Of a reply's failure it is the reply that knows: the question was stored long before.
            outcome=context.outcome if context.stage is Stage.REPLY else error.outcome or context.outcome,
            reference=new_reference(),
        )

    @classmethod
    def bare(cls, exc: Exception, context: RouteContext) -> Failure:
        """Return what can be said of `exc` without looking at its words: for when describing it has failed."""
        return cls(
            error=ChatError(SERVICE_ERROR),
            context=replace(context, private_texts=()),
            report=report.bare(exc),
            outcome=context.outcome,
            reference=new_reference(),
        )

    def payload(self, accepted: Collection[Action] = tuple(Action)) -> ErrorPayload:
        """Return the public part; `accepted` are the actions that the server would take now."""
        spec = self.error.spec
        return ErrorPayload(
            code=spec.code,
            category=spec.category.value,
            message=spec.message,
            recoverable=spec.rule.recoverable,
            outcome=self.outcome.value,
            reference=self.reference,
            actions=tuple(action.value for action in spec.actions if action in accepted),
            retry_after=self.error.retry_after_ms,
            attempt=self.context.attempt,
            field=self.error.field,
            help_url=links.help_url(spec.code),
        )

    def settle(self, told: str | None, *, deliveries: int, drops: int = 0) -> None:
        """Note what became of the frame. Called once, by whoever told the person."""
        self.told, self.deliveries, self.drops = told, deliveries, drops
        metrics.FRAMES_DROPPED.inc(drops)
        self.is_settled = True


def new_reference() -> str:
    """Return what a person quotes: 40 random bits in Crockford's base 32, as `E-7KQ4-M2XW`."""
    bits = secrets.randbits(40)
    text = "".join(_CROCKFORD[bits >> shift & 31] for shift in range(35, -1, -5))
    return f"E-{text[:4]}-{text[4:]}"


def read_reference(text: str) -> str | None:
    """Return the reference that `text` means, forgiving case, dashes, spaces and look-alike letters; None if none."""
    letters = "".join(char for char in text.upper() if char.isalnum())
    if len(letters) == 9 and letters[0] == "E":
        letters = letters[1:]
    letters = letters.translate(_LOOK_ALIKES)
    if len(letters) != 8 or any(char not in _CROCKFORD for char in letters):
        return None
    return f"E-{letters[:4]}-{letters[4:]}"
