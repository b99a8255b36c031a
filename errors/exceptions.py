"""`ChatError`: the one exception that says in public what went wrong. Raised anywhere, caught by `ErrorMiddleware`."""

from __future__ import annotations

from collections.abc import Mapping

from errors.taxonomy import ErrorSpec, Outcome


class ChatError(Exception):
    """A failure with an error of the catalogue.

    Args:
        spec: What the outside sees. The public text comes from here and from nowhere else.
        detail: Private note for log, record and admin; never leaves the process.
        retry_after_ms: Milliseconds (at least 1) until it makes sense to ask again; rate limits must have it.
        field: Name of the input field at fault.
        metadata: Private facts (flat) for the record.
        outcome: What became of the person's message, where it is not what the stage implies.

    Raises:
        ValueError: A rate limit without `retry_after_ms`, or one below 1.
    """

    def __init__(
        self,
        spec: ErrorSpec,
        *,
        detail: str | None = None,
        retry_after_ms: int | None = None,
        field: str | None = None,
        metadata: Mapping[str, object] | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        if spec.rule.needs_retry_after and retry_after_ms is None:
            raise ValueError(f"{spec.name} must say when to retry")
        if retry_after_ms is not None and retry_after_ms < 1:
            raise ValueError(f"retry_after_ms is at least 1, not {retry_after_ms}")
        super().__init__(f"{spec.name}: {detail}" if detail else spec.name)
        self.spec = spec
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.field = field
        self.metadata = dict(metadata or {})
        self.outcome = outcome
