"""What is really there after a soak: the rows of the database, the lines of the logs, the history over HTTP.

Read with plain SQL, so that a defect in the product's own queries cannot hide another one.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.faults.deployment import Deployment, Life


@dataclass(frozen=True, slots=True)
class StoredMessage:
    message_id: str
    session_id: str
    seq: int
    sender: str
    content: str
    client_ref: str | None


@dataclass(frozen=True, slots=True)
class StoredReply:
    reply_id: str
    session_id: str
    message_id: str
    attempt: int
    state: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class StoredFailure:
    reference: str
    stage: str
    code: str
    connection_id: str
    reply_id: str
    ref: str
    at: float
    deliveries: int
    drops: int


@dataclass(frozen=True, slots=True)
class LoggedFailure:
    reference: str
    stage: str
    code: str
    connection_id: str
    reply_id: str
    at: float
    life: Life


@dataclass(slots=True)
class Truth:
    last_seq: dict[str, int]
    owners: dict[str, str]  # session_id -> name of the owner
    messages: list[StoredMessage]
    replies: list[StoredReply]
    failures: list[StoredFailure]
    lines: list[LoggedFailure] = field(default_factory=list)
    other_errors: Counter[str] = field(default_factory=Counter)  # ERROR lines that are no recorded failure


def read(deployment: Deployment) -> Truth:
    """Read the database, then the logs."""
    sessions = _query(
        deployment,
        "SELECT s.id, s.last_seq, u.username FROM chat_chatsession s JOIN auth_user u ON u.id = s.owner_id",
    )
    messages = _query(deployment, "SELECT id, session_id, seq, sender, content, client_ref FROM chat_chatmessage")
    replies = _query(deployment, "SELECT id, session_id, message_id, attempt, state, error FROM chat_reply")
    failures = _query(
        deployment,
        "SELECT reference, stage, code, connection_id, reply_id, ref, occurred_at, deliveries, drops "
        "FROM errors_routingfailure",
    )
    truth = Truth(
        {_key(row[0]): row[1] for row in sessions},
        {_key(row[0]): row[2] for row in sessions},
        [StoredMessage(_key(row[0]), _key(row[1]), *row[2:]) for row in messages],
        [StoredReply(_key(row[0]), _key(row[1]), _key(row[2]), row[3], row[4], _reference(row[5])) for row in replies],
        [StoredFailure(*row[:6], _moment(row[6]), *row[7:]) for row in failures],
    )
    for life, text in deployment.log_by_life():
        _read_log(truth, life, text)
    return truth


def are_replies_over(deployment: Deployment) -> bool:
    """Whether no reply is running any more."""
    rows = _query(deployment, "SELECT count(*) FROM chat_reply WHERE state IN ('pending', 'streaming')")
    return bool(rows[0][0] == 0)


def tops(deployment: Deployment) -> dict[str, int]:
    return {_key(row[0]): row[1] for row in _query(deployment, "SELECT id, last_seq FROM chat_chatsession")}


def switch_assistant_off(deployment: Deployment, session_id: str) -> None:
    """What an operator does for a session in which people talk among themselves."""
    if deployment.postgres:
        with psycopg.connect(deployment.database_url, autocommit=True) as connection:
            connection.execute("UPDATE chat_chatsession SET assistant_enabled = false WHERE id = %s", [session_id])
        return
    lite = sqlite3.connect(_path(deployment), timeout=10)
    with lite:
        lite.execute("UPDATE chat_chatsession SET assistant_enabled = 0 WHERE id = ?", [session_id.replace("-", "")])
    lite.close()


def _query(deployment: Deployment, statement: str) -> Sequence[Sequence[Any]]:
    if deployment.postgres:
        with psycopg.connect(deployment.database_url, connect_timeout=5) as connection:
            return connection.execute(statement.encode()).fetchall()
    lite = sqlite3.connect(f"file:{_path(deployment)}?mode=ro", uri=True, timeout=10)
    try:
        return lite.execute(statement).fetchall()
    finally:
        lite.close()


def _path(deployment: Deployment) -> str:
    return deployment.database_url.removeprefix("sqlite:///")


def _key(value: Any) -> str:
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))


def _reference(error: Any) -> str | None:
    if error is None:
        return None
    error = json.loads(error) if isinstance(error, str) else error
    return str(error["reference"]) if error else None


def _moment(value: Any) -> float:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_log(truth: Truth, life: Life, text: str) -> None:
    for written in text.splitlines():
        if not written.startswith("{"):
            if written.startswith("Traceback"):
                truth.other_errors[f"a bare traceback of server {life.server}"] += 1
            continue
        try:
            line = json.loads(written)
        except ValueError:
            continue  # cut off by a kill
        if line.get("event") == "chat.routing_failed":
            at = datetime.fromisoformat(line["timestamp"]).timestamp()
            connection_id, reply_id = line.get("connection_id") or "", line.get("reply_id") or ""
            truth.lines.append(
                LoggedFailure(line["reference"], line["stage"], line["code"], connection_id, reply_id, at, life)
            )
        elif line.get("level") == "error":
            last = str(line.get("exception") or "").strip().rpartition("\n")[2]
            truth.other_errors[f"{line.get('event')}: {last}"] += 1
