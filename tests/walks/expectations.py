"""What holds for every failure, wherever it was told: used by the walks on the communicator and on real daphne."""

from __future__ import annotations

from typing import Any

CONTEXT_FIELDS = ("user_id", "session_id", "connection_id", "message_type", "ref")


def lines_of(lines: list[dict[str, Any]], reference: str, event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("reference") == reference and line["event"] == event]


def check_log(
    lines: list[dict[str, Any]], frame: dict[str, Any], *, cause: str, is_chat_error: bool, **facts: Any
) -> None:
    """Exactly one ERROR line with the whole context, and for a `ChatError` exactly one DEBUG line."""
    error = frame["error"]
    failed = lines_of(lines, error["reference"], "chat.routing_failed")
    assert len(failed) == 1
    (line,) = failed
    assert (line.get("level") or line.get("log_level")) == "error"
    assert {"code": error["code"], "category": error["category"], **facts}.items() <= line.items()
    assert all(field in line for field in CONTEXT_FIELDS)
    assert cause in line["cause"]
    debug = lines_of(lines, error["reference"], "chat.error_translated")
    assert len(debug) == int(is_chat_error)
    for line in debug:
        assert (line.get("level") or line.get("log_level")) == "debug"
        assert (line["category"], line["recoverable"]) == (error["category"], error["recoverable"])


def check_record(row: Any, frame: dict[str, Any], *, cause: str, **facts: Any) -> None:
    """The stored row tells the same story, and holds the exact frame."""
    error = frame["error"]
    assert (row.reference, row.code, row.category) == (error["reference"], error["code"], error["category"])
    assert row.outcome == error["outcome"]
    assert cause in row.cause
    assert error["reference"] in row.frame
    assert row.deliveries >= 1
    assert {name: getattr(row, name) for name in facts} == facts


def check_public(frame: dict[str, Any], *canaries: str) -> None:
    """Nothing of the exception is in the frame; its text is the catalogue's."""
    text = str(frame)
    assert not [canary for canary in canaries if canary in text]
    assert frame["sender"] == "system"
    assert "Traceback" not in text
