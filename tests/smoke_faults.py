"""Every `/fault` that `make smoke` asks for: what has to be told, how it is mended, where staff find it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.services.client import SiteClient
from tests.services.websocket import Frame
from tests.smoke_transcript import Transcript
from tests.smoke_visitor import Visitor

LIST = "/admin/errors/routingfailure/"
DETAIL_LINK = re.compile(r'href="(/admin/errors/routingfailure/[0-9a-f-]{36}/change/)')
REFERENCE = re.compile(r"E-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}")
RECORD_TIMEOUT_S = 10.0  # rows are written in batches, a fraction of a second later
SLOW_AT_LEAST_S = 8.0
MAX_RETRY_AFTER_MS = 60_000  # a longer wait is no answer to a person
# What the faults raise inside; none of it may reach the person.
PRIVATE_WORDS = ("Connection re", "server closed", "a defect", "no token", "/fault", "Traceback", "Error:")


@dataclass(frozen=True)
class Fault:
    """What the person is told. `is_reply`: it hits the answer to a stored message, not the request itself."""

    kind: str
    code: str
    outcome: str
    actions: tuple[str, ...]
    category: str = "service"
    message: str = ""
    is_reply: bool = False
    is_timed: bool = False  # `retry_after` is due
    is_recoverable: bool = True
    close_code: int | None = None


_RETRY_OR_SWITCH = ("retry", "switch_model")
REPLY_FAULTS = (
    Fault("unavailable", "LLM_UNAVAILABLE", "saved", _RETRY_OR_SWITCH, is_reply=True),
    Fault("timeout", "LLM_TIMEOUT", "saved", _RETRY_OR_SWITCH, is_reply=True),
    Fault("midstream", "REPLY_INTERRUPTED", "partial", _RETRY_OR_SWITCH, is_reply=True),
    Fault("crash", "SERVICE_ERROR", "saved", ("retry",), message="Something went wrong on our side.", is_reply=True),
)
REQUEST_FAULTS = (
    Fault("ratelimit", "TOO_MANY_REQUESTS", "rejected", ("retry",), category="rate_limit", is_timed=True),
    Fault("database", "DATABASE_ERROR", "rejected", ("retry",), is_timed=True),
)
REGISTRATION = Fault(
    "registration", "SERVICE_ERROR", "rejected", ("retry",), message="Failed to establish session connection"
)
AUTH = Fault(
    "auth", "UNAUTHORIZED", "rejected", ("sign_in",), category="auth", is_recoverable=False, close_code=4501
)  # fmt: skip


async def visit_all(visitor: Visitor, staff: SiteClient) -> None:
    """Meet every fault in one conversation; the connection lives through all of them but the last."""
    for fault in REPLY_FAULTS:
        await _meet_in_reply(visitor, staff, fault)
    for fault in REQUEST_FAULTS:
        await _meet_before_ack(visitor, staff, fault)
    await _meet_registration(visitor, staff)
    await _meet_slow(visitor)
    await _meet_auth(visitor, staff)


async def _meet_in_reply(visitor: Visitor, staff: SiteClient, fault: Fault) -> None:
    """The message is stored, its answer fails, and `retry` brings a whole one."""
    transcript = visitor.transcript
    transcript.part(f"/fault {fault.kind}")
    ack = await visitor.say(f"/fault {fault.kind}")
    text, frame = await visitor.read_reply(ack["reply_id"])
    if not transcript.check("the reply ends in an error frame", frame["type"], "error"):
        return
    _check_told(transcript, fault, frame)
    transcript.check("it answers the message", frame["in_reply_to"], ack["message_id"])
    if fault.outcome == "partial":
        transcript.check("the text that had arrived is kept", frame.get("content_length"), len(text))
        transcript.check("under a number of its own", frame.get("seq"), ack["seq"] + 1)
    await _check_record(transcript, staff, fault, frame, visitor.session_id)

    ref = visitor.new_ref()
    mode = {"metadata": {"mode": "continue"}} if fault.outcome == "partial" else {}
    await visitor.send("retry", message_id=ack["message_id"], ref=ref, **mode)
    again = await visitor.expect("ack", ref=ref)
    transcript.check(
        "retry starts another reply", (again["duplicate"], again["reply_id"] != ack["reply_id"]), (False, True)
    )
    await _check_answer(visitor, again["reply_id"])


async def _meet_before_ack(visitor: Visitor, staff: SiteClient, fault: Fault) -> None:
    """The message is refused, and taken when it is sent again under the same ref."""
    transcript, ref = visitor.transcript, visitor.new_ref()
    transcript.part(f"/fault {fault.kind}")
    await _refused(visitor, staff, fault, f"/fault {fault.kind}", ref)
    ack = await visitor.say(f"/fault {fault.kind}", ref=ref)
    transcript.check("the same message is taken now", ack["duplicate"], False)
    await _check_answer(visitor, ack["reply_id"])


async def _meet_registration(visitor: Visitor, staff: SiteClient) -> None:
    """The next message fails to join its session; the one after that joins."""
    transcript, ref = visitor.transcript, visitor.new_ref()
    transcript.part("/fault registration")
    ack = await visitor.say("/fault registration")
    await _check_answer(visitor, ack["reply_id"])
    await _refused(visitor, staff, REGISTRATION, "Are you still there?", ref)
    ack = await visitor.say("Are you still there?", ref=ref)
    transcript.check("the next message registers again", ack["duplicate"], False)
    await _check_answer(visitor, ack["reply_id"])


async def _meet_slow(visitor: Visitor) -> None:
    """No failure: ten seconds, in which the connection answers all the same."""
    transcript = visitor.transcript
    transcript.part("/fault slow")
    began = time.monotonic()
    ack = await visitor.say("/fault slow")
    transcript.check("no error while the answer is being written", await visitor.unread_errors(), [])
    transcript.check("the connection answers meanwhile", time.monotonic() - began < SLOW_AT_LEAST_S / 2)
    await _check_answer(visitor, ack["reply_id"])
    transcript.check("it took its time", time.monotonic() - began >= SLOW_AT_LEAST_S)
    transcript.faults["slow"] = {"code": None}


async def _meet_auth(visitor: Visitor, staff: SiteClient) -> None:
    """The one category that closes the connection; whoever comes back signed in goes on."""
    transcript, ref = visitor.transcript, visitor.new_ref()
    transcript.part("/fault auth")
    await _refused(visitor, staff, AUTH, "/fault auth", ref)
    transcript.check("the connection is closed", await visitor.socket.closed(), AUTH.close_code)
    await visitor.connect()
    ack = await visitor.say("/fault auth", ref=ref)
    transcript.check("a new connection takes the same message", ack["duplicate"], False)
    await _check_answer(visitor, ack["reply_id"])


async def _refused(visitor: Visitor, staff: SiteClient, fault: Fault, content: str, ref: str) -> None:
    await visitor.send("user_message", content=content, ref=ref, session_id=visitor.session_id)
    frame = await visitor.expect("error", ref=ref)
    _check_told(visitor.transcript, fault, frame)
    await _check_record(visitor.transcript, staff, fault, frame, visitor.session_id)


async def _check_answer(visitor: Visitor, reply_id: str) -> None:
    text, frame = await visitor.read_reply(reply_id)
    visitor.transcript.check(
        "a whole answer", (frame["type"], frame.get("state"), bool(text)), ("ai_response", "complete", True)
    )
    visitor.transcript.check("no other error came", await visitor.unread_errors(), [])


def _check_told(transcript: Transcript, fault: Fault, frame: Frame) -> None:
    """The frame has what a client needs and nothing of the exception."""
    error = frame["error"]
    reference = error.get("reference", "")
    transcript.faults[fault.kind] = {"code": error.get("code"), "reference": reference}
    found = {name: error.get(name) for name in ("code", "category", "outcome", "recoverable")}
    expected = {
        "code": fault.code,
        "category": fault.category,
        "outcome": fault.outcome,
        "recoverable": fault.is_recoverable,
    }
    transcript.check("code, category, outcome, recoverable", found, expected)
    retry_after = error.get("retry_after")
    is_right = (
        isinstance(retry_after, int) and 1 <= retry_after <= MAX_RETRY_AFTER_MS
        if fault.is_timed
        else retry_after is None
    )
    transcript.check(f"retry_after in milliseconds where it is due ({retry_after})", is_right)
    transcript.check("actions", tuple(error.get("actions", ())), fault.actions)
    transcript.check("a reference to quote", bool(REFERENCE.fullmatch(reference)))
    transcript.check("the error is the system's", frame["sender"], "system")
    transcript.check("told under the reply, or under the request's ref", "ref" in frame, not fault.is_reply)
    if fault.message:
        transcript.check("the sentence", error["message"], fault.message)
    text = json.dumps(frame)
    transcript.check("nothing of the exception", [word for word in PRIVATE_WORDS if word in text], [])


async def _check_record(transcript: Transcript, staff: SiteClient, fault: Fault, frame: Frame, session_id: str) -> None:
    """Staff find the failure by the reference that the person quotes, however it is spelt."""
    reference = frame["error"]["reference"]
    spelt = reference.lower().replace("-", " ")
    links = await asyncio.to_thread(_search, staff, spelt)
    if not transcript.check(f"the admin finds {spelt!r}", len(links), 1):
        return
    status, page = await asyncio.to_thread(staff.get_text, links[0])
    facts: dict[str, Any] = {"reference": reference, "code": fault.code, "session": session_id}
    missing = [name for name, value in facts.items() if value not in page]
    transcript.check("its page tells the story", (status, missing), (200, []))
    transcript.check("and that one connection was told", "Told to 1 connection." in page)


def _search(staff: SiteClient, words: str) -> list[str]:
    """The addresses of what the list shows for `words`; waits until the record is written."""
    deadline = time.monotonic() + RECORD_TIMEOUT_S
    while True:
        status, page = staff.get_text(f"{LIST}?q={quote(words)}")
        assert status == 200, f"the failure list answered {status}"
        links = sorted(set(DETAIL_LINK.findall(page)))
        if links or time.monotonic() > deadline:
            return links
        time.sleep(0.1)
