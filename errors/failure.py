"""`Failure`: one thing that went wrong, with its reference, and `ErrorPayload`: what the public hears of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from time import monotonic

import msgspec
from django.conf import settings
from django.utils import translation

from errors import links, metrics, report, translator
from errors.conf import forget_when
from errors.context import RouteContext
from errors.taxonomy import SERVICE_ERROR, Action, ErrorSpec, Outcome, Stage

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)  # what ten bits are written as
_MAX_SENTENCES = 1_000  # specs whose sentence is remembered; a catalogue has some dozens
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
    waits_for: str | None = None  # "reply": until one of the person's has ended


@dataclass(slots=True)
class Failure:
    """One failure, from the moment it is caught to the row in the database: the facts of it, and no exception.

    An exception's traceback keeps every frame on its way alive, and with them what the client sent.

    Attributes:
        kind: The class of the exception that was caught.
        field: The input field at fault, if one is.
        told: The exact frame or body the person got, as text; None if nobody was left to tell.
        deliveries: Connections whose outbox took the frame.
        drops: Connections whose outbox was full.
        is_settled: Whoever tells the person has said what became of the frame; the row may be written.
        on_settled: Called once, when the failure is settled. The recorder's.
    """

    kind: type[BaseException]
    spec: ErrorSpec
    context: RouteContext
    report: report.Report
    outcome: Outcome
    retry_after_ms: int | None = None
    field: str | None = None
    reference: str = dataclass_field(default_factory=lambda: new_reference())
    occurred_at: datetime = dataclass_field(default_factory=lambda: datetime.now(UTC))
    recorded_at: float = dataclass_field(default_factory=monotonic)
    told: str | None = None
    deliveries: int = 0
    drops: int = 0
    is_settled: bool = False
    on_settled: Callable[[Failure], None] | None = None

    @classmethod
    def of(cls, exc: BaseException, context: RouteContext) -> Failure:
        error = translator.translate(exc, context.stage)
        return cls(
            kind=type(exc),
            spec=error.spec,
            # A copy: the walk goes on and changes its own. What was said does not travel further.
            context=context.without_private_texts(),
            report=report.sketch(
                exc, code=error.spec.code, stage=context.stage.value, private_texts=context.private_texts
            ),
            # Of a reply's failure it is the reply that knows: the question was stored long before.
            outcome=context.outcome if context.stage is Stage.REPLY else error.outcome or context.outcome,
            retry_after_ms=error.retry_after_ms,
            field=error.field,
        )

    @classmethod
    def bare(cls, exc: BaseException, context: RouteContext) -> Failure:
        """Return what can be said of `exc` without looking at its words: for when describing it has failed."""
        return cls(
            kind=type(exc),
            spec=SERVICE_ERROR,
            context=context.without_private_texts(),
            report=report.bare(exc),
            outcome=context.outcome,
        )

    def payload(self, accepted: Collection[Action] = tuple(Action)) -> ErrorPayload:
        """Return the public part; `accepted` are the actions that the server would take now."""
        spec = self.spec
        return ErrorPayload(
            code=spec.code,
            category=spec.category.value,
            message=_sentence(spec),
            recoverable=spec.rule.recoverable,
            outcome=self.outcome.value,
            reference=self.reference,
            actions=tuple(action.value for action in spec.actions if action in accepted),
            retry_after=self.retry_after_ms,
            attempt=self.context.attempt,
            field=self.field,
            help_url=links.help_url(spec.code),
            waits_for=spec.waits_for,
        )

    def settle(self, told: str | None, *, deliveries: int, drops: int = 0) -> None:
        """Note what became of the frame. Called by whoever told the person; the first word counts."""
        if self.is_settled:
            return
        self.told, self.deliveries, self.drops = told, deliveries, drops
        if drops:
            metrics.FRAMES_DROPPED.inc(drops)
        self.is_settled = True
        if self.on_settled is not None:
            self.on_settled(self)


_sentences: dict[int, tuple[ErrorSpec, str]] = {}  # by id(), with the spec itself: so that the id stays its own


def _sentence(spec: ErrorSpec) -> str:
    """Return the spec's message in the deployment's language, which frames speak. Looked up once."""
    found = _sentences.get(id(spec))
    if found is None:
        if len(_sentences) >= _MAX_SENTENCES:
            _sentences.clear()
        with translation.override(settings.LANGUAGE_CODE):
            found = _sentences[id(spec)] = (spec, spec.message)
    return found[1]


forget_when(("LANGUAGE_CODE", "LOCALE_PATHS", "USE_I18N"), _sentences.clear)


def new_reference() -> str:
    """Return what a person quotes: 40 random bits in Crockford's base 32, as `E-7KQ4-M2XW`."""
    # No secret; and while the kernel is asked for one, another thread takes the interpreter: 5 ms of the event loop's.
    bits = random.getrandbits(40)
    return f"E-{_PAIRS[bits >> 30]}{_PAIRS[bits >> 20 & 1023]}-{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"


def read_reference(text: str) -> str | None:
    """Return the reference that `text` means, forgiving case, dashes, spaces and look-alike letters; None if none."""
    letters = "".join(char for char in text.upper() if char.isalnum())
    if len(letters) == 9 and letters[0] == "E":
        letters = letters[1:]
    letters = letters.translate(_LOOK_ALIKES)
    if len(letters) != 8 or any(char not in _CROCKFORD for char in letters):
        return None
    return f"E-{letters[:4]}-{letters[4:]}"
