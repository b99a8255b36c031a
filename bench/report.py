"""Puts what was measured last into docs/performance.md, between its markers; the prose around is written by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import plot, results
from bench.results import Result

PAGE = results.FOLDER.parent / "docs" / "performance.md"

PLOT = "![Server CPU per message against connections, and per delivered frame against members](images/performance.svg)"


def write() -> None:
    """Renew the tables, the machine and the plot."""
    record = results.load_record()
    plot.draw(record)
    blocks = {"results": table(results.load()), "machine": machine(record)}
    fill(PAGE, blocks | {"plot": PLOT if plot.PICTURE.exists() else ""})


def fill(page: Path, blocks: dict[str, str]) -> None:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`."""
    text = page.read_text()
    for name, content in blocks.items():
        pattern = rf"(?s)(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        found = re.search(pattern, text)
        assert found, f"{page.name} has no block {name}"
        text = f"{text[: found.end(1)]}{content}\n{text[found.start(2) :]}"
    page.write_text(text)


def table(rows: Sequence[Result]) -> str:
    """Rows with a target, then those that only inform."""
    wanted = [_row(result) for result in rows if result.target]
    told = [
        f"| {result.row} | {results.number(result.value)} | {_spread(result)} |" for result in rows if not result.target
    ]
    head = ["| what | target | median | 95 % interval | |", "|---|---|---|---|---|"]
    others = ["", "For comparison, without a target:", "", "| what | median | 95 % interval |", "|---|---|---|"]
    return "\n".join([*head, *wanted, *(others + told if told else [])])


def shortfall(result: Result) -> str:
    """Whether the target is met, else by how much the worse end of the interval misses it."""
    if result.target is None or result.met:
        return "met" if result.met else ""
    sign, limit = results.read_target(result.target)
    worse = result.high if sign == "<=" else result.low
    if not limit:
        return f"**missed by {results.number(abs(worse))}**"
    return f"**missed by {abs(worse - limit) / limit:.0%}**"


def _row(result: Result) -> str:
    return (
        f"| {result.row} | {result.target} | {results.number(result.value)} | {_spread(result)} | {shortfall(result)} |"
    )


def _spread(result: Result) -> str:
    return f"{results.number(result.low)} to {results.number(result.high)}"


def machine(record: dict[str, Any]) -> str:
    environment = ", ".join(f"{name} {value}" for name, value in record.get("environment", {}).items())
    shares = ", ".join(f"{name} {share:.0%}" for name, share in record.get("client_share", {}).items())
    return f"Measured on: {environment}.\n\nBusiest window of the load client, share of its core: {shares}."
