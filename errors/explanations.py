"""The catalogue as people read it: every code with its remedy first, in plain words, with an example of what is shown.

For the error pages. The words of each failure come from its spec; here are those that specs of one kind share.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from errors import catalogue, links
from errors.taxonomy import (
    CONTEXT_TOO_LONG,
    FIELD_TOO_LONG,
    INVALID_FORMAT,
    LLM_OVERLOADED,
    LLM_REFUSED,
    LLM_TIMEOUT,
    LLM_UNAVAILABLE,
    MISSING_FIELD,
    REPLY_INTERRUPTED,
    Action,
    Category,
    ErrorSpec,
    Outcome,
    Words,
)

EXAMPLE_REFERENCE = "E-7KQ4-M2XW"
_EXAMPLE_WAIT_MS = 4_200

_OF_REPLIES = {
    LLM_UNAVAILABLE.name: Outcome.SAVED,
    LLM_TIMEOUT.name: Outcome.SAVED,
    LLM_OVERLOADED.name: Outcome.SAVED,
    LLM_REFUSED.name: Outcome.SAVED,
    CONTEXT_TOO_LONG.name: Outcome.SAVED,
    REPLY_INTERRUPTED.name: Outcome.PARTIAL,
}
_OF_FIELDS = {INVALID_FORMAT.name, MISSING_FIELD.name, FIELD_TOO_LONG.name}

CATEGORY_TITLES: dict[Category, Words] = {
    Category.AUTH: _("Signing in and access"),
    Category.VALIDATION: _("What was sent"),
    Category.SERVICE: _("Something on our side"),
    Category.RATE_LIMIT: _("Too much at once"),
}
CATEGORY_MEANINGS: dict[Category, Words] = {
    Category.AUTH: _("You have to sign in, or your account is not allowed to do this. The chat closes until then."),
    Category.VALIDATION: _(
        "Something about the message or request is at fault. The chat goes on; change it and send it again."
    ),
    Category.SERVICE: _("Something behind the chat failed. It is not your fault, and the chat goes on."),
    Category.RATE_LIMIT: _("There is a limit, and it was reached. The chat goes on; you are told how long to wait."),
}
OUTCOMES: dict[Outcome, Words] = {
    Outcome.REJECTED: _("Your message was not sent."),
    Outcome.SAVED: _("Your message is saved."),
    Outcome.PARTIAL: _("Your message and the beginning of the answer are saved."),
    Outcome.UNKNOWN: _("It is not certain whether your message was saved. Sending it again is safe."),
}
_BUTTONS: dict[Action, Words] = {
    Action.RETRY: _("Try again"),
    Action.SWITCH_MODEL: _("Choose another model"),
    Action.NEW_SESSION: _("New conversation"),
    Action.SIGN_IN: _("Sign in"),
}
_WAITING: dict[Category, Words] = {
    Category.SERVICE: _("A time to wait is shown where it is known."),
    Category.RATE_LIMIT: _("The time to wait is always shown; sending again earlier does not help."),
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One spec as its page tells it."""

    spec: ErrorSpec
    outcome: Words
    buttons: Sequence[Words]
    afterwards: Words
    waiting: Words
    frame: str
    body: str


@dataclass(frozen=True, slots=True)
class Code:
    """One code; two specs may share it."""

    code: str
    category: Category
    specs: Sequence[ErrorSpec]

    @property
    def title(self) -> Words:
        return CATEGORY_TITLES[self.category]


@dataclass(frozen=True, slots=True)
class Group:
    category: Category
    title: Words
    meaning: Words
    codes: Sequence[Code]


def groups() -> list[Group]:
    """Return every code of this deployment, by category, in the order of the catalogue."""
    codes = _codes()
    return [
        Group(category, CATEGORY_TITLES[category], CATEGORY_MEANINGS[category], found)
        for category in Category
        if (found := [code for code in codes.values() if code.category is category])
    ]


def find(code: str) -> Code | None:
    return _codes().get(code)


def similar(code: str) -> list[str]:
    """Return the codes that somebody who typed `code` may have meant, the likeliest first."""
    return difflib.get_close_matches(code.upper()[:64], list(_codes()), n=3)


def explain(spec: ErrorSpec) -> Explanation:
    return Explanation(
        spec=spec,
        outcome=OUTCOMES[_outcome(spec)],
        buttons=[_BUTTONS[action] for action in spec.actions],
        afterwards=_("The chat stays connected, and everything else in it goes on working.")
        if spec.rule.recoverable
        else _("The chat is closed. It comes back once this is settled; what was saved before stays saved."),
        waiting=_WAITING.get(spec.category, ""),
        frame=json.dumps(_frame(spec), indent=2, ensure_ascii=False),
        body=json.dumps(_body(spec), indent=2, ensure_ascii=False),
    )


def _codes() -> dict[str, Code]:
    by_code: dict[str, list[ErrorSpec]] = {}
    for spec in catalogue.specs():
        by_code.setdefault(spec.code, []).append(spec)
    return {code: Code(code, specs[0].category, specs) for code, specs in by_code.items()}


def _outcome(spec: ErrorSpec) -> Outcome:
    return _OF_REPLIES.get(spec.name, Outcome.REJECTED)


def _frame(spec: ErrorSpec) -> dict[str, Any]:
    """An `error` frame with this spec, as it comes over the socket."""
    is_of_reply = spec.name in _OF_REPLIES
    about = {"reply_id": "7f1c…", "in_reply_to": "2b9e…"} if is_of_reply else {"ref": "m-17"}
    error: dict[str, Any] = {
        "code": spec.code,
        "category": spec.category.value,
        "message": spec.message,
        "recoverable": spec.rule.recoverable,
        "outcome": _outcome(spec).value,
        "reference": EXAMPLE_REFERENCE,
        "actions": [action.value for action in spec.actions],
    }
    if spec.rule.needs_retry_after:
        error["retry_after"] = _EXAMPLE_WAIT_MS
    if is_of_reply:
        error["attempt"] = 1
    if spec.name in _OF_FIELDS:
        error["field"] = "content"
    if address := links.help_url(spec.code):
        error["help_url"] = address
    return {"type": "error", "sender": "system", "timestamp": "2026-01-15T10:20:30.000Z", **about, "error": error}


def _body(spec: ErrorSpec) -> dict[str, Any]:
    """What the JSON API answers; a reference is there where a failure was recorded."""
    body = {"error": spec.message, "code": spec.code}
    return body | {"reference": EXAMPLE_REFERENCE} if spec.category is Category.SERVICE else body
