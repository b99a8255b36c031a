"""The vocabulary of failure: every code the product can utter, on one screen.

Everybody who raises a `ChatError` imports the word from here. Frames, HTTP bodies, `docs/errors.md`, the admin's help
and the client's table are made from this catalogue; a test fails where one of them lacks a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    AUTH = "auth"
    VALIDATION = "validation"
    SERVICE = "service"
    RATE_LIMIT = "rate_limit"


class Stage(StrEnum):
    """The step of a message's way on which something failed; `http` is the JSON API beside the socket."""

    CONNECT = "connect"
    RECEIVE = "receive"
    REGISTRATION = "registration"
    ROUTE = "route"
    REPLY = "reply"
    HTTP = "http"


class Outcome(StrEnum):
    """What became of the person's message."""

    REJECTED = "rejected"  # nothing was stored
    SAVED = "saved"  # the message is stored, its answer is not
    PARTIAL = "partial"  # the message is stored, and the beginning of its answer
    UNKNOWN = "unknown"  # asking again under the same ref tells


class Action(StrEnum):
    """What the server will accept now."""

    RETRY = "retry"
    SWITCH_MODEL = "switch_model"
    NEW_SESSION = "new_session"
    SIGN_IN = "sign_in"


@dataclass(frozen=True, slots=True)
class CategoryRule:
    recoverable: bool  # the connection goes on
    closes: bool  # the connection is closed after the frame
    needs_retry_after: bool  # an error without a time is a defect


CATEGORY_RULES = {
    Category.AUTH: CategoryRule(recoverable=False, closes=True, needs_retry_after=False),
    Category.VALIDATION: CategoryRule(recoverable=True, closes=False, needs_retry_after=False),
    Category.SERVICE: CategoryRule(recoverable=True, closes=False, needs_retry_after=False),
    Category.RATE_LIMIT: CategoryRule(recoverable=True, closes=False, needs_retry_after=True),
}

