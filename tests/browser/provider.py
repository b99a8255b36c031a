"""The assistant of the browser tests: says what a test asks for by name, and otherwise answers as the demo does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from chat.llm.base import ReplyRequest
from chat.llm.demo import DemoBackend
from errors.exceptions import ChatError
from errors.taxonomy import LLM_OVERLOADED, LLM_UNAVAILABLE, REPLY_INTERRUPTED

CORPUS = Path(__file__).parent / "corpus"
LONG_CHARS = 100_000
PIECE_CHARS = 800  # with the pause, 100 kB take under three seconds: much faster than any model
PIECE_S = 0.02
LOOP = "for number in range(10):\n    print(number, number ** 2)  # squares\n\n"
PARTS = ("Here it is:\n\n```py\na = 1\n", "b = 2\n", "c = 3\n```\n\nThat **was** it.")
EMOJI = "\U0001f44b\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea e\u0301 \u6f22\u5b57 "


class ScriptedBackend(DemoBackend):
    """Does what the first word of a message says.

    show <name> [slowly]   writes `corpus/<name>.md`, or one of `SCRIPTS`
    busy <times> <ms>      is overloaded that often, each time for so many milliseconds; then answers
    falter                 breaks off after some words, then is unavailable; then answers
    break                  breaks off after some words; continues from there
    mute <times>           says nothing that often; then answers
    parts                  writes `PARTS`, one at each attempt, if it is given those before; breaks off after each
    hold                   begins and then writes nothing more; continues from there
    """

    async def stream(self, request: ReplyRequest) -> AsyncIterator[str]:
        words = request.question.split()
        if words[:1] == ["busy"] and request.attempt <= int(words[1]):
            raise ChatError(LLM_OVERLOADED, retry_after_ms=int(words[2]))
        if words[:1] == ["mute"] and request.attempt <= int(words[1]):
            await asyncio.sleep(9)  # less than a provider may be silent
            return
        if words[:1] == ["parts"]:
            assert request.partial_text == "".join(PARTS[: request.attempt - 1])
            for line in PARTS[request.attempt - 1].splitlines(keepends=True):
                yield line
                await asyncio.sleep(PIECE_S)
            if request.attempt < len(PARTS):
                raise ChatError(REPLY_INTERRUPTED)
            return
        if words[:1] == ["hold"]:
            if request.partial_text:
                yield "and goes on."
                return
            yield "This answer has begun "
            await asyncio.sleep(9)  # less than a provider may be silent
            return
        if words[:1] == ["falter"] and request.attempt == 2:
            raise ChatError(LLM_UNAVAILABLE)
        if words[:1] == ["break"] or (words[:1] == ["falter"] and request.attempt == 1):
            if request.partial_text:
                yield "and this is the rest."
                return
            yield "The beginning of it, "
            raise ChatError(REPLY_INTERRUPTED)
        if words[:1] != ["show"]:
            async for piece in super().stream(request):
                yield piece
            return
        text = script(words[1])
        size = 12 if words[-1] == "slowly" else PIECE_CHARS
        for start in range(0, len(text), size):
            yield text[start : start + size]
            await asyncio.sleep(PIECE_S)


def script(name: str) -> str:
    """The text of an answer."""
    if name in SCRIPTS:
        return SCRIPTS[name]
    return (CORPUS / f"{name}.md").read_text()


def _long(part: str) -> str:
    return (part * (LONG_CHARS // len(part) + 1))[:LONG_CHARS]


SCRIPTS = {
    "math": "Euler wrote \\(e^{i\\pi} + 1 = 0\\), and so\n\n"
    "\\[\n\\int_0^1 x^2\\,dx = \\frac{1}{3} \\\\\n- y\n\\]\n\n"
    "$$\na_1 * b_2 * c\n$$\n\nfor *all* of it.",
    "right-to-left": "It begins in English.\n\nشكرا لك على سؤالك.\n\n- הראשון\n- השני\n\n> אמרה אחת\n\n"
    "| שם | ערך |\n|---|---|\n| א | 1 |\n",
    "tasks": "- [x] Store it\n- [ ] Answer it, which may take several lines where narrow\n- and one that is none\n",
    "wide": "| name |"
    + " what it does |" * 6
    + "\n|"
    + "---|" * 7
    + "\n"
    + ("| cache |" + " keeps what was read before, so that it is near |" * 6 + "\n") * 3,
    "emoji": EMOJI * 60 + "the end",
    "long": _long((CORPUS / "markdown.md").read_text() + "\n\n"),
    "code": f"```python\n{_long(LOOP)}\n```\n",
    "line": "`" + _long("one **very** long line of *words* with [a link](https://example.org/) in it, and so on; "),
    "list": _long("1. A step with `code` in it\n   - and a part of the step\n\n"),
    "table": "| number | square | name |\n|---:|---:|---|\n" + _long("| 12 | 144 | a **dozen** |\n"),
    "quote": _long("> What was said, again and again, \n> in *many* lines.\n"),
}
