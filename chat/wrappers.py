"""ASGI wrappers around everything else."""

from __future__ import annotations

from typing import Any


class OwnRootPath:
    """Takes `root_path` from nobody but us.

    daphne fills it from the header `Daphne-Root-Path`, which any client may send: it would defeat a proxy's path rules.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.application({**scope, "root_path": ""}, receive, send)
