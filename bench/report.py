"""docs/performance.md, from what was measured last."""

from __future__ import annotations

from bench import results
from bench.results import Result

PAGE = results.FOLDER.parent / "docs" / "performance.md"
VERDICTS = {True: "met", False: "not met", None: ""}


def write() -> None:
    """Write the page again: prose that stays, the table and the machine of the last run."""
    record = results.load_record()
    rows = "\n".join(_row(result) for result in results.load())
    environment = ", ".join(f"{name} {value}" for name, value in record.get("environment", {}).items())
    PAGE.write_text(_PAGE.format(rows=rows, environment=environment))


def _row(result: Result) -> str:
    spread = f"{results.number(result.low)} to {results.number(result.high)}"
    value = results.number(result.value)
    return f"| {result.row} | {result.target or ''} | {value} | {spread} | {VERDICTS[result.met]} |"


_PAGE = """\
# Performance

`make bench` measures this and writes this page. One row alone: `make bench ROWS="route failure"`.

| what | target | median | 95 % of the median | |
|---|---|---|---|---|
{rows}

Measured on: {environment}.
"""
