"""The vocabulary of failure: every code the product can utter, on one screen.

Whoever raises a `ChatError` imports its spec from here. Frames, HTTP bodies, `docs/errors.md`, the admin's help
and the client's table are made from this catalogue; a test fails where one of them lacks a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise  # text, or text that is translated when it is read


class Spoken:
    """A field of a dataclass that is given `Words` and read as text, in the language that is active then."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, spec: object, owner: type | None = None) -> str:
        # `dataclass` asks the class itself for a default: `spec` is None then, and the AttributeError says: none.
        return str(getattr(spec, self._name))

    def __set__(self, spec: object, words: Words) -> None:
        object.__setattr__(spec, self._name, words)


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


@dataclass(frozen=True)
class ErrorSpec:
    """One way to fail, as the outside sees it. Its texts are translated when they are read.

    Attributes:
        code: Stable name for programs. Two specs may share one (see `name`).
        message: One sentence for the person; the only text that ever leaves the process.
        why: Why it happens, for the documentation page of the code.
        remedy: What the person should do.
        http_status: Answer of the JSON API.
        actions: What the server would accept next, before it looks at the case at hand.
        close_code: WebSocket close code; only categories that close have one.
        name: Unique name of the spec; the code, unless two specs share a code.
        waits_for: What has to end before it can go on, where it is not only time: "reply", one of the person's.
    """

    code: str
    category: Category
    message: Spoken = Spoken()
    why: Spoken = Spoken()
    remedy: Spoken = Spoken()
    http_status: int  # type: ignore[misc]  # mypy takes the `Spoken()` before it for defaults
    actions: tuple[Action, ...] = ()
    close_code: int | None = None
    name: str = ""
    waits_for: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.code)
        if self.rule.closes is not (self.close_code is not None):
            raise ValueError(f"{self.name}: a spec has a close code exactly when its category closes the connection")

    @property
    def rule(self) -> CategoryRule:
        return CATEGORY_RULES[self.category]


def _auth(code: str, message: Words, *, why: Words, remedy: Words, status: int = 401, close_code: int) -> ErrorSpec:
    actions = (Action.SIGN_IN,) if status == 401 else ()
    return ErrorSpec(code, Category.AUTH, message, why, remedy, status, actions, close_code)


def _validation(
    code: str, message: Words, *, why: Words, remedy: Words, status: int = 400, actions: tuple[Action, ...] = ()
) -> ErrorSpec:
    return ErrorSpec(code, Category.VALIDATION, message, why, remedy, status, actions)


def _service(
    code: str,
    message: Words,
    *,
    why: Words,
    remedy: Words,
    status: int = 503,
    actions: tuple[Action, ...] = (Action.RETRY,),
    name: str = "",
) -> ErrorSpec:
    return ErrorSpec(code, Category.SERVICE, message, why, remedy, status, actions, name=name)


def _rate_limit(
    code: str, message: Words, *, why: Words, remedy: Words, name: str = "", waits_for: str | None = None
) -> ErrorSpec:
    actions = (Action.RETRY,)
    return ErrorSpec(code, Category.RATE_LIMIT, message, why, remedy, 429, actions, name=name, waits_for=waits_for)


_RETRY_OR_SWITCH = (Action.RETRY, Action.SWITCH_MODEL)

# --- auth: fatal, the connection is closed after the frame ------------------------------------------------------------
UNAUTHORIZED = _auth(
    "UNAUTHORIZED", _("Please sign in to continue."),
    why=_("The connection or request carried no valid sign-in."),
    remedy=_("Sign in again, then open the chat."),
    close_code=CLOSE_NOT_AUTHENTICATED,
)  # fmt: skip
INVALID_TOKEN = _auth(
    "INVALID_TOKEN", _("Your sign-in could not be verified."),
    why=_("The token is malformed, was not made for this service, or its signature is wrong."),
    remedy=_("Sign in again to get a new token."),
    close_code=CLOSE_NOT_AUTHENTICATED,
)  # fmt: skip
EXPIRED_TOKEN = _auth(
    "EXPIRED_TOKEN", _("Your sign-in has expired."),
    why=_("Your sign-in has expired, or you signed out elsewhere."),
    remedy=_("Sign in again; what you sent before is kept."),
    close_code=CLOSE_TOKEN_EXPIRED,
)  # fmt: skip
INSUFFICIENT_PERMISSIONS = _auth(
    "INSUFFICIENT_PERMISSIONS", _("You do not have access to this."),
    why=_("Your account is not allowed to do this, or the page that asked is not allowed to use this service."),
    remedy=_("Ask an administrator for access, or open the chat from its own address."),
    status=403, close_code=CLOSE_FORBIDDEN,
)  # fmt: skip

