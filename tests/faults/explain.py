"""`python -m tests.faults.explain FOLDER ID...`: the history of one ref, reply, session, connection or reference.

Shows every event of a kept soak that speaks of the id, or of the message or reply that it turns out to be, with the
servers' log lines about them and the faults around them, in order of time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

MARKS = ("fault", "healed", "terminated")  # events that are shown whatever they speak of
LINKED = ("message_id", "reply_id", "reference")  # what one id leads to


def explain(folder: Path, wanted: set[str]) -> Iterator[str]:
    """The lines that tell the history of these ids."""
    lines = sorted([*_events(folder), *_log_lines(folder)], key=lambda pair: pair[0])
    for _, line in lines:  # one pass finds the ids of an `ack`
        if _speaks_of(line, wanted):
            wanted |= _linked(line)
    shown = [(at, line) for at, line in lines if line.get("event") in MARKS or _speaks_of(line, wanted)]
    began = lines[0][0] if lines else 0.0
    for at, line in shown:
        yield f"{at - began:9.3f}  {json.dumps(line, ensure_ascii=False)[:1_000]}"


def _events(folder: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    for text in (folder / "events.jsonl").read_text().splitlines():
        event = json.loads(text)
        yield event.pop("t"), event


def _log_lines(folder: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    for path in sorted(folder.glob("server-*.log")):
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
                at = datetime.fromisoformat(line.pop("timestamp")).timestamp()
            except (ValueError, KeyError, AttributeError):
                continue
            yield at, {"log": path.stem, **line, "exception": str(line.get("exception") or "")[-200:]}


def _speaks_of(line: dict[str, Any], wanted: set[str]) -> bool:
    return any(value in wanted for value in _values(line))


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, str):
        yield value


def _linked(line: dict[str, Any]) -> set[str]:
    frame = line.get("frame", {})
    if frame.get("type") != "ack":
        return set()
    return {frame[name] for name in LINKED if frame.get(name)}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print("\n".join(explain(Path(sys.argv[1]), set(sys.argv[2:]))))
