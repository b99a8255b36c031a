"""`RouteContext`: the facts of one route, collected on the way so that a failure can be told, logged and found."""

from __future__ import annotations

from dataclasses import dataclass, field

from errors.taxonomy import Outcome, Stage

UNPARSED = "unparsed"  # message_type of a frame that could not be decoded


@dataclass(slots=True)
class RouteContext:
    """Whom, where and what; the walk fills in what it learns.

    Attributes:
        outcome: What became of the message so far; the handler says so when it is stored.
        attempt: Of a reply: which attempt at answering the message this is.
        address: Where the connection or the request came from, past the proxies; for staff only.
        private_texts: What was said. It is replaced wherever it shows up in an exception, and never logged.
    """

    stage: Stage
    message_type: str = UNPARSED
    user_id: str | None = None
    session_id: str | None = None
    connection_id: str | None = None
    ref: str | None = None
    reply_id: str | None = None
    in_reply_to: str | None = None
    outcome: Outcome = Outcome.REJECTED
    attempt: int | None = None
    address: str | None = None
    private_texts: tuple[str, ...] = field(default=(), repr=False)

    def without_private_texts(self) -> RouteContext:
        """Return a copy that can be kept."""
        return RouteContext(
            self.stage,
            self.message_type,
            self.user_id,
            self.session_id,
            self.connection_id,
            self.ref,
            self.reply_id,
            self.in_reply_to,
            self.outcome,
            self.attempt,
            self.address,
        )