# --- validation: the input is at fault; nothing was stored ------------------------------------------------------------
INVALID_FORMAT = _validation(
    "INVALID_FORMAT", _("The message could not be understood."),
    why=_("The frame or request is not valid JSON of the documented shape; `field` names the part at fault."),
    remedy=_("Correct the named field and send it again."),
)  # fmt: skip
MISSING_FIELD = _validation(
    "MISSING_FIELD", _("A required part of the message is missing."),
    why=_("A required field is absent or empty; `field` names it."),
    remedy=_("Fill in the named field and send it again."),
)  # fmt: skip
FIELD_TOO_LONG = _validation(
    "FIELD_TOO_LONG", _("This is too long."),
    why=_("A field is longer than its documented limit; `field` names it."),
    remedy=_("Shorten it, or split it into several messages."),
)  # fmt: skip
UNKNOWN_TYPE = _validation(
    "UNKNOWN_TYPE", _("This kind of message is not supported."),
    why=_("The `type` is unknown, or only the server may send it."),
    remedy=_("Use one of the documented message types."),
)  # fmt: skip
FRAME_TOO_LARGE = _validation(
    "FRAME_TOO_LARGE", _("The message is too large."),
    why=_("The whole frame or request is over the size limit."),
    remedy=_("Send less at once."), status=413,
)  # fmt: skip
NOT_FOUND = _validation(
    "NOT_FOUND", _("This was not found."),
    why=_("It does not exist, or it belongs to somebody else."),
    remedy=_("Check the address, or start a new conversation."),
    status=404, actions=(Action.NEW_SESSION,),
)  # fmt: skip
METHOD_NOT_ALLOWED = _validation(
    "METHOD_NOT_ALLOWED", _("This address does not accept that kind of request."),
    why=_("The HTTP method is not one of those the address supports."),
    remedy=_("Use a method named in the Allow header."), status=405,
)  # fmt: skip
SESSION_ENDED = _validation(
    "SESSION_ENDED", _("This conversation has ended."),
    why=_("It was ended, or had not been used for a long time. It can still be read."),
    remedy=_("Start a new conversation."), status=409, actions=(Action.NEW_SESSION,),
)  # fmt: skip
DUPLICATE_MISMATCH = _validation(
    "DUPLICATE_MISMATCH", _("A different message was already sent under this reference."),
    why=_("Two different messages arrived with the same `ref`; the first one is kept."),
    remedy=_("Send the new message under a new `ref`."), status=409,
)  # fmt: skip
MODEL_UNKNOWN = _validation(
    "MODEL_UNKNOWN", _("This model is not available."),
    why=_("The `model_id` is not one of the configured models."),
    remedy=_("Choose one of the models on offer."), actions=(Action.SWITCH_MODEL,),
)  # fmt: skip
CONTEXT_TOO_LONG = _validation(
    "CONTEXT_TOO_LONG", _("The conversation is too long for this model."),
    why=_("The model cannot take in as much text as this conversation holds."),
    remedy=_("Start a new conversation, shorten the message, or choose another model."),
    actions=(Action.NEW_SESSION, Action.SWITCH_MODEL),
)  # fmt: skip

