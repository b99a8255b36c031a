"""What `make smoke` prints as it goes, and what it found: steps taken, surprises met."""

from __future__ import annotations

import json
import time
from typing import Any

_SHOWN_CHARS = 100  # of one answer or message; enough to recognise it
# What identifies a frame to a reader; ids that only repeat themselves are left out.
_SHOWN_FIELDS = ("ref", "seq", "state", "duplicate", "from", "to", "top", "recovered", "reason", "content_length")


class Transcript:
    """A line for everything that is sent, received and checked. A check that fails is a surprise; the run goes on."""

    def __init__(self) -> None:
        self.steps = 0
        self.surprises: list[str] = []
        self.faults: dict[str, dict[str, Any]] = {}
        self._began = time.monotonic()
        self._part = ""

    def part(self, title: str) -> None:
        self._part = title
        self._print(f"\n== {title}")

    def sent(self, what: str) -> None:
        self._print(f"   > {_short(what)}")

    def received(self, frame: dict[str, Any]) -> None:
        shown = " ".join(f"{name}={frame[name]}" for name in _SHOWN_FIELDS if name in frame)
        if error := frame.get("error"):
            shown = (
                f"{error['code']} ({error['category']}, {error['outcome']}) {error['reference']}: {error['message']}"
            )
            shown += f" {'/'.join(error['actions'])} {error.get('retry_after', '')}"
        self._print(f"   < {frame['type']} {shown}")

    def read(self, answer: str) -> None:
        self._print(f'   < "{_short(answer)}"')

    def check(self, what: str, found: object, expected: object = True) -> bool:
        """Compare, print the outcome, and return whether it was as expected."""
        self.steps += 1
        if found == expected:
            is_telling = isinstance(expected, str | int) and not isinstance(expected, bool)
            self._print(f"     ok  {what}: {expected}" if is_telling else f"     ok  {what}")
            return True
        words = "" if expected is True and found is False else f": expected {expected!r}, found {found!r}"
        self.surprise(f"{what}{words}")
        return False

    def surprise(self, what: str) -> None:
        self.surprises.append(f"{self._part}: {what}")
        self._print(f"     SURPRISE  {what}")

    def finish(self) -> int:
        """Print the one JSON line; return the exit code."""
        facts = {
            "ok": not self.surprises,
            "steps": self.steps,
            "seconds": round(time.monotonic() - self._began, 1),
            "faults": self.faults,
            "surprises": self.surprises,
        }
        self._print("")
        self._print(json.dumps(facts, ensure_ascii=False))
        return 1 if self.surprises else 0

    def _print(self, line: str) -> None:
        print(line, flush=True)  # noqa: T201 -- this is what the command is for


def _short(text: str) -> str:
    line = text.replace("\n", " ").rstrip()
    return line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]}..."