# Close codes (daphne can send 1000 and 3000-4999 only). From 4500 on a client does not come back by itself.
CLOSE_RESTARTING = 4000
CLOSE_INTERNAL = 4400
CLOSE_TOO_MANY_CONNECTIONS = 4405
CLOSE_SLOW = 4408  # does not read what it is sent
CLOSE_FLOOD = 4429  # sends too much that is refused
CLOSE_NOT_AUTHENTICATED = 4501
CLOSE_TOKEN_EXPIRED = 4502
CLOSE_FORBIDDEN = 4503


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One way to fail, as the outside sees it.

    Attributes:
        code: Stable word for programs. Two specs may share one (see `name`).
        message: One sentence for the person; the only text that ever leaves the process.
        why: Why it happens, for the documentation page of the code.
        remedy: What the person should do.
        http_status: Answer of the JSON API.
        actions: What the server would accept next, before it looks at the case at hand.
        close_code: WebSocket close code; only categories that close have one.
        name: Unique name of the spec; the code, unless two specs share a code.
    """

    code: str
    category: Category
    message: str
    why: str
    remedy: str
    http_status: int
    actions: tuple[Action, ...] = ()
    close_code: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.code)
        if self.rule.closes is not (self.close_code is not None):
            raise ValueError(f"{self.name}: a spec has a close code exactly when its category closes the connection")

    @property
    def rule(self) -> CategoryRule:
        return CATEGORY_RULES[self.category]


def _auth(code: str, message: str, *, why: str, remedy: str, status: int = 401, close_code: int) -> ErrorSpec:
    actions = (Action.SIGN_IN,) if status == 401 else ()
    return ErrorSpec(code, Category.AUTH, message, why, remedy, status, actions, close_code)


def _validation(
    code: str, message: str, *, why: str, remedy: str, status: int = 400, actions: tuple[Action, ...] = ()
) -> ErrorSpec:
    return ErrorSpec(code, Category.VALIDATION, message, why, remedy, status, actions)


def _service(
    code: str,
    message: str,
    *,
    why: str,
    remedy: str,
    status: int = 503,
    actions: tuple[Action, ...] = (Action.RETRY,),
    name: str = "",
) -> ErrorSpec:
    return ErrorSpec(code, Category.SERVICE, message, why, remedy, status, actions, name=name)


def _rate_limit(code: str, message: str, *, why: str, remedy: str) -> ErrorSpec:
    return ErrorSpec(code, Category.RATE_LIMIT, message, why, remedy, 429, (Action.RETRY,))


_RETRY_OR_SWITCH = (Action.RETRY, Action.SWITCH_MODEL)

# --- auth: fatal, the connection is closed after the frame ------------------------------------------------------------
UNAUTHORIZED = _auth(
    "UNAUTHORIZED", "Please sign in to continue.",
    why="The connection or request carried no valid sign-in.",
    remedy="Sign in again, then open the chat.",
    close_code=CLOSE_NOT_AUTHENTICATED,
)  # fmt: skip
INVALID_TOKEN = _auth(
    "INVALID_TOKEN", "Your sign-in could not be verified.",
    why="The token is malformed, was not made for this service, or its signature is wrong.",
    remedy="Sign in again to get a new token.",
    close_code=CLOSE_NOT_AUTHENTICATED,
)  # fmt: skip
EXPIRED_TOKEN = _auth(
    "EXPIRED_TOKEN", "Your sign-in has expired.",
    why="The token's time is over, or you signed out elsewhere.",
    remedy="Sign in again; what you sent before is kept.",
    close_code=CLOSE_TOKEN_EXPIRED,
)  # fmt: skip
INSUFFICIENT_PERMISSIONS = _auth(
    "INSUFFICIENT_PERMISSIONS", "You do not have access to this.",
    why="Your account may not do this, or the page that asked is not allowed to use this service.",
    remedy="Ask an administrator for access, or open the chat from its own address.",
    status=403, close_code=CLOSE_FORBIDDEN,
)  # fmt: skip

# --- validation: the input is at fault; nothing was stored ------------------------------------------------------------
INVALID_FORMAT = _validation(
    "INVALID_FORMAT", "The message could not be understood.",
    why="The frame or request is not valid JSON of the documented shape; `field` names the part at fault.",
    remedy="Correct the named field and send it again.",
)  # fmt: skip
MISSING_FIELD = _validation(
    "MISSING_FIELD", "A required part of the message is missing.",
    why="A required field is absent or empty; `field` names it.",
    remedy="Fill in the named field and send it again.",
)  # fmt: skip
FIELD_TOO_LONG = _validation(
    "FIELD_TOO_LONG", "The message is too long.",
    why="A field is longer than its documented limit; `field` names it.",
    remedy="Shorten it, or split it into several messages.",
)  # fmt: skip
UNKNOWN_TYPE = _validation(
    "UNKNOWN_TYPE", "This kind of message is not supported.",
    why="The `type` is unknown, or only the server may send it.",
    remedy="Use one of the documented message types.",
)  # fmt: skip
FRAME_TOO_LARGE = _validation(
    "FRAME_TOO_LARGE", "The message is too large.",
    why="The whole frame or request is over the size limit.",
    remedy="Send less at once.", status=413,
)  # fmt: skip
NOT_FOUND = _validation(
    "NOT_FOUND", "This was not found.",
    why="It does not exist, or it belongs to somebody else.",
    remedy="Check the address, or start a new conversation.",
    status=404, actions=(Action.NEW_SESSION,),
)  # fmt: skip
METHOD_NOT_ALLOWED = _validation(
    "METHOD_NOT_ALLOWED", "This address does not accept that kind of request.",
    why="The HTTP method is not one of those the address supports.",
    remedy="Use a method named in the Allow header.", status=405,
)  # fmt: skip
SESSION_ENDED = _validation(
    "SESSION_ENDED", "This conversation has ended.",
    why="It was ended, or had not been used for a long time. It can still be read.",
    remedy="Start a new conversation.", status=409, actions=(Action.NEW_SESSION,),
)  # fmt: skip
DUPLICATE_MISMATCH = _validation(
    "DUPLICATE_MISMATCH", "A different message was already sent under this reference.",
    why="Two different messages came with the same `ref`; the first one is kept.",
    remedy="Send the new message under a `ref` of its own.", status=409,
)  # fmt: skip
MODEL_UNKNOWN = _validation(
    "MODEL_UNKNOWN", "This model is not available.",
    why="The `model_id` is not one of the configured models.",
    remedy="Choose one of the models on offer.", actions=(Action.SWITCH_MODEL,),
)  # fmt: skip
CONTEXT_TOO_LONG = _validation(
    "CONTEXT_TOO_LONG", "The conversation is too long for this model.",
    why="The model cannot take in as much text as this conversation holds.",
    remedy="Start a new conversation, shorten the message, or choose another model.",
    actions=(Action.NEW_SESSION, Action.SWITCH_MODEL),
)  # fmt: skip

# --- service: something behind the connection failed ------------------------------------------------------------------
LLM_UNAVAILABLE = _service(
    "LLM_UNAVAILABLE", "The assistant is unavailable right now.",
    why="The service that writes the answers could not be reached, or refused.",
    remedy="Your message is saved. Try again in a moment, or choose another model.", actions=_RETRY_OR_SWITCH,
)  # fmt: skip
LLM_TIMEOUT = _service(
    "LLM_TIMEOUT", "The assistant took too long to answer.",
    why="The service that writes the answers did not begin in time.",
    remedy="Your message is saved. Try again.", status=504, actions=_RETRY_OR_SWITCH,
)  # fmt: skip
LLM_OVERLOADED = _service(
    "LLM_OVERLOADED", "The assistant is busy right now.",
    why="The service that writes the answers has more to do than it can.",
    remedy="Your message is saved. Try again after the stated time.", actions=_RETRY_OR_SWITCH,
)  # fmt: skip
LLM_REFUSED = _service(
    "LLM_REFUSED", "The assistant declined to answer this.",
    why="The model or its content filter refused the request.",
    remedy="Rephrase the message, or choose another model.", actions=(Action.SWITCH_MODEL,),
)  # fmt: skip
REPLY_INTERRUPTED = _service(
    "REPLY_INTERRUPTED", "The answer was cut off.",
    why="The answer broke off before its end, or the server was restarted meanwhile.",
    remedy="What had arrived is kept. Try again for a whole answer.", actions=_RETRY_OR_SWITCH,
)  # fmt: skip
DATABASE_ERROR = _service(
    "DATABASE_ERROR", "Our storage is not available right now.",
    why="The service could not read or write its storage.",
    remedy="Send it again in a moment; it will not appear twice.",
)  # fmt: skip
SERVER_BUSY = _service(
    "SERVER_BUSY", "The service is very busy right now.",
    why="More work was waiting than the service can take on.",
    remedy="Try again after the stated time.",
)  # fmt: skip
SERVICE_ERROR = _service(
    "SERVICE_ERROR", "Something went wrong on our side.",
    why="An unexpected fault. It was recorded with everything needed to find its cause.",
    remedy="Try again. If it goes on, quote the reference to support.", status=500,
)  # fmt: skip
REGISTRATION_FAILED = _service(
    "SERVICE_ERROR", "Failed to establish session connection",
    why="The connection could not be joined to the conversation.",
    remedy="Send it again: the connection goes on, and the next message joins anew.", name="REGISTRATION_FAILED",
)  # fmt: skip

# --- rate limit: too much at once; the time to wait is always told ----------------------------------------------------
TOO_MANY_REQUESTS = _rate_limit(
    "TOO_MANY_REQUESTS", "You are sending messages too quickly.",
    why="There is a limit on messages, and on answers being written, per person.",
    remedy="Wait for the stated time, then send it again.",
)  # fmt: skip
CONNECTION_LIMIT_EXCEEDED = _rate_limit(
    "CONNECTION_LIMIT_EXCEEDED", "Too many connections are open for your account.",
    why="There is a limit on connections per person.",
    remedy="Close the chat in other tabs or devices, then try again.",
)  # fmt: skip

CATALOGUE: tuple[ErrorSpec, ...] = (
    UNAUTHORIZED, INVALID_TOKEN, EXPIRED_TOKEN, INSUFFICIENT_PERMISSIONS,
    INVALID_FORMAT, MISSING_FIELD, FIELD_TOO_LONG, UNKNOWN_TYPE, FRAME_TOO_LARGE, NOT_FOUND, METHOD_NOT_ALLOWED,
    SESSION_ENDED, DUPLICATE_MISMATCH, MODEL_UNKNOWN, CONTEXT_TOO_LONG,
    LLM_UNAVAILABLE, LLM_TIMEOUT, LLM_OVERLOADED, LLM_REFUSED, REPLY_INTERRUPTED, DATABASE_ERROR, SERVER_BUSY,
    SERVICE_ERROR, REGISTRATION_FAILED,
    TOO_MANY_REQUESTS, CONNECTION_LIMIT_EXCEEDED,
)  # fmt: skip
