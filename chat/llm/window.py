"""Which part of a conversation is given to the model: the newest turns that fit its window, and always the question."""

from __future__ import annotations

import itertools

from chat.llm.base import ReplyRequest
from errors.exceptions import ChatError
from errors.taxonomy import CONTEXT_TOO_LONG

_BYTES_PER_TOKEN = 4  # UTF-8; a rule of thumb that also holds for scripts of three bytes a character
_TOKENS_PER_TURN = 4  # role and separators
_ROLES = {"user": "user", "ai": "assistant", "admin": "assistant", "system": "system"}
_GO_ON = "Go on exactly where your answer broke off, without repeating any of it."


def messages(request: ReplyRequest, *, system_prompt: str, context_tokens: int) -> list[dict[str, str]]:
    """Return the conversation in the provider's form, oldest first: it begins with the person, and the roles alternate.

    Many servers' chat templates refuse anything else, and a question that got no answer is followed by another one.

    Raises:
        ChatError: CONTEXT_TOO_LONG when the question alone does not fit.
    """
    ending = [{"role": "user", "content": request.question}]
    if request.partial_text:
        ending += [{"role": "assistant", "content": request.partial_text}, {"role": "user", "content": _GO_ON}]
    opening = [{"role": "system", "content": system_prompt}] if system_prompt else []
    left = context_tokens - sum(estimate(message["content"]) for message in (*opening, *ending))
    if left < 0:
        raise ChatError(CONTEXT_TOO_LONG, detail=f"over {context_tokens} tokens by our estimate")
    newest: list[dict[str, str]] = []
    for turn in reversed(request.turns[:-1]):
        left -= estimate(turn.content)
        if left < 0:
            break
        newest.append({"role": _ROLES[turn.sender], "content": turn.content})
    history = itertools.dropwhile(lambda message: message["role"] == "assistant", reversed(newest))
    return [*opening, *_alternating([*history, *ending])]


def _alternating(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Join what one of the two says in a row."""
    return [
        {"role": role, "content": "\n\n".join(message["content"] for message in run)}
        for role, run in itertools.groupby(messages, key=lambda message: message["role"])
    ]


def prompt_tokens(request: ReplyRequest, context_tokens: int | None) -> int:
    """Return about how many tokens a provider reads; at most those of its window, where that is known."""
    tokens = sum(estimate(turn.content) for turn in request.turns)
    if request.partial_text:
        tokens += estimate(request.partial_text)
    return tokens if context_tokens is None else min(tokens, context_tokens)


def estimate(text: str) -> int:
    """Return about how many tokens a turn takes.

    Servers count for themselves; this chooses what to send, and stands in where an answer ends before they have told.
    """
    return len(text.encode()) // _BYTES_PER_TOKEN + 1 + _TOKENS_PER_TURN
