"""One line per question: what was wanted, what came out, and whether the whole interval is on the right side."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.interval import Interval

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
RECORD = FOLDER / "record.json"  # the machine, the rounds, the curves: what the report and the plot are made of

_SIGNS = ("<=", ">=")


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the table.

    Attributes:
        target: "<= 0.60 x"; None for a figure that only informs.
        met: None without a target.
    """

    row: str
    target: str | None
    value: float
    low: float
    high: float
    met: bool | None


def judge(row: str, interval: Interval, target: str | None = None) -> Result:
    """A target is met when the whole interval is on its right side."""
    met = None
    if target is not None:
        sign, limit = read_target(target)
        met = interval.high <= limit if sign == "<=" else interval.low >= limit
    value, low, high = (round(number, 4) for number in (interval.value, interval.low, interval.high))
    return Result(row, target, value, low, high, met)


def read_target(target: str) -> tuple[str, float]:
    """The sign and the number of a target such as "<= 0.60 x"."""
    sign, number = target.split()[:2]
    if sign not in _SIGNS:
        raise ValueError(f"{target!r} begins with neither of {_SIGNS}")
    return sign, float(number)


def unit_of(target: str | None) -> str:
    return " ".join(target.split()[2:]) if target else ""


def save(results: Iterable[Result], record: dict[str, Any]) -> None:
    """Write the results; rows and parts of the record that were not measured now stay as they were."""
    kept = {result.row: result for result in load()} | {result.row: result for result in results}
    RESULTS.write_text(json.dumps([asdict(result) for result in kept.values()], indent=1) + "\n")
    RECORD.write_text(json.dumps(load_record() | record, indent=1) + "\n")


def load() -> list[Result]:
    return [Result(**entry) for entry in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


def load_record() -> dict[str, Any]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def number(value: float) -> str:
    """Three figures, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - (len(str(int(abs(value)))) - 1 if abs(value) >= 1 else 0))
    return f"{value:,.{digits}f}"


def line(result: Result) -> str:
    """A row as a person reads it on the terminal."""
    verdict = {True: "met", False: "NOT MET", None: ""}[result.met]
    spread = f"{number(result.low)} - {number(result.high)}"
    return f"{result.row:<78} {result.target or '':<12} {number(result.value):>9}  [{spread:^17}]  {verdict}"
