"""The plot of docs/performance.md: what a message costs as connections grow, what a frame costs as members grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.results import FOLDER

PICTURE = FOLDER.parent / "docs" / "images" / "performance.svg"
COLOURS = {
    "switchboard": "#4f46e5",
    "raw ASGI echo (a)": "#9ca3af",
    "bare consumer echo (d)": "#4b5563",
    "plain build": "#d97706",
    "chanx": "#059669",
    "stock layer": "#d97706",
}


def draw(record: dict[str, Any], path: Path = PICTURE) -> None:
    """Write the plot; nothing when its curves were never measured."""
    if "connections" not in record or "members" not in record:
        return
    import matplotlib as mpl  # slow to import, and not in the product's own environment

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "switchboard", "font.size": 9}
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, curves, what, of in (
        (left, record["connections"], "connections, one message under way on each", "message"),
        (right, record["members"], "members of one session", "delivered frame"),
    ):
        for name, points in curves.items():
            width = 2.4 if name == "switchboard" else 1.4
            axes.plot(*zip(*points, strict=True), marker="o", ms=4, lw=width, color=COLOURS[name], label=name)
        axes.set(xscale="log", yscale="log", xlabel=what, ylabel=f"server CPU per {of}, µs")
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