# --- service: something behind the connection failed ------------------------------------------------------------------
LLM_UNAVAILABLE = _service(
    "LLM_UNAVAILABLE", _("The assistant is unavailable right now."),
    why=_("The service that writes the answers could not be reached, or refused."),
    remedy=_("Your message is saved. Try again in a moment, or choose another model."), actions=_RETRY_OR_SWITCH,
)  # fmt: skip
LLM_TIMEOUT = _service(
    "LLM_TIMEOUT", _("The assistant took too long to answer."),
    why=_("The service that writes the answers did not begin in time."),
    remedy=_("Your message is saved. Try again."), status=504, actions=_RETRY_OR_SWITCH,
)  # fmt: skip
LLM_OVERLOADED = _service(
    "LLM_OVERLOADED", _("The assistant is busy right now."),
    why=_("The service that writes the answers has more to do than it can handle."),
    remedy=_("Your message is saved. Try again after the stated time."), actions=_RETRY_OR_SWITCH,
)  # fmt: skip
LLM_REFUSED = _service(
    "LLM_REFUSED", _("The assistant declined to answer this."),
    why=_("The model or its content filter refused the request."),
    remedy=_("Rephrase the message, or choose another model."), actions=(Action.SWITCH_MODEL,),
)  # fmt: skip
REPLY_INTERRUPTED = _service(
    "REPLY_INTERRUPTED", _("The answer was cut off."),
    why=_("The answer broke off before it was complete, or the server was restarted meanwhile."),
    remedy=_("What had arrived is kept. Try again for a whole answer."), actions=_RETRY_OR_SWITCH,
)  # fmt: skip
DATABASE_ERROR = _service(
    "DATABASE_ERROR", _("Our storage is not available right now."),
    why=_("The service could not read or write its storage."),
    remedy=_("Send it again in a moment; it will not appear twice."),
)  # fmt: skip
SERVER_BUSY = _service(
    "SERVER_BUSY", _("The service is very busy right now."),
    why=_("More work was waiting than the service can take on."),
    remedy=_("Try again after the stated time."),
)  # fmt: skip
SERVICE_ERROR = _service(
    "SERVICE_ERROR", _("Something went wrong on our side."),
    why=_("An unexpected fault. It was recorded with everything needed to find its cause."),
    remedy=_("Try again. If it goes on, quote the reference to support."), status=500,
)  # fmt: skip
REGISTRATION_FAILED = _service(
    "SERVICE_ERROR", _("Failed to establish session connection"),
    why=_("The connection could not be joined to the conversation."),
    remedy=_("Send it again: the connection goes on, and the next message tries to join again."),
    name="REGISTRATION_FAILED",
)  # fmt: skip

# --- rate limit: too much at once; the time to wait is always told ----------------------------------------------------
TOO_MANY_REQUESTS = _rate_limit(
    "TOO_MANY_REQUESTS", _("You are sending messages too quickly."),
    why=_("There is a limit on messages per person."),
    remedy=_("Wait for the stated time, then send it again."),
)  # fmt: skip
TOO_MANY_ANSWERS = _rate_limit(
    "TOO_MANY_REQUESTS", _("Your other answers are still being written."),
    why=_("There is a limit on how many answers one person can have written at once."),
    remedy=_("Wait until one of them is finished, or stop it."), name="TOO_MANY_ANSWERS", waits_for="reply",
)  # fmt: skip
ALLOWANCE_USED_UP = _rate_limit(
    "TOO_MANY_REQUESTS", _("You have used up what you may ask for today."),
    why=_("There is a limit on what the assistant reads and writes per person and day."),
    remedy=_("Come back after the stated time."), name="ALLOWANCE_USED_UP",
)  # fmt: skip
CONNECTION_LIMIT_EXCEEDED = _rate_limit(
    "CONNECTION_LIMIT_EXCEEDED", _("Too many connections are open for your account."),
    why=_("There is a limit on connections per person."),
    remedy=_("Close the chat in other tabs or devices, then try again."),
)  # fmt: skip

CATALOGUE: tuple[ErrorSpec, ...] = (
    UNAUTHORIZED, INVALID_TOKEN, EXPIRED_TOKEN, INSUFFICIENT_PERMISSIONS,
    INVALID_FORMAT, MISSING_FIELD, FIELD_TOO_LONG, UNKNOWN_TYPE, FRAME_TOO_LARGE, NOT_FOUND, METHOD_NOT_ALLOWED,
    SESSION_ENDED, DUPLICATE_MISMATCH, MODEL_UNKNOWN, CONTEXT_TOO_LONG,
    LLM_UNAVAILABLE, LLM_TIMEOUT, LLM_OVERLOADED, LLM_REFUSED, REPLY_INTERRUPTED, DATABASE_ERROR, SERVER_BUSY,
    SERVICE_ERROR, REGISTRATION_FAILED,
    TOO_MANY_REQUESTS, TOO_MANY_ANSWERS, ALLOWANCE_USED_UP, CONNECTION_LIMIT_EXCEEDED,
)  # fmt: skip
