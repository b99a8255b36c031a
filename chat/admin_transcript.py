"""One page of a conversation as staff read it: who said what and when, and what became of each answer.

Pages are stretches of `seq`, which has no gaps, so any page of any session costs the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.admin_links import anchor, as_key
from chat.models import ChatMessage, ChatSession, Reply, ReplyPhase, Sender
from errors.taxonomy import Words

PAGE_MESSAGES = 50  # messages; with their text cut, a page stays below about 1 MB
MAX_SHOWN_CHARS = 20_000  # characters of one message; an answer can be longer than anybody reads here
_TALL_CHARS = 600  # characters, and lines, from which on a text may need to be scrolled where it is narrow
_TALL_LINES = 12
MAX_ATTEMPTS = 500  # replies shown on one page, the newest; a message can be retried without end

_STATES: dict[str, Words] = {
    ReplyPhase.PENDING: _("not begun"),
    ReplyPhase.STREAMING: _("being written"),
    ReplyPhase.COMPLETE: _("complete"),
    ReplyPhase.PARTIAL: _("broke off; what had arrived is kept"),
    ReplyPhase.STOPPED: _("stopped by the person"),
    ReplyPhase.FAILED: _("failed; nothing had arrived"),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reply to a message."""

    number: int
    state: str  # as in ReplyPhase
    words: str
    figures: Sequence[str]  # which model, how long, how many tokens
    code: str
    reference: str
    answer: str  # anchor of the message that it became


@dataclass(frozen=True, slots=True)
class Line:
    anchor: str
    seq: int
    sender: str
    who: str
    created_at: datetime
    text: str
    hidden_chars: int
    attempts: Sequence[Attempt]  # of a person's message
    answers: Attempt | None  # of an assistant's
    is_wanted: bool  # the one that the reader came for

    @property
    def is_tall(self) -> bool:
        """Whether it scrolls within itself, so that the keyboard has to reach it."""
        return len(self.text) > _TALL_CHARS or self.text.count("\n") > _TALL_LINES


@dataclass(frozen=True, slots=True)
class Transcript:
    lines: Sequence[Line]
    number: int
    pages: int
    first: int
    last: int
    count: int

    @property
    def earlier(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def later(self) -> int | None:
        return self.number + 1 if self.number < self.pages else None


def read(session: ChatSession, query: Mapping[str, str]) -> Transcript:
    """Return the page that `query` asks for by `page` or `message`; the latest where it asks for none that exists."""
    pages = max(1, -(-session.last_seq // PAGE_MESSAGES))
    wanted = as_key(query.get("message", ""))
    number = _page_of(session, wanted) if wanted else _number(query.get("page", ""))
    number = pages if number is None else min(max(number, 1), pages)
    first = (number - 1) * PAGE_MESSAGES + 1
    messages = list(
        ChatMessage.objects.filter(session=session, seq__gte=first, seq__lt=first + PAGE_MESSAGES)
        .order_by("seq")
        .only("seq", "sender", "content", "created_at")
    )
    asked, answered = _attempts([message.pk for message in messages])
    return Transcript(
        lines=[_line(message, asked.get(message.pk, []), answered.get(message.pk), wanted) for message in messages],
        number=number,
        pages=pages,
        first=messages[0].seq if messages else 0,
        last=messages[-1].seq if messages else 0,
        count=session.last_seq,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _page_of(session: ChatSession, message_id: uuid.UUID) -> int | None:
    found = ChatMessage.objects.filter(pk=message_id, session=session).values_list("seq", flat=True).first()
    return None if found is None else (found - 1) // PAGE_MESSAGES + 1


def _attempts(keys: list[uuid.UUID]) -> tuple[dict[uuid.UUID, list[Attempt]], dict[uuid.UUID, Attempt]]:
    """Return the replies to each message, in order, and the reply that each answer is."""
    asked: dict[uuid.UUID, list[Attempt]] = {}
    answered: dict[uuid.UUID, Attempt] = {}
    replies = Reply.objects.defer("text")
    newest = list(replies.filter(message_id__in=keys).order_by("-created_at")[:MAX_ATTEMPTS])
    for reply in sorted(newest, key=lambda reply: reply.attempt):
        asked.setdefault(reply.message_id, []).append(_attempt(reply))
    for reply in replies.filter(answer_id__in=keys):
        if reply.answer_id is not None:
            answered[reply.answer_id] = _attempt(reply)
    return asked, answered


def _attempt(reply: Reply) -> Attempt:
    error = reply.error if isinstance(reply.error, dict) else {}
    return Attempt(
        number=reply.attempt,
        state=reply.state,
        words=str(_STATES.get(reply.state, reply.state)),
        figures=list(_figures(reply)),
        code=str(error.get("code", "")),
        reference=str(error.get("reference", "")),
        answer=anchor(reply.answer_id) if reply.answer_id else "",
    )


def _figures(reply: Reply) -> Iterator[str]:
    if reply.continues is not None:  # people see both as one
        yield gettext("goes on from an answer before it")
    if reply.model_id:
        yield reply.model_id
    if reply.first_token_ms is not None:
        yield gettext("first word after %(time)s") % {"time": _time(reply.first_token_ms)}
    if reply.ended_at:
        whole = (reply.ended_at - reply.created_at) / timedelta(milliseconds=1)
        yield gettext("%(time)s in all") % {"time": _time(whole)}
    if reply.prompt_tokens is not None:
        yield ngettext("%(count)d token read", "%(count)d tokens read", reply.prompt_tokens) % {
            "count": reply.prompt_tokens
        }
    if reply.completion_tokens is not None:
        yield gettext("%(count)d written") % {"count": reply.completion_tokens}


def _time(ms: float) -> str:
    """What failed at once took some milliseconds, and not 0.0 s."""
    return f"{ms:.0f} ms" if ms < 1_000 else f"{ms / 1_000:.1f} s"


def _line(message: ChatMessage, attempts: list[Attempt], answers: Attempt | None, wanted: uuid.UUID | None) -> Line:
    return Line(
        anchor=anchor(message.pk),
        seq=message.seq,
        sender=message.sender,
        who=str(Sender(message.sender).label) if message.sender in Sender.values else message.sender,
        created_at=message.created_at,
        text=message.content[:MAX_SHOWN_CHARS],
        hidden_chars=max(0, len(message.content) - MAX_SHOWN_CHARS),
        attempts=attempts,
        answers=answers,
        is_wanted=message.pk == wanted,
    )
