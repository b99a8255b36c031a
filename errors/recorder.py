"""Records a failure: one log line, one count, one stored row. Called by `ErrorMiddleware` and the HTTP API.

Three sinks, each isolated: a fault in one keeps neither the others nor the route from going on, and none of them waits.
"""

from __future__ import annotations

import functools
import logging

from django.utils.functional import lazy
from prometheus_client import Counter

from errors import conf, logs, metrics
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import Failure
from errors.loggers import get_logger
from errors.rows import row_writer

log = get_logger("errors")


def record(exc: BaseException, context: RouteContext) -> Failure:
    """Log, count and queue `exc`, and return the failure for whoever tells the person. Never raises, never waits.

    The row is written once the teller has called `Failure.settle`.
    """
    try:
        failure = Failure.of(exc, context)
    except Exception as broken:
        # A defect in describing the failure must not become a second failure, nor silence.
        _report_fault("describe", broken)
        failure = Failure.bare(exc, context)
    for name, sink in (("log", _write_line), ("metric", _count), ("row", _queue_row)):
        try:
            sink(failure, exc)
        except Exception as broken:
            _report_fault(name, broken)
    return failure


def _write_line(failure: Failure, exc: BaseException) -> None:
    spec, context, report = failure.spec, failure.context, failure.report
    level = conf.errors().log_levels.get(spec.category.value, "error")
    facts = {
        "user_id": context.user_id,
        "session_id": context.session_id,
        "connection_id": context.connection_id,
        "address": context.address,
        "message_type": context.message_type,
        "ref": context.ref,
        "reply_id": context.reply_id,
        "reference": failure.reference,
        "stage": context.stage.value,
        "code": spec.code,
        "category": spec.category.value,
        "recoverable": spec.rule.recoverable,
    }
    cause, traceback = _root(report), _traceback(report) if report.has_traceback else None
    if not logs.is_background():
        # The line may be written here and now, by whatever the host project has: with plain text.
        cause, traceback = str(cause), traceback and str(traceback)
    log.log(
        _LEVELS[level.upper()],
        "chat.routing_failed",
        **facts,
        outcome=failure.outcome.value,
        fingerprint=report.fingerprint,
        cause=cause,
        exception=traceback,
    )
    if isinstance(exc, ChatError) and log.isEnabledFor(logging.DEBUG):
        log.debug("chat.error_translated", **facts, field=failure.field, retry_after_ms=failure.retry_after_ms)


_LEVELS = logging.getLevelNamesMapping()
# Text that is made where it is first read: redacting it is the work of the thread that writes the log.
_root = lazy(lambda report: report.root, str)
_traceback = lazy(lambda report: report.traceback, str)


def _count(failure: Failure, exc: BaseException) -> None:
    spec = failure.spec
    _counter(spec.code, spec.category.value, failure.context.stage.value).inc()


@functools.cache  # labels are closed sets, and finding a counter costs more than counting
def _counter(code: str, category: str, stage: str) -> Counter:
    return metrics.FAILURES.labels(code, category, stage)


def _queue_row(failure: Failure, exc: BaseException) -> None:
    if conf.errors().enabled:
        row_writer.put(failure)


def _report_fault(sink: str, broken: Exception) -> None:
    """Say that the recorder itself is broken, by the plainest means there are."""
    metrics.SINK_FAULTS.labels(sink).inc()
    logging.getLogger("errors.recorder").error("failure sink %s is broken: %s", sink, type(broken).__name__)
