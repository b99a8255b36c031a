"""The rows by name, in the order in which they are measured."""

from __future__ import annotations

from bench.rows import route

ROWS = {"route": route}
