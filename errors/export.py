"""The failure list as CSV, for a spreadsheet: the facts, no exception text, and no cell that a spreadsheet would run.

Read in pages of its own and streamed, so that a large export holds neither memory nor a database connection.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from datetime import UTC
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from errors.loggers import get_logger
from errors.models import RoutingFailure

log = get_logger("errors")

MAX_ROWS = 10_000  # rows of one file; narrowing the time gives the others
_PAGE_ROWS = 500  # rows of one query
_COLUMNS = (
    "reference", "occurred_at", "code", "category", "stage", "outcome", "recoverable", "field", "retry_after_ms",
    "attempt", "message_type", "user_id", "session_id", "connection_id", "ref", "reply_id", "in_reply_to", "cause_type",
    "fingerprint", "deliveries", "drops",
)  # fmt: skip
# With one of these at its start a spreadsheet takes a cell for a formula; the wide ones are normalised to the others.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")
_SKIPPED = " \t\r\n\v\f\"'\u00a0\ufeff\u200b"  # what a spreadsheet strips, or takes for quoting


def respond(request: HttpRequest, failures: QuerySet[RoutingFailure]) -> StreamingHttpResponse:
    """Return the newest `MAX_ROWS` of `failures` as a file; its last line says so where there are more."""
    now = timezone.now()
    log.info("errors.failures_exported", user_id=str(request.user.pk), filters=request.GET.urlencode())
    texts = _texts(failures)
    response = StreamingHttpResponse(
        _asynchronously(texts) if isinstance(request, ASGIRequest) else texts, content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="failures-{now:%Y%m%d-%H%M%S}.csv"'
    return response


def harmless(text: str) -> str:
    """Return `text` with an apostrophe before it where a spreadsheet might take it for a formula."""
    is_formula = text.lstrip(_SKIPPED).startswith(_FORMULA_STARTS)
    return f"'{text}" if is_formula or text.startswith(("\t", "\r", "\n")) else text


def _texts(failures: QuerySet[RoutingFailure]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(_COLUMNS)
    written = 0
    for page in _pages(failures):
        kept = page[: MAX_ROWS - written]
        yield "".join(writer.writerow(_cells(failure)) for failure in kept)
        written += len(kept)
        if len(kept) < len(page):
            yield writer.writerow(
                [_("Not complete: the newest %d of more. Narrow the time to get the others.") % MAX_ROWS]
            )
            return


def _pages(failures: QuerySet[RoutingFailure]) -> Iterator[list[dict[str, Any]]]:
    """Read on from the last row of the page before: new rows that come meanwhile shift nothing."""
    columns = [name for name in _COLUMNS if name != "cause_type"]
    rows = failures.order_by("-occurred_at", "-id").values("id", "cause", *columns)
    page = list(rows[:_PAGE_ROWS])
    while page:
        yield page
        last = page[-1]
        before = Q(occurred_at__lt=last["occurred_at"]) | Q(id__lt=last["id"])
        page = list(rows.filter(before, occurred_at__lte=last["occurred_at"])[:_PAGE_ROWS])


def _cells(failure: dict[str, Any]) -> list[Any]:
    facts = failure | {
        "occurred_at": failure["occurred_at"].astimezone(UTC).isoformat(timespec="milliseconds"),
        # The words of an exception may repeat what a person wrote, in a spelling that the redaction did not know.
        "cause_type": failure["cause"].partition(":")[0],
    }
    return [harmless(value) if isinstance(value, str) else value for value in map(facts.__getitem__, _COLUMNS)]


class _Echo:
    """A file that gives back what is written: the csv module's writer returns it."""

    def write(self, text: str) -> str:
        return text


async def _asynchronously(texts: Iterator[str]) -> AsyncIterator[str]:
    """The same texts for ASGI, which would otherwise collect the whole file first."""
    read = sync_to_async(lambda: next(texts, None))
    while (text := await read()) is not None:
        yield text
