"""The columns of one stored failure, and the statement that inserts many of them. For `errors.rows`."""

from __future__ import annotations

from typing import Any, cast

from django.db import connections, models, transaction
from django.db.models.constants import OnConflict

from errors.failure import Failure
from errors.keys import new_key
from errors.models import RoutingFailure

Row = tuple[Any, ...]  # values of RoutingFailure's columns, in their order

_FIELDS = RoutingFailure._meta.concrete_fields
_LIMITS = {field.name: cast("int", field.max_length) for field in _FIELDS if isinstance(field, models.CharField)}
_ADAPTED = [(number, field) for number, field in enumerate(_FIELDS) if field.name in {"id", "occurred_at", "causes"}]
REFERENCE = [field.name for field in _FIELDS].index("reference")


def insert(rows: list[Row], alias: str) -> None:
    """One statement, prepared once and run for each row: the ORM's own work would cost more than the database's."""
    connection = connections[alias]
    operations = connection.ops
    columns = [operations.quote_name(str(field.column)) for field in _FIELDS]
    statement = " ".join(
        [
            # A repeated insert after an unknown outcome finds its own rows: ids are made here, not in the database.
            operations.insert_statement(on_conflict=OnConflict.IGNORE),
            operations.quote_name(RoutingFailure._meta.db_table),
            f"({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
            operations.on_conflict_suffix_sql(_FIELDS, OnConflict.IGNORE, (), ()),
        ]
    )
    values = []
    for row in rows:
        value = list(row)
        for number, field in _ADAPTED:
            value[number] = field.get_db_prep_save(value[number], connection)
        values.append(value)
    with transaction.atomic(using=alias), connection.cursor() as cursor:
        cursor.executemany(statement, values)


def row_of(failure: Failure) -> Row:
    """In the order of RoutingFailure's fields."""
    spec, context, report = failure.spec, failure.context, failure.report
    return (
        new_key(),
        failure.reference,
        failure.occurred_at,
        spec.code,
        spec.category.value,
        context.stage.value,
        spec.rule.recoverable,
        failure.outcome.value,
        _fit("field", failure.field),
        failure.retry_after_ms,
        context.attempt,
        _fit("message_type", context.message_type),
        _fit("user_id", context.user_id),
        _fit("session_id", context.session_id),
        _fit("connection_id", context.connection_id),
        _fit("address", context.address),
        _fit("ref", context.ref),
        _fit("reply_id", context.reply_id),
        _fit("in_reply_to", context.in_reply_to),
        _clean(report.root),
        [
            {"type": _clean(cause.type), "message": _clean(cause.message), "where": _clean(cause.where)}
            for cause in report.causes
        ],
        report.fingerprint,
        _clean(report.traceback),
        _clean(failure.told or ""),
        failure.deliveries,
        failure.drops,
    )


def _fit(name: str, value: str | None) -> str:
    return _clean(value)[: _LIMITS[name]] if value else ""


def _clean(text: str) -> str:
    """PostgreSQL stores neither NUL nor lone surrogates; a record of such a frame must be storable all the same."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
