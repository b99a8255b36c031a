"""What a provider of answers looks like. Set `CHAT_PROVIDER` to the dotted path of a class with this interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from chat.protocol import ModelInfo


@dataclass(frozen=True, slots=True)
class Turn:
    sender: str  # user | ai | admin | system
    content: str


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """One answer to write.

    Attributes:
        turns: The conversation, oldest first; the last one is the message to answer.
        attempt: 1, or more for a retry of the same message.
        partial_text: What an earlier attempt had reached, when it is to be continued.
    """

    model_id: str
    turns: tuple[Turn, ...]
    attempt: int = 1
    partial_text: str = ""

    @property
    def question(self) -> str:
        return self.turns[-1].content


_MAX_TOKENS = 2_147_483_647  # what the database's column can hold


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, as the provider counts it. May be yielded at any time; the last one counts.

    Raises:
        ValueError: Anything but two whole numbers from 0 to 2^31 - 1.
    """

    prompt_tokens: int
    completion_tokens: int

    def __post_init__(self) -> None:
        for count in (self.prompt_tokens, self.completion_tokens):
            if type(count) is not int or not 0 <= count <= _MAX_TOKENS:
                raise ValueError("token counts are whole numbers, and not negative")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a reply may take: to its first piece, between two, in all."""

    first_token_s: float
    next_token_s: float
    total_s: float


class Backend(Protocol):
    """A provider. Made once per server process, without arguments; used by many replies at once.

    A class may also have

    - `deadlines(model_id) -> Deadlines`; without it those of the settings apply;
    - `context_tokens(model_id) -> int`: how much of a conversation it gives to the model. Where an answer is stopped
      before the provider has counted, what was read is estimated, and is never more than this;
    - `async def warm_up()`, to load what is heavy: called when the server starts and before every reply, outside the
      reply's time. It returns at once when there is nothing left to do;
    - `async def aclose()`, to release what it holds when the server ends.
    """

    @property
    def models(self) -> Sequence[ModelInfo]:
        """What a person may choose from, in a stable order; the first is the default. Read once, at start."""
        ...

    def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        """Yield the answer in pieces of any size. A return is the end of a complete answer.

        An empty piece says that the model is at work, for example thinking before it speaks: from then on the time
        between two pieces is what counts.

        Time limits are the caller's. Stopping closes the iterator: release the provider's connection then, within a
        second; the reply ends without it after that.

        Raises:
            ChatError: LLM_UNAVAILABLE, LLM_TIMEOUT, LLM_OVERLOADED, LLM_REFUSED, CONTEXT_TOO_LONG before the first
                piece, REPLY_INTERRUPTED after it. Anything else that is raised becomes SERVICE_ERROR.
        """
        ...
